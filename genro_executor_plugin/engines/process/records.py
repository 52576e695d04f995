# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Log records and warnings of workers, handled in the server by its own handlers and filters."""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable
from typing import Any

from ...worker.logs import LOG, WARNING, arrived_record, show_warning
from ..call import Call
from .job import Job

__all__ = ["handle_record"]

_logger = logging.getLogger("genro_executor_plugin")


def handle_record(pool: str, job: Job | None, pid: int | None, packed: bytes | memoryview) -> None:
    """Handle a record or a warning that ``job`` has sent, or code outside of any call.

    Args:
        pool: the name of the pool that it comes from.
        job: the call, ``None`` for code outside of any call.
        pid: the process that it comes from.
        packed: what was sent.
    """
    call: Call | None = None if job is None else job.owner
    try:
        channel, value = pickle.loads(packed)
        if channel == LOG:
            route = call.options.route if call is not None else None
            take = call.on_record if call is not None else None
            _in_context_of(call, arrived_record, value, pool, pid, route, take)
        elif channel == WARNING:
            _in_context_of(call, show_warning, value)
    except Exception:
        _logger.exception("pool %r: a record of worker %s was lost", pool, pid)


def _in_context_of(call: Call | None, func: Callable[..., None], *args: Any) -> None:
    """Call ``func`` with the caller's context variables, which handlers and filters may read."""
    if call is None or call.context is None:
        func(*args)
    else:
        call.context.run(func, *args)
