# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Which of the calls that were sent ahead may a worker still start?

A call that is sent to a busy worker has a token in a pipe that both sides read. The worker takes
the token before it starts the call; the server takes it to have the call back. A token can be
read only once, so exactly one side gets it, however close the two reads are. The tokens that are
left in the pipe when a worker dies are those of the calls that it never started.

A worker that comes to a call which was taken back reads the next token in its place, and keeps it.
Its call has to be the next one to start then: where another call came between, the server could
take it for one that had started. So a worker is sent nothing ahead before it has refused what was
taken back from it.
"""

from __future__ import annotations

import contextlib
import os
import struct

__all__ = ["Claims", "WorkerClaims"]

_TOKEN = struct.Struct("<I")


class Claims:
    """The server's end: gives tokens for calls sent ahead, and takes them back."""

    __slots__ = ("_read", "_write")

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)

    @property
    def worker_fd(self) -> int:
        """The descriptor that the worker is given."""
        return self._read

    def give(self, numbers: list[int]) -> None:
        """Allow the worker to start these calls, in this order."""
        os.write(self._write, b"".join(map(_TOKEN.pack, numbers)))

    def take_back(self) -> int | None:
        """The number of the oldest call that has not started; it will not start any more."""
        return _take(self._read)

    def close(self) -> None:
        """Close both ends that the server has."""
        os.close(self._read)
        os.close(self._write)


class WorkerClaims:
    """The worker's end: may this call be started?"""

    __slots__ = ("_fd", "_held")

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._held: int | None = None

    def claim(self, number: int) -> bool:
        """Whether call ``number`` is still this worker's; calls come in the order of tokens."""
        # The token of an earlier call, whose frame got lost, must not hold up the others.
        while self._held is None or self._held < number:
            self._held = _take(self._fd)
            if self._held is None:
                return False
        if self._held == number:
            self._held = None
            return True
        return False  # it was taken back, or got lost; a token that is held is of a later call

    def let_go(self) -> None:
        """Close it in a forked child, which starts no calls."""
        os.close(self._fd)


def _take(fd: int) -> int | None:
    with contextlib.suppress(BlockingIOError):
        token = os.read(fd, _TOKEN.size)
        if token:
            number: int = _TOKEN.unpack(token)[0]
            return number
    return None
