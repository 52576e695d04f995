# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The messages between a server and its agents, from the server's side."""

from __future__ import annotations

import time
from typing import Any, Protocol

from ...remote.access import Access
from ...remote.connection import Connection
from ...remote.envelope import Envelope, RefusedError, Seal
from ...remote.messages import Announcement, CallMessage, Kind, pack, read
from ...remote.post import Post
from ...remote.refusals import Refusals
from ...remote.subjects import EVERYBODY, Subjects, new_name

__all__ = ["Exchange", "Hearer"]


class Hearer(Protocol):
    """What hears what agents say."""

    def announced(self, agent: str, said: Announcement, trip: float, clock: float) -> None:
        """``agent`` is there; ``trip`` seconds away if it was asked, and else 0.0."""

    def answered(self, agent: str, number: int, free: int, answer: bytes) -> None:
        """Call ``number`` has ended."""

    def not_begun(self, agent: str, number: int, why: str, free: int, reason: str) -> None:
        """Call ``number`` does not run there."""

    def sent(self, agent: str, number: int, pid: int, place: int, packed: bytes) -> None:
        """The run of call ``number`` has sent a message, from the process ``pid``.

        ``place`` numbers progress and records together, 0 for another message.
        """

    def recorded(
        self, agent: str, number: int, pid: int, place: int, dropped: int, packed: bytes
    ) -> None:
        """Something was logged where call ``number`` runs, in the process ``pid``.

        ``dropped`` records before it were not sent; without ``packed`` it only says so.
        """

    def granted(self, agent: str, free: int) -> None:
        """A place is kept for this server."""

    def nobody_is(self, agent: str, number: int) -> None:
        """``agent`` does not listen, also not to the call ``number`` unless that is 0."""

    def nobody_at_all(self) -> None:
        """No agent was asked just now, because none listens."""

    def connected(self, is_connected: bool) -> None:
        """NATS is there again, or it is not any more."""


class Exchange:
    """Sends what a server has to say, and tells a ``Hearer`` what agents say.

    Attributes:
        name: identifies this server among all.
        connection: the way to NATS.
        refusals: what was refused of what has come.
    """

    def __init__(
        self, pool: str, access: Access, subject: str, secret: bytes | None, hearer: Hearer
    ) -> None:
        self.name: str = new_name()
        self._hearer = hearer
        self._subjects = Subjects(subject)
        self._mine = self._subjects.server(self.name)
        # It cannot be guessed: who knows it could say in the name of NATS that nobody listens.
        self._nobody = f"{self._mine}.{new_name()}{new_name()}"
        self._seal = Seal(self.name, secret)
        self.refusals: Refusals = Refusals(f"pool {pool!r}")
        self.connection: Connection = Connection(
            access, f"genro-executor pool {pool}", hearer.connected
        )
        self.post: Post

    async def open(self) -> None:
        """Connect and listen.

        Raises:
            ExecutorError: NATS cannot be reached.
        """
        await self.connection.open()
        self.post = Post(
            *(self.name, self.connection, self._seal, self.refusals, self._subjects.agent)
        )
        mine, everybody = (self.name,), (EVERYBODY,)
        await self.post.listen(self._mine, mine, self._heard)
        await self.post.listen(f"{self._nobody}.>", mine, self._heard, self._heard_nobody)
        await self.post.listen(self._subjects.announcements, everybody, self._heard)

    async def close(self) -> None:
        """Send what is on its way, and close the connection."""
        await self.connection.flush()
        await self.connection.close()

    # -- what is said -----------------------------------------------------------------------------

    def ask(self) -> bool:
        """Ask who is there."""
        return self.post.send(
            *(self._subjects.questions, EVERYBODY, Kind.QUESTION, pack((time.monotonic(),))),
            nobody_to=f"{self._nobody}.ask",
        )

    def call(self, agent: str, message: CallMessage) -> bool:
        """Send a call; ``False`` if it is not sent.

        Raises:
            TooLargeToSendError: it is larger than can be sent.
        """
        number = message.number
        return self.post.send(
            *(self._subjects.agent(agent), agent, Kind.CALL, pack(message[:-1]), number),
            nobody_to=f"{self._nobody}.agent.{agent}.{number}",
            tail=message.large,
        )

    def tell(self, agent: str, kind: Kind, *body: Any, lane: int = 0, tail: bytes = b"") -> bool:
        """Send ``agent`` something other than a call."""
        return self.post.send(
            *(self._subjects.agent(agent), agent, kind, pack(body), lane),
            nobody_to=f"{self._nobody}.agent.{agent}.0",
            tail=tail,
        )

    # -- what is heard ----------------------------------------------------------------------------

    def _heard_nobody(self, subject: str) -> None:
        what, *rest = subject[len(self._nobody) + 1 :].split(".")
        if what == "ask":
            self._hearer.nobody_at_all()
        else:
            agent, number = rest
            self._hearer.nobody_is(agent, int(number))

    def _heard(self, envelope: Envelope) -> None:
        agent, body, hearer = envelope.sender, read(envelope), self._hearer
        match envelope.kind:
            case Kind.ANSWER:
                hearer.answered(agent, *body)
            case Kind.MESSAGE:
                hearer.sent(agent, *body)
            case Kind.ANNOUNCEMENT:
                said = Announcement(*body)
                trip = time.monotonic() - said.asked_at if said.asked_at else 0.0
                hearer.announced(agent, said, trip, envelope.sent_at + trip / 2 - time.time())
            case Kind.NOT_BEGUN:
                hearer.not_begun(agent, *body)
            case Kind.GRANT:
                hearer.granted(agent, *body)
            case Kind.RECORD:
                hearer.recorded(agent, *body)
            case _:
                raise RefusedError("body", f"a server is not sent messages of kind {envelope.kind}")
