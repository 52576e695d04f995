# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What connects the server to one worker process: the socket, and the descriptors beside it.

It moves bytes and frames, without looking into them; ``worker`` gives them their meaning.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections import deque
from collections.abc import Callable

from .claims import Claims
from .handover import Handover
from .wire import Frame, FrameCutter

__all__ = ["Link"]


class Link:
    """The server's ends: frames both ways, claims, segments, and the worker's lifeline.

    Attributes:
        claims: which of the calls sent ahead can still be taken back.
        handover: how descriptors of segments come and go.
        open: whether the worker can still be reached, as far as the server knows.
    """

    __slots__ = (
        "_cutter",
        "_descriptors",
        "_loop",
        "_outgoing",
        "_send",
        "_socket",
        "claims",
        "handover",
        "open",
    )

    def __init__(self, start: Callable[[list[int]], int]) -> None:
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
            self.claims = Claims()
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
            self.handover = Handover(beside)
            ours.callback(self.handover.close)
            self._descriptors = ours.pop_all()
        self._socket.setblocking(False)
        self._send = self._socket.send
        self._cutter = FrameCutter(self._socket)
        self._outgoing: deque[memoryview] = deque()
        self.open = True

    def watch(self, readable: Callable[[], None]) -> None:
        """Call ``readable`` from now on when there is something to ``read``."""
        self._loop.add_reader(self._socket, readable)

    def read(self) -> list[Frame]:
        """The frames that have arrived; errors as those of ``FrameCutter.read``."""
        return self._cutter.read()

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
