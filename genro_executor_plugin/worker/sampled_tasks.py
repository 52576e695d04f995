# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where a coroutine is when a sample is taken: what it runs, what it awaits, what it has started.

Imported only where coroutines run: it needs asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import FrameType
from typing import Any

from .coroutines import RUNS_COROUTINE, RUNS_TASK
from .running import RunningCall
from .sampling import Point, points_of, points_of_coroutine
from .stacks import call_of_task

__all__ = ["points_of_task"]


def points_of_task(
    task: asyncio.Task[Any],
    coroutine: Any,
    frame: FrameType | None,
    is_its_call: Callable[[RunningCall], bool],
) -> list[Point]:
    """The frames of the call that ``task`` runs, the most recent one first; empty for none.

    Args:
        task: of a ``CoroutineThread``.
        coroutine: what the task runs, from the function's own coroutine on.
        frame: the most recent frame of the thread of its event loop.
        is_its_call: whether that is the call of ``task``; on Python 3.11 it is not asked, because a
            task does not tell there which call has started it.
    """
    runs = asyncio.current_task(task.get_loop())
    if runs is task:
        points, door = points_of(frame, RUNS_COROUTINE)
        return points if door is not None else []
    awaited = points_of_coroutine(coroutine)
    call = call_of_task(runs) if runs is not None else None
    if call is None or not is_its_call(call):
        return awaited
    points, door = points_of(frame, RUNS_TASK)
    return [*points, *awaited] if door is not None else awaited
