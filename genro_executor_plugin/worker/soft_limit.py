# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The soft limit of a call that runs on a worker's main thread.

It uses SIGALRM and the real interval timer of the process, which a handler must not use itself.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from ..errors import SoftTimeoutError
from .running import HELD_TIME, SHIELD

__all__ = ["soft_limit"]


_RETRY_SECONDS = 0.001
"""How soon it is tried again when the error could not be raised."""


@contextmanager
def soft_limit(seconds: float, must_not: Callable[[], bool]) -> Iterator[None]:
    """Raise ``SoftTimeoutError`` in the block after ``seconds``; later while ``must_not()``.

    It waits for the end of ``SHIELD`` as well, and does not count the time at breakpoints.

    It is raised once, by the handler of SIGALRM, between two instructions of Python: native code
    that does not return to the interpreter is not interrupted (the hard ``timeout`` ends that).
    """

    held = HELD_TIME.seconds

    def run_out(_signal: int, _frame: FrameType | None) -> None:
        nonlocal held
        before, held = held, HELD_TIME.seconds
        if held > before:
            signal.setitimer(signal.ITIMER_REAL, held - before)
            return
        if SHIELD.covers_this_thread or must_not():
            signal.setitimer(signal.ITIMER_REAL, _RETRY_SECONDS)
            return
        raise SoftTimeoutError.after(seconds)

    before = signal.signal(signal.SIGALRM, run_out)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
