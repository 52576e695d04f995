# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The frames between the server and a worker: what they are, and how they are cut from bytes.

A frame is a header and a payload. The header holds the payload's length, a number (of a call, or
of a definition), a detail whose meaning depends on the kind, the kind, and a mark. Frames keep
their order. Nothing here knows what is in a payload.

Native code that mixes up descriptors may write into this socket. Bytes that are no frame lack the
mark, or have a kind that does not come from this side: ``WRONG`` is what is read then, and the
end of it. A length reserves no memory: a buffer grows by what arrives.
"""

from __future__ import annotations

import math
import select
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from ...worker.forks import end_child
from ...worker.running import SHIELD

__all__ = [
    "BESIDE",
    "BOOT",
    "BOOT_FAILED",
    "CALL",
    "CALL_AHEAD",
    "CHUNK",
    "DEFINE",
    "END",
    "ENDING",
    "FAILURE",
    "FROM_SERVER",
    "FROM_WORKER",
    "HEADER",
    "LARGE",
    "MARK",
    "MESSAGE",
    "READY",
    "RESULT",
    "STOP",
    "TELL",
    "UNCLAIMED",
    "WRONG",
    "Frame",
    "FrameCutter",
    "FrameSocket",
    "frame",
]

HEADER = struct.Struct("<QIII")
_HEADER_SIZE = HEADER.size

MARK = 0x9E4758 << 8
"""Stands beside the kind in each header, so that bytes which are no header are found out."""

BOOT, CALL, CALL_AHEAD, STOP, TELL, END, DEFINE = 1, 2, 3, 4, 5, 6, 16
"""Server to worker. ``DEFINE`` is added to the definition's kind, and its detail is the owner of
the definition; the detail of a call is its soft timeout in milliseconds, 0 for none; ``TELL`` is
a message for a running call, and ``END`` has one end, in which its function is told so."""

READY, BOOT_FAILED, RESULT, FAILURE, MESSAGE, BESIDE, ENDING = 33, 34, 35, 36, 37, 38, 39
UNCLAIMED = 48
"""Worker to server. The detail of a result is how long the call ran, in microseconds, 0 if that
was not measured. The number of a message that no call sent is 0; the detail of a log record or a
warning is 1, of other messages 0. ``UNCLAIMED`` says that a call sent ahead is not run, because
the worker has found no token for it; ``BESIDE`` that a call turned out to make a coroutine, and
does not occupy the thread; ``ENDING`` that a coroutine was told to end: its event loop turns."""

LARGE = 64
"""Added to the kind of a call or a result that lies in a segment; its payload is the layout."""

WRONG = 0
"""No frame: what was read makes no sense; the payload says what is wrong with it."""

FROM_SERVER = {MARK + kind: kind for kind in (*range(1, 33), *range(65, 97))}
FROM_WORKER = {MARK + kind: kind for kind in (*range(33, 64), *range(97, 128))}
"""The kinds that come from either side, by the last word of a header."""

CHUNK = 16 * 1024
"""How much is read at once: most frames are far smaller, and a larger buffer costs more."""

_SMALL = 64 * 1024
"""Up to this size a payload is copied behind its header: one write is cheaper than two."""


_NOBODY = -1
"""In the place of the thread that sends: this process is a forked child, and must not."""

_STEP = 1024 * 1024
"""How large the buffer of a payload is at first, at most; it grows when it is full."""

Frame = tuple[int, int, int, bytes | memoryview]
"""A frame as it was read: kind, number, detail, payload."""


def frame(kind: int, number: int = 0, payload: bytes = b"", detail: int = 0) -> bytes:
    """A frame as bytes."""
    return HEADER.pack(len(payload), number, detail, MARK + kind) + payload


class FrameCutter:
    """Cuts what a socket delivers into frames, without copying large payloads twice."""

    __slots__ = ("_filled", "_head", "_kinds", "_large", "_receive", "_rest", "_socket", "_wanted")

    def __init__(self, sock: socket.socket, kinds: dict[int, int]) -> None:
        """Read from ``sock`` frames of ``kinds``: ``FROM_SERVER`` or ``FROM_WORKER``."""
        self._socket = sock
        self._kinds = kinds
        self._receive = sock.recv
        self._rest = b""
        self._large: bytearray | None = None
        self._head = (0, 0, 0)
        self._filled = 0
        self._wanted = 0

    def read(self) -> list[Frame]:
        """Read once from the socket; the frames that are complete now.

        The last one may be ``WRONG``; nothing that comes behind it can be told apart.

        Raises:
            BlockingIOError: there is nothing to read yet.
            EOFError: the other side is gone.
        """
        if self._large is not None:
            return self._read_large(self._large)
        data = self._receive(CHUNK)
        if not data:
            raise EOFError
        if self._rest:
            data = self._rest + data
            self._rest = b""
        start, end = 0, len(data)
        if end >= _HEADER_SIZE:
            length, number, detail, last = HEADER.unpack_from(data)
            kind = self._kinds.get(last)
            if end == _HEADER_SIZE + length and kind is not None:  # nearly always: one frame, whole
                return [(kind, number, detail, data[_HEADER_SIZE:])]
        frames: list[Frame] = []
        while end - start >= _HEADER_SIZE:
            length, number, detail, last = HEADER.unpack_from(data, start)
            kind = self._kinds.get(last)
            if kind is None:
                frames.append((WRONG, 0, 0, b"bytes that are no frame: " + repr_of(data[start:])))
                return frames
            body = start + _HEADER_SIZE
            start = body + length
            if start > end:
                start = body - _HEADER_SIZE
                if length > _SMALL:
                    self._expect_large((kind, number, detail), length, memoryview(data)[body:])
                    return frames
                break
            frames.append((kind, number, detail, data[body:start]))
        if start < end:
            self._rest = data[start:]
        return frames

    def _expect_large(self, head: tuple[int, int, int], length: int, begun: memoryview) -> None:
        self._head = head
        self._wanted = length
        self._large = bytearray(max(min(length, _STEP), len(begun)))
        self._filled = len(begun)
        self._large[: self._filled] = begun

    def _read_large(self, large: bytearray) -> list[Frame]:
        if self._filled == len(large):
            large.extend(bytes(min(len(large), self._wanted - len(large))))
        with memoryview(large) as view, view[self._filled :] as rest:
            count = self._socket.recv_into(rest)
        if not count:
            raise EOFError
        self._filled += count
        if self._filled < self._wanted:
            return []
        self._large = None
        return [(*self._head, memoryview(large))]


def repr_of(data: bytes) -> bytes:
    """The beginning of ``data`` as it is shown in a message."""
    return repr(data[:_HEADER_SIZE]).encode()


class FrameSocket:
    """A worker's end of the socket: reads and writes frames, and blocks while it does."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._cutter = FrameCutter(sock, FROM_SERVER)
        self._read: deque[Frame] = deque()
        self._sending = threading.RLock()
        self._holder = 0
        self._late: deque[tuple[int, int, bytes, int]] = deque()
        poll = select.poll()  # select takes no descriptor above 1023
        poll.register(sock, select.POLLIN)
        self._poll = poll.poll

    def frames(self) -> Iterator[Frame]:
        """Every frame until the server closes its end or dies."""
        frames, read, poll = self._read, self._cutter.read, self._poll
        while True:
            while frames:
                yield frames.popleft()
            # When the server takes an answer off the socket, Linux wakes a reader that waits in
            # recv, though there is nothing to read; it does not wake one that waits in poll.
            poll()
            try:
                frames.extend(read())
            except (EOFError, ConnectionError):
                return

    def take(self, kind: int, timeout: float | None, deliver: Callable[[Frame], None]) -> None:
        """Deliver the frames of ``kind`` that have arrived, ahead of those that arrived earlier.

        Args:
            kind: which frames to take.
            timeout: how many seconds to wait for one, ``None`` for no limit.
            deliver: is called with each of them.

        Raises:
            EOFError: the server is gone.
        """
        milliseconds = None if timeout is None else math.ceil(timeout * 1000)
        arrived = any(frame[0] == kind for frame in self._read)
        if not arrived and not self._poll(milliseconds):
            return
        # From here on nothing may interrupt: bytes that were read would be lost with their frames.
        with SHIELD:
            if not arrived:
                self._read.extend(self._cutter.read())
            for _ in range(len(self._read)):
                frame = self._read.popleft()
                if frame[0] == kind:
                    deliver(frame)
                else:
                    self._read.append(frame)

    @property
    def is_in_use_here(self) -> bool:
        """Whether this thread reads or writes a frame just now, and must not be interrupted."""
        return SHIELD.covers_this_thread or threading.get_ident() == self._holder

    def send_behind(
        self, first: Callable[[], None], kind: int, number: int, payload: bytes, detail: int
    ) -> None:
        """Call ``first`` and send a frame, with no other frame in between."""
        with self._sending:
            if self._holder == _NOBODY:
                end_child(sys.exception())
            self._holder = threading.get_ident()
            try:
                first()
                self._socket.sendall(frame(kind, number, payload, detail))
            finally:
                self._holder = 0
            self._send_late()

    def undisturbed(self) -> AbstractContextManager[bool]:
        """A context in which no other thread is in the midst of writing a frame."""
        return self._sending

    def send(self, kind: int, number: int = 0, payload: bytes = b"", detail: int = 0) -> None:
        """Send a frame; any thread may, and a signal handler in the midst of a frame may, too."""
        head = HEADER.pack(len(payload), number, detail, MARK + kind)
        with self._sending:  # calls on other threads send their answers, too
            if self._holder:
                if self._holder == _NOBODY:
                    end_child(sys.exception())
                # A finalizer or a signal handler has interrupted a frame of this thread, and logs.
                self._late.append((kind, number, payload, detail))
                return
            self._holder = threading.get_ident()
            try:
                if len(payload) <= _SMALL:
                    self._socket.sendall(head + payload)
                else:
                    self._socket.sendall(head)
                    self._socket.sendall(payload)
            finally:
                self._holder = 0
            if self._late:
                self._send_late()

    def let_go(self) -> None:
        """Close the socket in a forked child, which ends when it would send something."""
        self._socket.close()
        self._sending = threading.RLock()  # a thread that is not there may hold the other one
        self._holder = _NOBODY

    def _send_late(self) -> None:
        while self._late:
            with SHIELD:  # what has left the queue must be on its way before anything interrupts
                self.send(*self._late.popleft())
