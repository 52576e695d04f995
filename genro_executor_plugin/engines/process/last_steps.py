# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How a worker process ends where its main loop cannot see to it, and what it does last.

``child`` uses this; what code of the process has registered for its end is in ``worker/ending``.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import signal
from collections.abc import Callable
from typing import Any

from .exit_report import BROKEN_LOOP
from .handover import WorkerHandover
from .marks import WorkerMarks

__all__ = ["die_with_the_server", "end_with_broken_loop", "guarded", "tell_of_faults"]

_logger = logging.getLogger("genro_executor_plugin")


def die_with_the_server(lifeline: int) -> None:
    """Have the kernel kill this process when the other end of ``lifeline`` is closed.

    A worker that is stuck in a call does not read its socket: it would not notice by itself.
    """
    import fcntl

    if not hasattr(fcntl, "F_SETSIG"):
        return  # not Linux: the template, which sees the server go, kills its workers
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    os.set_blocking(lifeline, False)
    with contextlib.suppress(BlockingIOError):
        if os.read(lifeline, 1) == b"":
            os._exit(1)  # it was closed before the signal was set up


def tell_of_faults(handover: WorkerHandover) -> WorkerMarks:
    """Have the server read after a crash what the faulthandler writes, and the marks of calls."""
    marks = WorkerMarks()
    try:
        faults = handover.give_faults()  # the server reads it after a crash
        faulthandler.enable(faults)
        marks = WorkerMarks(faults)
    except (OSError, AttributeError):  # no memory, no descriptor; no memfd on this system
        faulthandler.enable()
    return marks


def end_with_broken_loop(error: BaseException) -> None:
    """End this worker, whose coroutines would never come to an end."""
    _logger.error(
        "the worker ends: a coroutine has closed its event loop, or the loop's descriptors",
        exc_info=error,
    )
    os._exit(BROKEN_LOOP)


def guarded(hook: Callable[[], Any]) -> None:
    """Call ``hook``; what it raises is logged, because the rest has to end, too."""
    try:
        hook()
    except Exception:
        _logger.exception("%r failed at the worker's end", hook)
