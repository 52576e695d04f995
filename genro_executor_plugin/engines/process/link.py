# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What connects the server to one worker process: the socket, and the descriptors beside it.

It makes the frames of calls, behind the definitions that this worker does not have yet (the
worker's side of that is ``worker/reading.py``), and moves frames both ways without looking into
them; ``worker`` gives them their meaning.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import fcntl
import logging
import math
import os
import socket
import termios
from collections import deque
from collections.abc import Callable

from ...portable.definitions import Definition
from .claims import Claims
from .handover import Handover
from .job import Job
from .wire import CHUNK, DEFINE, FROM_WORKER, HEADER, LARGE, MARK, Frame, FrameCutter, frame

__all__ = ["Link"]

_logger = logging.getLogger("genro_executor_plugin")


class Link:
    """The server's ends: frames both ways, claims, segments, and the worker's lifeline.

    Attributes:
        claims: which of the calls sent ahead can still be taken back.
        handover: how descriptors of segments come and go.
        open: whether the worker can still be reached, as far as the server knows.
        read: returns the frames that have arrived; errors as those of ``FrameCutter.read``.
    """

    __slots__ = (
        "_broken",
        "_descriptors",
        "_known",
        "_loop",
        "_outgoing",
        "_pauses",
        "_readable",
        "_send",
        "_sent",
        "_socket",
        "claims",
        "handover",
        "open",
        "read",
    )

    def __init__(self, start: Callable[[list[int]], None]) -> None:
        """Connect to the process that ``start`` starts with the descriptors it is given.

        Raises:
            OSError: too many files are open, or no process can be started.
        """
        self._loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            self._socket, their_socket = socket.socketpair()
            ours.callback(self._socket.close)
            theirs.callback(their_socket.close)
            beside, their_beside = socket.socketpair()
            ours.callback(beside.close)
            theirs.callback(their_beside.close)
            self.claims: Claims = Claims()
            ours.callback(self.claims.close)
            lifeline, ours_alive = os.pipe()
            ours.callback(os.close, ours_alive)
            theirs.callback(os.close, lifeline)
            start(
                [
                    their_socket.fileno(),
                    lifeline,
                    self.claims.worker_fd,
                    their_beside.fileno(),
                ]
            )
            self.handover: Handover = Handover(beside)
            ours.callback(self.handover.close)
            self._descriptors = ours.pop_all()
        self._socket.setblocking(False)
        self._send = self._socket.send
        self.read: Callable[[], list[Frame]] = FrameCutter(self._socket, FROM_WORKER).read
        self._outgoing: deque[memoryview] = deque()
        self._known: dict[int, int] = {}
        self._sent: tuple[Definition, ...] = ()
        self._pauses = 0
        self._readable: Callable[[], None]
        self._broken: Callable[[str], None]
        self.open: bool = True

    def watch(self, readable: Callable[[], None], broken: Callable[[str], None]) -> None:
        """Call ``readable`` from now on when there is something to ``read``.

        Args:
            readable: called when something has arrived.
            broken: called with what is wrong when nothing can be read any more.
        """
        self._readable, self._broken = readable, broken
        self._loop.add_reader(self._socket, readable)

    def pause(self) -> None:
        """Read nothing until ``resume``: the process waits when the socket is full."""
        if self.open and not self._pauses:
            self._loop.remove_reader(self._socket)
        self._pauses += 1

    def resume(self) -> None:
        """Read again, if this is the end of every pause."""
        try:
            self._pauses -= 1
            if self.open and not self._pauses:
                self._loop.add_reader(self._socket, self._readable)
        except BaseException:
            _logger.exception("a worker cannot be read any more; it is killed")
            self._broken("what could not be read")

    @property
    def reads_left(self) -> int:
        """How many times to ``read``, at most, for what the process has sent by now."""
        if not self.open:
            return 0
        unread = array.array("i", [0])
        fcntl.ioctl(self._socket, termios.FIONREAD, unread)
        return unread[0] // CHUNK + 1

    def encode(self, kind: int, number: int, job: Job) -> bytes:
        """Call ``number`` as bytes to be written; a large call's segment is given away at once.

        Raises:
            BlockingIOError: the process has too many large arguments to take over as it is.
            OSError: the process is gone.
        """
        call = job.packed
        payload = call.payload
        if call.segment is not None:
            if self.open:
                self.handover.give(call.segment)
            kind += LARGE
        soft_timeout = math.ceil(job.soft_timeout * 1000) if job.soft_timeout else 0
        data = HEADER.pack(len(payload), number, soft_timeout, MARK + kind) + payload
        if call.definitions is self._sent:  # nearly always: the call before was of its function
            return data
        return self._missing(call.definitions) + data

    def _missing(self, definitions: tuple[Definition, ...]) -> bytes:
        """Those of ``definitions`` that the worker does not have; it has them from now on."""
        self._sent = definitions
        frames = []
        for definition in definitions:
            if self._known.get(definition.key) != definition.version:
                self._known[definition.key] = definition.version
                kind = DEFINE + definition.kind
                frames.append(frame(kind, definition.key, definition.payload, definition.owner))
        return b"".join(frames)

    def write(self, data: bytes) -> bool:
        """Send ``data``, now or when the socket takes it; ``False`` if the process is gone."""
        if not self.open:
            return False
        if self._outgoing:
            self._outgoing.append(memoryview(data))
            return True
        try:
            sent = self._send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return False
        if sent != len(data):
            self._loop.add_writer(self._socket, self._writable)
            self._outgoing.append(memoryview(data)[sent:])
        return True

    def _writable(self) -> None:
        try:
            while self._outgoing:
                sent = self._send(self._outgoing[0])
                if sent < len(self._outgoing[0]):
                    self._outgoing[0] = self._outgoing[0][sent:]
                else:
                    self._outgoing.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._outgoing.clear()  # it is dying; its exit report settles its calls
        self._loop.remove_writer(self._socket)

    def close(self) -> None:
        """Close every descriptor; the kernel ends a worker whose lifeline is closed."""
        if self.open:
            self.open = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._outgoing.clear()
            self._descriptors.close()

    def abandon(self) -> None:
        """As ``close``, when the event loop is closed already."""
        if self.open:
            self.open = False
            self._descriptors.close()
