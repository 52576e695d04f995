# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Which calls had a worker begun when it died?

The worker writes numbers of calls into memory that the server can read when the process is gone:
the head of the file of its faulthandler. A call that was sent and had not begun did nothing, and
goes to another worker. In doubt a call counts as begun.

The server writes there, too: what the worker is to take samples of (``profiling``).
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Callable
from functools import partial
from operator import setitem

__all__ = [
    "MARKS_BYTES",
    "MOST_WANTED_BYTES",
    "PROFILE_AT",
    "WANTED_AT",
    "Marks",
    "WorkerMarks",
    "signals_in",
]

_LAYOUT = struct.Struct("<5Q")
_SIGNALS = struct.Struct("<4B")

MARKS_BYTES = 512
"""How long the head of the file is."""

_READ, _HANDED_ON, _COROUTINES, _THREADS, _DEFINING, _SIGNALS_AT, _PROFILE = range(7)

PROFILE_AT = _PROFILE * 8
"""Where the number of the profile stands that the server wants now; 0 for none."""

WANTED_AT = 64
"""Where that stands which samples are wanted of, up to a byte 0."""

MOST_WANTED_BYTES = MARKS_BYTES - WANTED_AT - 1
"""How long it may be."""


class WorkerMarks:
    """The worker's side.

    Args:
        fd: the file; without one nothing is written, and nobody reads it.
    """

    def __init__(self, fd: int = -1) -> None:
        self.fd = fd
        self._memory = mmap.mmap(fd, MARKS_BYTES) if fd >= 0 else None
        self._write_into(self._memory or bytearray(MARKS_BYTES))

    def _write_into(self, memory: mmap.mmap | bytearray) -> None:
        self._marks = memoryview(memory).cast("Q")
        # No function of Python's: every call gets here.
        self.read: Callable[[int], None] = partial(setitem, self._marks, _READ)
        """Call, by its number, is being read on the main thread, and perhaps run there."""

    def let_go(self) -> None:
        """Write nowhere from now on: in a forked child, whose file it is not."""
        self._write_into(bytearray(MARKS_BYTES))
        if self._memory is not None:
            self._memory.close()
            self._memory = None

    def handed_on(self, number: int) -> None:
        """Call ``number`` was read and waits for a thread or for the event loop."""
        self._marks[_HANDED_ON] = number

    def coroutine_begins(self, number: int) -> None:
        """Call ``number`` begins on the event loop."""
        self._marks[_COROUTINES] = number

    def thread_begins(self, number: int) -> None:
        """Call ``number`` begins on a thread."""
        self._marks[_THREADS] = max(number, self._marks[_THREADS])

    def listens_to(self, *signals: int) -> None:
        """The server may ask with these four signals."""
        self._marks[_SIGNALS_AT] = int.from_bytes(bytes(signals), "little")

    @property
    def profile(self) -> int:
        """The number of the profile that the server wants now; 0 for none."""
        return self._marks[_PROFILE]

    @property
    def wanted(self) -> bytes:
        """What the server wants samples of."""
        return bytes(self._marks.cast("B")[WANTED_AT:]).partition(b"\0")[0]

    def defining(self, is_defining: bool) -> None:
        """A definition for the next call is being read, which may import its module."""
        self._marks[_DEFINING] = is_defining


def signals_in(head: bytes) -> tuple[int, ...]:
    """The numbers of the signals that a worker listens to, by the head of its file."""
    return _SIGNALS.unpack_from(head, _SIGNALS_AT * 8) if len(head) == MARKS_BYTES else (0,) * 4


class Marks:
    """The server's side: what a worker, which is gone, had begun.

    Attributes:
        was_defining: whether it was reading what the first call needs that it had not begun.
    """

    def __init__(self, head: bytes) -> None:
        self._marks = _LAYOUT.unpack_from(head)
        self.was_defining: bool = bool(self._marks[_DEFINING])

    def had_begun(self, number: int, is_async: bool, on_thread: bool) -> bool:
        """Whether it had begun call ``number``.

        Args:
            number: of the call.
            is_async: whether its function makes a coroutine.
            on_thread: whether it would run on a thread if it is not async.
        """
        read: int
        read, handed_on, coroutines, threads, _ = self._marks
        if number > read:
            return False
        if number == read and handed_on != number:
            return True
        if is_async or on_thread:
            begun: int = coroutines if is_async else threads
            return number <= begun
        return True
