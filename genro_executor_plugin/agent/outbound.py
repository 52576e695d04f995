# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Log records and progress on their way to servers, of which there may be more than they handle.

A server says how far it has handled them (``HANDLED``). A few are ahead of that, some more wait
here, and beyond these records are dropped: the next one says how many. Of progress the newest of
each call waits, in place of the one before. So a run that logs without pause fills no memory, and
its server learns of what it has not seen.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from ..remote.messages import Kind

__all__ = ["Outbound"]

_AHEAD, _AHEAD_BYTES = 256, 2**20
"""How much may be on the way to a server, or wait there to be handled."""

_WAITING, _WAITING_BYTES = 4096, 4 * 2**20
"""How much of the records for one server may wait here."""

_LOST_SECONDS = 3.0
"""After how long without a word what was sent is lost, if the server has nothing to handle."""


class _Send(Protocol):
    def __call__(
        self, server: str, kind: Kind, body: tuple[int, ...], lane: int, tail: bytes, /
    ) -> bool: ...


@dataclass(slots=True)
class _Line:
    """What is on its way to one server.

    Attributes:
        sent: the number of what was sent last; they count up.
        ahead: number and size of what is sent and not handled.
        ahead_bytes: how many bytes that has.
        waiting: the records that wait: number of the call, process, and the record itself.
        waiting_bytes: how many bytes these have.
        newest: the progress that waits, by the number of its call.
        dropped: how many records were dropped of which the server does not know.
        idle: whether the server had nothing to handle when it spoke last.
        moved_at: when it has spoken of something new last.
    """

    sent: int = 0
    ahead: deque[tuple[int, int]] = field(default_factory=deque)
    ahead_bytes: int = 0
    waiting: deque[tuple[int, int, bytes]] = field(default_factory=deque)
    waiting_bytes: int = 0
    newest: dict[int, tuple[int, bytes]] = field(default_factory=dict)
    dropped: int = 0
    idle: bool = True
    moved_at: float = 0.0

    @property
    def has_room(self) -> bool:
        return len(self.ahead) < _AHEAD and self.ahead_bytes < _AHEAD_BYTES


class Outbound:
    """Sends records and progress to all servers.

    Attributes:
        dropped: how many records were dropped in all.
    """

    def __init__(self, send: _Send, clock: Callable[[], float]) -> None:
        """Send through ``send``, which says whether it was sent; ``clock`` has the time."""
        self._send, self._clock = send, clock
        self._lines: dict[str, _Line] = {}
        self.dropped: int = 0

    def record(self, server: str, number: int, pid: int, packed: bytes) -> None:
        """Send a record of the call ``number``, at once or later, or drop it."""
        line = self._line(server)
        if line.has_room and not line.waiting:
            self._send_record(server, line, number, pid, packed)
        elif len(line.waiting) < _WAITING and line.waiting_bytes < _WAITING_BYTES:
            line.waiting.append((number, pid, packed))
            line.waiting_bytes += len(packed)
        else:
            self._drop(line)

    def progress(self, server: str, number: int, pid: int, packed: bytes) -> None:
        """Send the progress of the call ``number``, or the newest of it as soon as possible."""
        line = self._line(server)
        line.newest[number] = pid, packed
        if line.has_room and not line.waiting:
            self._send_newest(server, line, number)

    def finish(self, server: str, number: int) -> None:
        """Send all that waits of the call ``number``: its answer comes behind that."""
        line = self._lines.get(server)
        if line is None:
            return
        # Records of other calls may be before its last one, and keep their order.
        places = [place for place, item in enumerate(line.waiting, 1) if item[0] == number]
        for _ in range(places[-1] if places else 0):
            self._send_first(server, line)
        self._send_newest(server, line, number)

    def handled(self, server: str, handled: int, heard: int) -> None:
        """Take in up to which number ``server`` has handled what it has got up to ``heard``."""
        line = self._lines.get(server)
        if line is None:
            return
        line.idle = handled >= heard
        if line.ahead and line.ahead[0][0] <= handled:
            line.moved_at = self._clock()
        while line.ahead and line.ahead[0][0] <= handled:
            line.ahead_bytes -= line.ahead.popleft()[1]
        self._go_on(server, line)

    def look(self) -> None:
        """Count on nothing that was lost on its way; to be called now and then."""
        now = self._clock()
        for server, line in self._lines.items():
            if line.ahead and line.idle and now - line.moved_at > _LOST_SECONDS:
                line.ahead.clear()
                line.ahead_bytes = 0
                self._go_on(server, line)

    def forget(self, server: str) -> None:
        """Drop what is for ``server``, which is gone."""
        self._lines.pop(server, None)

    # -- within -----------------------------------------------------------------------------------

    def _line(self, server: str) -> _Line:
        line = self._lines.get(server)
        if line is None:
            line = self._lines[server] = _Line()
        return line

    def _go_on(self, server: str, line: _Line) -> None:
        while line.waiting and line.has_room:
            self._send_first(server, line)
        while line.newest and line.has_room:
            self._send_newest(server, line, next(iter(line.newest)))
        if line.dropped and line.has_room:
            self._send_record(server, line, 0, 0, b"")  # only says how many were dropped

    def _send_first(self, server: str, line: _Line) -> None:
        number, pid, packed = line.waiting.popleft()
        line.waiting_bytes -= len(packed)
        self._send_record(server, line, number, pid, packed)

    def _send_record(self, server: str, line: _Line, number: int, pid: int, packed: bytes) -> None:
        body = number, pid, line.sent + 1, line.dropped
        if self._send(server, Kind.RECORD, body, number, packed):
            line.dropped = 0
            self._sent(line, packed)
        elif packed:
            self._drop(line)

    def _send_newest(self, server: str, line: _Line, number: int) -> None:
        found = line.newest.pop(number, None)
        if found is not None:
            body = number, found[0], line.sent + 1
            if self._send(server, Kind.MESSAGE, body, number, found[1]):
                self._sent(line, found[1])

    def _sent(self, line: _Line, packed: bytes) -> None:
        if not line.ahead:
            line.moved_at = self._clock()
        line.sent += 1
        line.ahead.append((line.sent, len(packed)))
        line.ahead_bytes += len(packed)

    def _drop(self, line: _Line) -> None:
        line.dropped += 1
        self.dropped += 1
