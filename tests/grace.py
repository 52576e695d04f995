# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Time for workers that end in order: on a busy machine 2 seconds may not do for their hooks."""

from __future__ import annotations

from collections.abc import Callable

from genro_executor_plugin.engines.process import ended, supervisor

GRACE_SECONDS = 40.0


def give_workers_time_to_end(put: Callable[[object, str, float], None] = setattr) -> None:
    """Have pools wait longer before they kill a worker that was told to end.

    Args:
        put: sets the attribute of an object: ``setattr`` of a program, or of a ``monkeypatch``.
    """
    for module in (ended, supervisor):
        put(module, "STOP_GRACE_SECONDS", GRACE_SECONDS)
