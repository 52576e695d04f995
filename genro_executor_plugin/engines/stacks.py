# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where calls are: what their errors say of it, and how those of this process are looked at."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Iterable
from time import perf_counter
from typing import TypeVar

from ..errors import ExecutorTimeoutError, MemoryLimitError, WorkerCrashedError
from ..metrics.worker_state import RunningStack
from ..portable.references import describe
from ..worker.stacks import stack_of_frame, stack_of_task
from .thread_run import ThreadRun

__all__ = ["IN_NATIVE_CODE", "NOT_KNOWN", "end_late_run", "stacks_of_runs", "with_stack"]

_logger = logging.getLogger("genro_executor_plugin")

NOT_KNOWN = "  (not known: "
"""How what stands in the place of a stack begins, if there is none."""

IN_NATIVE_CODE = "  (native code, which was called directly, or the end of the call)"

E = TypeVar("E", ExecutorTimeoutError, WorkerCrashedError, MemoryLimitError)


def with_stack(error: E, stack: str) -> E:
    """``error``, with where its call was when it was ended, which is logged, too."""
    if stack:
        error.stack = "" if stack.startswith(NOT_KNOWN) else stack
        error.add_note(f"Where it was (most recent call last):\n{stack}")
        # Its text, and not itself: a handler that keeps the record would keep the call's arguments.
        _logger.warning("%s\nWhere it was (most recent call last):\n%s", str(error), stack)
    return error


def stack_of_run(run: ThreadRun) -> str:
    """Where ``run`` is, which runs on a thread of this process."""
    task, thread = run.task, run.thread
    if task is not None:
        loop = task.get_loop()
        if asyncio.current_task(loop) is not task:
            return stack_of_task(task) or IN_NATIVE_CODE
    # The frames of all threads are not kept in a variable, which one of them would have, too.
    frame = sys._current_frames().get(thread)
    if frame is not None:
        return stack_of_frame(frame) or IN_NATIVE_CODE
    return f"{NOT_KNOWN}it has not begun, or has just ended)"


def end_late_run(run: ThreadRun, pool: str, limit: float) -> ExecutorTimeoutError:
    """End ``run``, which is over its ``limit`` in ``pool``, where that can be; return its error."""
    stack = stack_of_run(run)
    run.end_coroutine()
    becomes = "it was cancelled" if run.is_async else "it goes on in its thread"
    error = ExecutorTimeoutError(
        f"{describe(run.call.func)} ran longer than {limit:g} s in pool {pool!r}; {becomes}, and "
        "its place stays taken until it is done",
        pool=pool,
        timeout=limit,
    )
    return with_stack(error, stack)


def stacks_of_runs(runs: Iterable[ThreadRun], pid: int | None) -> list[RunningStack]:
    """Where each of ``runs`` is, if ``pid`` is this process or ``None``."""
    if pid not in (None, os.getpid()):
        return []
    now = perf_counter()
    return [
        RunningStack(
            os.getpid(),
            run.call.options.route,
            describe(run.call.func),
            now - (run.started_at or now),
            stack_of_run(run),
        )
        for run in list(runs)
    ]
