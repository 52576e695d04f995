# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A worker tells where its calls are, when the server asks with a signal (``asking``).

Several signals, because none does it all:

- ``ASK`` has a handler in Python. It runs between two instructions of the main thread, sees every
  thread and every task, and is as safe as any Python. Native code that does not return does not
  let it run.
- ``NATIVE`` and ``NATIVE_ALL`` are the faulthandler's: they are answered at any moment. While
  Python runs, that reads what is being changed, and one time in a thousand it ends the process. So
  the server sends them only to a worker that is in native code.
- ``PROFILE`` has a handler in Python, which begins to take samples (``sampled``).

What is told of one moment goes into the file of the faulthandler, which the server reads.
"""

from __future__ import annotations

import faulthandler
import json
import os
import signal
import struct
import sys
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from ...worker.stacks import stack_of_frame
from .marks import WorkerMarks
from .messages import WorkerMessageChannel
from .sampled import WorkerSamples

if TYPE_CHECKING:
    from ...worker.coroutines import CoroutineThread
    from ...worker.thread_runs import ThreadRuns

__all__ = ["ANSWER", "BEING_READ", "AskSignals", "StackTeller"]

ANSWER = struct.Struct("<BI")
"""Ahead of what is told in Python: the byte 1, and how long it is."""

BEING_READ = 0
"""In the place of a number, for a call that has not begun."""

_MOST_CALLS = 200
_MOST_BYTES = 512 * 1024

_FAULTS = (
    *(AttributeError, LookupError, MemoryError, OSError, RecursionError, RuntimeError),
    *(TypeError, ValueError),
)
"""What goes wrong here is not raised in the function that is interrupted. Other exceptions are
those of signal handlers that have interrupted this one."""


class AskSignals(NamedTuple):
    """The numbers of the signals that a worker listens to."""

    ask: int
    native: int
    native_all: int
    profile: int


class StackTeller:
    """Tells where the calls of this worker are.

    Attributes:
        threads: what runs calls on threads, if this worker has some.
        coroutines: what runs coroutines, if there were any.
        samples: what takes samples when the server wants a profile.
    """

    def __init__(
        self, messages: WorkerMessageChannel, marks: WorkerMarks, samples: WorkerSamples
    ) -> None:
        """Listen, and note in ``marks`` to which signals; their file is written to."""
        self._messages = messages
        self.samples: WorkerSamples = samples
        self._fd = fd = marks.fd
        self._signals: AskSignals | None = None
        self.threads: ThreadRuns[Any] | None = None
        self.coroutines: CoroutineThread | None = None
        numbers = _free_signals() if fd >= 0 else []
        if len(numbers) == len(AskSignals._fields):
            self._signals = AskSignals(*numbers)
            signal.signal(self._signals.ask, self._asked)
            # Native code that waits in the system goes on waiting, where the system lets it.
            signal.siginterrupt(self._signals.ask, False)
            faulthandler.register(self._signals.native, fd, all_threads=False)
            faulthandler.register(self._signals.native_all, fd, all_threads=True)
            signal.signal(self._signals.profile, self._profile_wanted)
            signal.siginterrupt(self._signals.profile, False)
            marks.listens_to(*self._signals)

    def let_go(self) -> None:
        """Listen no more, in a forked child: the file tells of its parent."""
        faulthandler.disable()
        if self._signals is not None:
            for number in (self._signals.native, self._signals.native_all):
                faulthandler.unregister(number)
            self._fd = -1

    def _asked(self, _number: int, frame: FrameType | None) -> None:
        if self._fd < 0:
            return
        try:
            told = json.dumps(self._where(frame)).encode("ascii")
            if len(told) > _MOST_BYTES:
                told = b"{}"
            os.write(self._fd, ANSWER.pack(1, len(told)) + told)
        except TimeoutError:
            raise  # by a signal handler of the function's own
        except _FAULTS:
            os.write(self._fd, ANSWER.pack(1, 2) + b"{}")

    def _profile_wanted(self, _number: int, frame: FrameType | None) -> None:
        if self._fd < 0:
            return
        try:
            self.samples.begin(frame)
        except TimeoutError:
            raise  # by a signal handler of the function's own
        except _FAULTS:
            return  # the server waits for a while, and does without

    def _where(self, main: FrameType | None) -> dict[int, str]:
        """The stack of each call by its number; ``main`` is where the main thread is.

        A call whose modules are being imported has no number yet: its stack is the main thread's.
        """
        found: dict[int, str] = {BEING_READ: stack_of_frame(main)}
        for number in self._messages.numbers[:_MOST_CALLS]:
            coroutines, threads = self.coroutines, self.threads
            if coroutines is not None and coroutines.has(number):
                found[number] = coroutines.stack_of(number)
            elif threads is None:
                found[number] = stack_of_frame(main)
            elif thread := threads.thread_of(number):
                # Kept in no variable: this frame is among them, and would hold itself.
                found[number] = stack_of_frame(sys._current_frames().get(thread))
        return found


def _free_signals() -> list[int]:
    """Real-time signals that nothing in this process has a handler for."""
    if not hasattr(signal, "SIGRTMAX"):
        return []
    numbers = range(signal.SIGRTMAX - 1, signal.SIGRTMIN, -1)
    free = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    return free[: len(AskSignals._fields)]
