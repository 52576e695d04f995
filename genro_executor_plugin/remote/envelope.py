# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Signed envelopes: nothing of a message is read before it is known who has sent it, to whom, when.

A packed call is code, and so is an answer: whoever can publish on a subject of NATS could run code
on both sides. Each message is therefore signed with a secret that both sides share (HMAC-SHA256
over all of it: kind, time, sender, recipient, body), and a message that was signed is taken once:
it has a number that counts up, and never goes back, in each session.

::

    GXN2 | signature, 32 bytes | kind, time, number, session, lengths | sender | recipient
         | body | tail

The tail is what is large of a message, as bytes that are not looked into.
"""

from __future__ import annotations

import hmac
import itertools
import os
import struct
import time
from collections.abc import Callable, Collection
from typing import NamedTuple

__all__ = ["CLOCK_SECONDS", "LEAST_SECRET_BYTES", "Envelope", "RefusedError", "Seal"]

CLOCK_SECONDS = 30.0
"""How far the clocks of two machines may be apart, the time on the way included."""

LEAST_SECRET_BYTES = 16
"""How long a secret has to be: what is shorter can be guessed."""

_MAGIC = b"GXN2"
_HEAD = struct.Struct("<BdQ16sBBI")
_SIGNED = len(_MAGIC) + 32
_SHORTEST = _SIGNED + _HEAD.size

_WINDOW = 1024
"""How many numbers below the highest one may still arrive late."""

_MOST_SESSIONS = 1000
"""From how many sessions on those that are too old to matter are forgotten."""

_NO_SECRET = b"genro-executor-plugin: no secret"
"""The key of those who have written down that they trust whoever can publish."""


class RefusedError(Exception):
    """A message that is not taken; ``reason`` is one word for counters, the text is for people."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Envelope(NamedTuple):
    """A message that was checked.

    Attributes:
        kind: which message it is; ``messages.py`` has the kinds.
        sender: the name of the one who has sent it.
        recipient: the name that it was sent to.
        body: what it says.
        sent_at: when it was sent by the sender's clock, in seconds since 1970.
        tail: bytes behind that, which ``body`` is about.
    """

    kind: int
    sender: str
    recipient: str
    body: bytes
    sent_at: float
    tail: bytes = b""


class Seal:
    """Signs what ``name`` sends, and checks what it receives."""

    def __init__(
        self, name: str, secret: bytes | None, clock: Callable[[], float] = time.time
    ) -> None:
        """Make the seal of ``name``.

        Args:
            name: who signs, in 255 bytes at most.
            secret: what both sides know; ``None`` for two sides that trust whoever can publish.
            clock: the time in seconds since 1970.
        """
        self._key = _NO_SECRET if secret is None else secret
        self._name = name.encode()
        self._clock = clock
        self._session = os.urandom(16)
        self._numbers = itertools.count(1)
        self._seen: dict[tuple[bytes, str], _Seen] = {}

    def seal(self, kind: int, recipient: str, body: bytes, tail: bytes | memoryview = b"") -> bytes:
        """The message of ``kind`` to ``recipient`` as signed bytes."""
        number, to = next(self._numbers), recipient.encode()
        lengths = len(self._name), len(to), len(body)
        head = _HEAD.pack(kind, self._clock(), number, self._session, *lengths)
        signed = b"".join((head, self._name, to, body, tail))
        return b"".join((_MAGIC, hmac.digest(self._key, signed, "sha256"), signed))

    def open(self, data: bytes, recipients: Collection[str]) -> Envelope:
        """The message in ``data``, which has to be for one of ``recipients``.

        Raises:
            RefusedError: it is none of this protocol, or was altered, or signed with another
                secret, or is for somebody else, or too old, or was taken before.
        """
        if len(data) < _SHORTEST or data[: len(_MAGIC)] != _MAGIC:
            raise RefusedError("foreign", "it is no message of this protocol")
        signed = memoryview(data)[_SIGNED:]
        expected = hmac.digest(self._key, signed, "sha256")
        if not hmac.compare_digest(expected, data[len(_MAGIC) : _SIGNED]):
            raise RefusedError(
                "signature",
                "its signature is wrong: it was altered on the way, or signed with another secret. "
                "Give the server and its agents the same secret",
            )
        kind, sent_at, number, session, *lengths = _HEAD.unpack_from(signed)
        of_sender, of_recipient, of_body = lengths
        begin = _HEAD.size
        middle, end = begin + of_sender, begin + of_sender + of_recipient
        sender, recipient = str(signed[begin:middle], "utf-8"), str(signed[middle:end], "utf-8")
        if recipient not in recipients:
            raise RefusedError("recipient", f"it was sent to {recipient!r}, who is somebody else")
        self._check_time(sender, sent_at)
        self._check_new(session, recipient, number, sent_at)
        body, tail = bytes(signed[end : end + of_body]), bytes(signed[end + of_body :])
        return Envelope(kind, sender, recipient, body, sent_at, tail)

    def _check_time(self, sender: str, sent_at: float) -> None:
        apart = self._clock() - sent_at
        if not -CLOCK_SECONDS <= apart <= CLOCK_SECONDS:
            raise RefusedError(
                "clock",
                f"{sender!r} has sent it {apart:.0f} s ago by its clock, and {CLOCK_SECONDS:.0f} s "
                "is the most. Synchronize the clocks of the machines",
            )

    def _check_new(self, session: bytes, recipient: str, number: int, sent_at: float) -> None:
        seen = self._seen.get((session, recipient))
        if seen is None:
            if len(self._seen) >= _MOST_SESSIONS:
                self._forget_old_sessions()
            seen = self._seen[session, recipient] = _Seen()
        if not seen.take(number):
            raise RefusedError("replayed", "it was sent a second time, which its sender never does")
        seen.last = max(seen.last, sent_at)

    def _forget_old_sessions(self) -> None:
        """Forget what is so old that the time of a message from there refuses it."""
        oldest = self._clock() - CLOCK_SECONDS
        self._seen = {key: seen for key, seen in self._seen.items() if seen.last >= oldest}


class _Seen:
    """The numbers of one session that were taken.

    Attributes:
        last: when the latest of its messages was sent.
    """

    __slots__ = ("_highest", "_taken", "last")

    def __init__(self) -> None:
        self._highest = 0
        self._taken = 0  # bit n stands for the number that is n below the highest
        self.last = 0.0

    def take(self, number: int) -> bool:
        """Whether ``number`` is a new one; it is none from now on."""
        above = number - self._highest
        if above > 0:
            kept = self._taken << above if above < _WINDOW else 0
            self._taken = (kept | 1) & ((1 << _WINDOW) - 1)
            self._highest = number
            return True
        if -above >= _WINDOW or self._taken >> -above & 1:
            return False
        self._taken |= 1 << -above
        return True
