# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Sends and receives the messages of one side: signed, checked, and in parts where they are large.

::

    send        body ── seal ─────────────────────────────────────────────>  connection
                  └── larger than NATS takes: parts, a few ahead of what was taken
    listen      connection ──>  open, or refuse and count ──>  heard(letter)
                                  └── a part: kept until all are there, and acknowledged

Messages of one lane (a call, say) arrive in the order in which they were sent, large or not.
"""

from __future__ import annotations

import asyncio
import io
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import NamedTuple

from .connection import Connection
from .envelope import Envelope, RefusedError, Seal
from .messages import Kind, pack, read
from .refusals import Refusals

__all__ = ["MOST_BYTES", "Post", "TooLargeToSendError"]

MOST_BYTES = 2**30
"""How large a message may be, in all of its parts."""

_PART_BYTES = 512 * 1024
_ENVELOPE_BYTES = 1024
"""How many bytes of a message are not its body, at most."""

_PARTS_AHEAD = 8
"""How many parts may be on the way: so much memory a receiver that is slow costs."""

_STALE_SECONDS = 20.0
"""After so long without another part a message is given up, on either side."""

_MOST_ARRIVING = 256
"""How many messages of one sender may be arriving in parts."""


class TooLargeToSendError(ValueError):
    """A message has more than ``MOST_BYTES``."""


class _Letter(NamedTuple):
    subject: str
    recipient: str
    kind: int
    body: bytes
    tail: bytes
    nobody_to: str


@dataclass(slots=True)
class _Leaving:
    """A message that is being sent in parts, and those behind it in its lane."""

    letter: _Letter
    size: int
    of_body: int
    sent: int = 0
    taken: int = 0
    moved_at: float = 0.0
    behind: deque[_Letter] = field(default_factory=deque)

    @classmethod
    def of(cls, letter: _Letter, size: int, now: float) -> _Leaving:
        return cls(letter, size, -(-len(letter.body) // size), moved_at=now)

    @property
    def parts(self) -> int:
        return self.of_body - (-len(self.letter.tail) // self.size)

    def part(self, index: int) -> memoryview:
        """A part of the body, or behind these one of the tail."""
        whole = self.letter.body
        if index >= self.of_body:
            whole, index = self.letter.tail, index - self.of_body
        return memoryview(whole)[index * self.size : (index + 1) * self.size]


@dataclass(slots=True)
class _Arriving:
    """A message that is arriving in parts.

    Attributes:
        of_body: how many bytes of its body are still to come.
        of_tail: how many of its tail are.
        next: which part is the next one.
    """

    of_body: int
    of_tail: int
    next: int = 0
    body: io.BytesIO = field(default_factory=io.BytesIO)
    tail: io.BytesIO = field(default_factory=io.BytesIO)
    moved_at: float = 0.0

    def take(self, part: bytes) -> bool:
        """Take the next part; ``False`` if it cannot be one."""
        of_body = min(len(part), self.of_body)
        self.of_body -= of_body
        self.of_tail -= len(part) - of_body
        self.next += 1
        # What these have is given away without a copy, however large it is.
        (self.body if of_body else self.tail).write(part)
        return bool(part) and of_body in (0, len(part)) and self.of_tail >= 0


class Post:
    """Sends and receives for ``me``.

    Attributes:
        refusals: what was refused of what has come.
    """

    def __init__(
        self,
        me: str,
        connection: Connection,
        seal: Seal,
        refusals: Refusals,
        subject_of: Callable[[str], str],
    ) -> None:
        """Send and receive through ``connection``.

        Args:
            me: the name that others send to.
            connection: an open one.
            seal: signs and checks.
            refusals: where refused messages are counted.
            subject_of: on which subject the sender of parts is told that they were taken.
        """
        self._me = me
        self._connection = connection
        self._seal = seal
        self.refusals: Refusals = refusals
        self._subject_of = subject_of
        self._leaving: dict[tuple[str, int], _Leaving] = {}
        self._arriving: dict[tuple[str, int], _Arriving] = {}
        self._loop = asyncio.get_running_loop()

    async def listen(
        self,
        subject: str,
        recipients: Collection[str],
        heard: Callable[[Envelope], None],
        nobody: Callable[[str], None] | None = None,
    ) -> None:
        """Have ``heard`` called with what comes through ``subject`` for one of ``recipients``.

        Args:
            subject: where to listen.
            recipients: the names of whom it may be for.
            heard: may raise ``RefusedError`` for a body that makes no sense.
            nobody: called with the subject that was to be told so when nobody listens.
        """

        def arrived(where: str, data: bytes, is_nobody: bool) -> None:
            if is_nobody:
                if nobody is not None:
                    nobody(where)
                return
            try:
                envelope = self._seal.open(data, recipients)
                if envelope.kind == Kind.PART:
                    self._take_part(envelope, heard)
                elif envelope.kind == Kind.TAKEN:
                    self._was_taken(envelope)
                else:
                    heard(envelope)
            except RefusedError as error:
                self.refusals.add(where, error)
            except (ValueError, TypeError, KeyError, IndexError) as error:
                # Signed, and yet not what the protocol has: another version of it, say.
                self.refusals.add(where, RefusedError("body", f"it makes no sense: {error!r}"))

        await self._connection.listen(subject, arrived)

    def send(
        self,
        subject: str,
        recipient: str,
        kind: int,
        body: bytes,
        lane: int = 0,
        nobody_to: str = "",
        tail: bytes = b"",
    ) -> bool:
        """Send a message; ``False`` if it is not sent, and never will be.

        Args:
            subject: where to.
            recipient: the name of whom it is for.
            kind: which message it is.
            body: what ``pack`` has made.
            lane: what is behind another message of its lane stays there; 0 is no lane.
            nobody_to: the subject that is told if nobody listens.
            tail: bytes that stand behind the body.

        Raises:
            TooLargeToSendError: it is larger than a receiver takes.
        """
        letter = _Letter(subject, recipient, kind, body, tail, nobody_to)
        waiting = self._leaving.get((recipient, lane)) if lane and self._leaving else None
        if waiting is not None:
            waiting.behind.append(letter)
            return True
        size = min(self._connection.max_payload - _ENVELOPE_BYTES, _PART_BYTES)
        length = len(body) + len(tail)
        if length <= size:
            data = self._seal.seal(kind, recipient, body, tail)
            return self._connection.send(subject, data, nobody_to)
        if length > MOST_BYTES:
            raise TooLargeToSendError(
                f"it has {length / 1e6:.0f} MB, and {MOST_BYTES / 1e6:.0f} MB is the most"
            )
        if not self._connection.connected:
            return False
        leaving = _Leaving.of(letter, size, self._loop.time())
        self._leaving[recipient, lane] = leaving
        self._go_on(recipient, lane, leaving)
        return True

    def is_leaving(self, recipient: str, lane: int) -> bool:
        """Whether parts of a message of ``lane`` are still to be sent."""
        return (recipient, lane) in self._leaving

    def forget(self, recipient: str, lane: int | None = None) -> None:
        """Send no more to ``recipient``, in ``lane`` or at all."""
        for key in [key for key in self._leaving if key[0] == recipient and lane in (None, key[1])]:
            del self._leaving[key]
        if lane is None:
            for arriving in [key for key in self._arriving if key[0] == recipient]:
                del self._arriving[arriving]

    def look(self) -> None:
        """Give up what has not moved for long; to be called now and then."""
        oldest = self._loop.time() - _STALE_SECONDS
        for leaving in [key for key, item in self._leaving.items() if item.moved_at < oldest]:
            del self._leaving[leaving]
        for arriving in [key for key, item in self._arriving.items() if item.moved_at < oldest]:
            del self._arriving[arriving]

    # -- parts ------------------------------------------------------------------------------------

    def _go_on(self, recipient: str, lane: int, leaving: _Leaving) -> None:
        """Send the parts that may be sent now; and what is behind them after the last one."""
        letter, parts = leaving.letter, leaving.parts
        while leaving.sent < parts and leaving.sent - leaving.taken < _PARTS_AHEAD:
            lengths = len(letter.body), len(letter.tail)
            head = pack((lane, leaving.sent, parts, int(letter.kind), *lengths))
            data = self._seal.seal(Kind.PART, recipient, head, leaving.part(leaving.sent))
            if not self._connection.send(letter.subject, data, letter.nobody_to):
                del self._leaving[recipient, lane]
                return
            leaving.sent += 1
        if leaving.sent == parts:
            del self._leaving[recipient, lane]
            for behind in leaving.behind:
                subject, _, kind, body, tail, nobody_to = behind
                self.send(subject, recipient, kind, body, lane, nobody_to, tail)

    def _was_taken(self, envelope: Envelope) -> None:
        lane, taken = read(envelope)
        leaving = self._leaving.get((envelope.sender, lane))
        if leaving is not None and leaving.taken < taken <= leaving.sent:
            leaving.taken, leaving.moved_at = taken, self._loop.time()
            self._go_on(envelope.sender, lane, leaving)

    def _take_part(self, envelope: Envelope, heard: Callable[[Envelope], None]) -> None:
        lane, index, parts, kind, of_body, of_tail, part = read(envelope)
        key = envelope.sender, lane
        if index == 0:
            others = sum(sender == envelope.sender for sender, _ in self._arriving)
            size = of_body + of_tail
            if not 0 < size <= MOST_BYTES or others >= _MOST_ARRIVING:
                raise RefusedError("size", f"it has {size} bytes in parts, which is too much")
            self._arriving[key] = _Arriving(of_body, of_tail)
        arriving = self._arriving.get(key)
        if arriving is None or index != arriving.next or not arriving.take(part):
            self._arriving.pop(key, None)
            raise RefusedError(
                "parts", "a part of it is missing, or is too large; it is sent again if it matters"
            )
        arriving.moved_at = self._loop.time()
        if index + 1 < parts:
            taken = self._seal.seal(Kind.TAKEN, envelope.sender, pack((lane, index + 1)))
            self._connection.send(self._subject_of(envelope.sender), taken)
            return
        del self._arriving[key]
        if arriving.of_body or arriving.of_tail:
            raise RefusedError("parts", "its parts are not as large as its first one says")
        body, tail = arriving.body.getvalue(), arriving.tail.getvalue()
        heard(envelope._replace(kind=kind, body=body, tail=tail))
