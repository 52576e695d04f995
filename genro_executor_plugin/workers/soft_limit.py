# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The soft limit of a call that runs on a worker's main thread."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from ..errors import SoftTimeoutError

__all__ = ["soft_limit"]


_RETRY_SECONDS = 0.001


@contextmanager
def soft_limit(seconds: float, must_not: Callable[[], bool]) -> Iterator[None]:
    """Raise ``SoftTimeoutError`` in the block after ``seconds``; a little later if it ``must_not``.

    It comes by SIGALRM, once, between two instructions of Python: native code that does not
    return to the interpreter is not interrupted (the hard ``timeout`` ends that).
    """

    def run_out(_signal: int, _frame: FrameType | None) -> None:
        if must_not():
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
