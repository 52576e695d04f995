# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How the descriptors of segments (shared memory) get from one process to the other.

They travel on a socket of their own, each sent before the frame that refers to it, so that
reading ordinary frames costs nothing more. The server tells the worker when it has read a result:
the worker can use that segment again. The worker tells nothing of the kind: when it has answered
a call, it has read the arguments.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import socket
import struct
import threading
from collections import deque

from ...options.lacks import MORE_FILES
from ...portable.shared_memory.segments import Segment, Segments, Split
from ...worker.heap import keep_freed_blocks
from .marks import MARKS_BYTES, PROFILE_AT, WANTED_AT, Marks, signals_in

__all__ = ["Handover", "NonsenseError", "WorkerHandover", "is_lost_descriptor"]

_NO_ROOM = "there are too many files open to take over"

_MESSAGE = struct.Struct("<BI")
_GIVEN, _READ, _FAULTS = 1, 2, 3
_SLICE_MILLISECONDS = 50
"""How often a thread that waits for a descriptor looks whether another thread has read it."""

_FAULT_BYTES = 64 * 1024
"""How much, at most, is read of what a worker's faulthandler wrote."""

_WORD_BYTES = 1024 * 1024
"""The same of what a worker tells of where its calls are."""

_FATAL = b"Fatal Python error"
"""How what a faulthandler writes of a crash begins."""

_DESCRIPTOR = struct.Struct("i")


class NonsenseError(Exception):
    """The other process has sent what is no message: nothing behind it can be told apart."""


def _read(message: bytes) -> tuple[int, int]:
    """What ``message`` says: its kind, and the number of a segment."""
    if len(message) == _MESSAGE.size and message[0] in (_GIVEN, _READ, _FAULTS):
        what, number = _MESSAGE.unpack(message)
        return what, number
    raise NonsenseError(f"bytes that are no message of a descriptor: {message!r}")


def _receive(sock: socket.socket, size: int, flags: int = 0) -> tuple[bytes, list[int]]:
    """As ``socket.recv_fds``, which accepts ``flags`` and does not use them."""
    data, ancillary, _, _ = sock.recvmsg(size, socket.CMSG_SPACE(_DESCRIPTOR.size), flags)
    descriptors = []
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            descriptors += [fd for (fd,) in _DESCRIPTOR.iter_unpack(content)]
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)  # a program that a handler starts does not get it
    return data, descriptors


def is_lost_descriptor(error: OSError) -> bool:
    """Whether ``error`` is a ``lost_descriptor``."""
    return str(error.strerror).startswith(_NO_ROOM)


def lost_descriptor(whose: str) -> OSError:
    """The error when the kernel has dropped a descriptor that came: there was no room for it."""
    return OSError(
        errno.EMFILE,
        f"{_NO_ROOM} {whose}. {MORE_FILES}",
    )


class Handover:
    """The server's end, which never waits."""

    __slots__ = ("_faults", "_socket")

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._socket.setblocking(False)
        self._faults = -1

    def close(self) -> None:
        """Close the file that the worker's faulthandler may have written to."""
        if self._faults >= 0:
            os.close(self._faults)
            self._faults = -1

    def give(self, segment: Segment) -> None:
        """Give the worker ``segment``.

        Raises:
            BlockingIOError: it has not taken over the segments that it was given before.
            OSError: the worker is gone.
        """
        socket.send_fds(self._socket, [_MESSAGE.pack(_GIVEN, 0)], [segment.fd])

    def take(self) -> tuple[int, int]:
        """The descriptor of the oldest segment that the worker gave, and its number there.

        Raises:
            OSError: there is no descriptor; this process may have too many open files.
            NonsenseError: the worker sent something else.
        """
        message, descriptors = _receive(self._socket, _MESSAGE.size)
        if not message:
            raise ConnectionError("the worker is gone")
        what, number = _read(message)
        if not descriptors:
            if what == _GIVEN:
                self.has_read(number)  # the worker may use the segment again
            raise lost_descriptor("a large result")
        if what == _FAULTS:
            self._faults = descriptors[0]
            return self.take()
        return descriptors[0], number

    def begin_words(self) -> tuple[int, ...] | None:
        """Have what the worker tells next stand at the begin of its file.

        Returns:
            the signals that it listens to, ``None`` if there is no file, or it is about to die.

        Raises:
            OSError, NonsenseError: there is no file, or what came is none.
        """
        if not self._has_file() or self.words().startswith(_FATAL):
            return None
        # Both processes have one position in the file.
        os.truncate(self._faults, MARKS_BYTES)
        os.lseek(self._faults, MARKS_BYTES, os.SEEK_SET)
        return signals_in(os.pread(self._faults, MARKS_BYTES, 0))

    def _has_file(self) -> bool:
        if self._faults < 0 and self._socket.recv(1, socket.MSG_PEEK)[:1] == bytes([_FAULTS]):
            # It was sent before everything else.
            message, descriptors = _receive(self._socket, _MESSAGE.size)
            if message and descriptors:
                self._faults = descriptors[0]
        return self._faults >= 0

    def want_profile(self, number: int, wanted: bytes) -> int:
        """Write down that samples are wanted, for a signal to tell the worker.

        Args:
            number: of the profile, 0 to end the one that it makes.
            wanted: what of, as ``WorkerMarks.wanted`` reads it.

        Returns:
            the number of the signal; 0 if the worker listens to none.

        Raises:
            OSError, NonsenseError: there is no file, or what came is none.
        """
        if not self._has_file():
            return 0
        if number:
            os.pwrite(self._faults, wanted + b"\0", WANTED_AT)
        os.pwrite(self._faults, number.to_bytes(8, "little"), PROFILE_AT)
        return signals_in(os.pread(self._faults, MARKS_BYTES, 0))[-1]

    def words(self) -> bytes:
        """What the worker has told by now; another call of ``begin_words`` begins anew."""
        return os.pread(self._faults, _WORD_BYTES, MARKS_BYTES)

    def last_words(self) -> tuple[str, Marks | None]:
        """What the faulthandler of the worker, which has ended, wrote, and what it had begun."""
        with contextlib.suppress(OSError, NonsenseError):
            while True:
                descriptor, _ = self.take()
                os.close(descriptor)
        if self._faults < 0:
            return "", None
        head = os.pread(self._faults, MARKS_BYTES, 0)
        _, begins, words = self.words().partition(_FATAL)  # it may have been asked before
        text = (begins + words[:_FAULT_BYTES]).decode("utf-8", "replace").strip()
        return text, Marks(head) if len(head) == MARKS_BYTES else None

    def has_read(self, number: int) -> None:
        """Tell the worker that its segment ``number`` is not needed any more."""
        if self._socket.fileno() >= 0:
            try:
                self._socket.send(_MESSAGE.pack(_READ, number))
            except OSError:
                return  # it has ended, or it keeps this segment without using it again


class WorkerHandover:
    """The worker's end: it waits for descriptors that frames refer to, and keeps its segments."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        poll = select.poll()
        poll.register(self._socket, select.POLLIN)
        self._poll = poll.poll
        self._faults = -1
        self._taken: deque[int] = deque()
        self._given: dict[int, Segment] = {}
        self._segments = Segments()
        self._is_used = False
        self._lock = threading.Lock()  # calls on threads and coroutines answer, too

    def give_faults(self) -> int:
        """Make a file in memory for the faulthandler, and give the server its descriptor.

        Its head is for the marks, which the faulthandler writes behind.
        A file never blocks its writer, as an unread socket would: the process that
        writes is about to die.
        """
        fd = self._faults = os.memfd_create("genro-executor-faults", os.MFD_CLOEXEC)
        os.truncate(fd, MARKS_BYTES)
        os.lseek(fd, MARKS_BYTES, os.SEEK_SET)
        socket.send_fds(self._socket, [_MESSAGE.pack(_FAULTS, 0)], [fd])
        return fd

    def close(self) -> None:
        """Close the socket and the segments, at the end of the worker."""
        self._segments.close()
        self._socket.close()

    def let_go(self) -> None:
        """Close everything that is open here in a forked child of the worker."""
        if self._faults >= 0:
            os.close(self._faults)
        for segment in self._given.values():
            segment.close()
        for descriptor in self._taken:
            os.close(descriptor)
        self.close()

    def hold(self, parts: Split) -> Segment | None:
        """A segment with ``parts`` in it; ``None`` if the system has no shared memory for it."""
        if not self._is_used:
            self._begin()
        self._look()
        with self._lock:
            return self._segments.hold(parts)

    def _begin(self) -> None:
        self._is_used = True
        keep_freed_blocks()

    def can_give(self, segment: Segment) -> bool:
        """Whether there is memory for all of ``segment``; else it is closed."""
        try:
            segment.finish()
        except OSError:
            segment.close()
            return False
        return True

    def give(self, segment: Segment) -> None:
        """Give the server ``segment``; it is used again when the server has read it."""
        with self._lock:
            self._given[segment.number] = segment
        socket.send_fds(self._socket, [_MESSAGE.pack(_GIVEN, segment.number)], [segment.fd])

    def take(self) -> int:
        """The descriptor of the oldest segment that the server gave.

        Raises:
            OSError: this process has too many open files to take it.
        """
        if not self._is_used:
            self._begin()
        descriptor = self._next()
        if descriptor < 0:
            raise lost_descriptor("large arguments")
        return descriptor

    def _next(self) -> int:
        while not self._taken:
            self._poll(_SLICE_MILLISECONDS)  # another thread may read what this one waits for
            self._look()
        return self._taken.popleft()

    def drop(self) -> None:
        """Close the next segment: the call that it belongs to is not run here."""
        descriptor = self._next()
        if descriptor >= 0:
            os.close(descriptor)

    def _look(self) -> None:
        """Read what the server has sent; the order holds, whichever thread reads."""
        with self._lock, contextlib.suppress(BlockingIOError):
            while True:
                message, descriptors = _receive(self._socket, _MESSAGE.size, socket.MSG_DONTWAIT)
                if not message:
                    raise EOFError("the server is gone")
                what, number = _read(message)
                if what == _GIVEN:
                    self._taken.append(descriptors[0] if descriptors else -1)
                elif (segment := self._given.pop(number, None)) is not None:
                    self._segments.release(segment)
