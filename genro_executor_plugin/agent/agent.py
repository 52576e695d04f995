# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""An agent: says that it is there and what is free, and does what servers want of it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ExecutorConfigError, ExecutorError
from ..remote.access import Access
from ..remote.connection import Connection
from ..remote.envelope import Envelope, RefusedError, Seal
from ..remote.messages import Announcement, CallMessage, Kind, pack, read
from ..remote.post import Post
from ..remote.refusals import Refusals
from ..remote.subjects import EVERYBODY, Subjects, new_name
from ..remote.versions import CodeVersion
from .health import HealthPort
from .places import Places
from .pool import AgentPool
from .runs import Runs
from .service import Service

__all__ = ["Agent"]

_logger = logging.getLogger("genro_executor_plugin")

HEARTBEAT_SECONDS = 0.5
"""How often an agent says that it is there."""

_SOON_SECONDS = 0.02
"""How soon it says that something has changed."""

_RETRY_SECONDS = 0.5
_TELL_SECONDS = 60.0
"""How often it is logged that NATS cannot be reached."""

_ARRIVE_SECONDS = 3.0
"""How long an agent that ends waits until servers have its last answers."""


class Agent:
    """Runs the calls of servers in a pool of processes, until it is told to end.

    Attributes:
        name: identifies it among all agents.
        pool: where the calls run.
        starts_again: whether a server has asked that its process starts anew when it has ended.
    """

    def __init__(
        self,
        access: Access,
        subject: str,
        secret: bytes | None,
        pool: Mapping[str, Any],
        *,
        places: int | None = None,
        modules: Sequence[str] = (),
        lost_after: float = 10.0,
        health: tuple[str, int] | None = None,
    ) -> None:
        """Make an agent that does nothing yet.

        Args:
            access: where NATS is.
            subject: the subject of the pools that it works for.
            secret: what messages are signed with; ``None`` for agents that trust everybody.
            pool: the options of its pool of processes.
            places: how many calls it runs at a time; as many as the pool has threads, if ``None``.
            modules: which modules it serves, and no others; empty for all.
            lost_after: after how many seconds the calls of a server that was not heard of end.
            health: the address and port at which it says whether it is well; ``None`` for none.

        Raises:
            ExecutorConfigError: an option of the pool is wrong, or a module is not there.
        """
        self.name: str = new_name()
        self._subjects = Subjects(subject)
        try:
            self._code = CodeVersion.here(modules)
        except ImportError as error:
            raise ExecutorConfigError(f"the agent of {subject!r}: {error}") from error
        preload = ["genro_executor_plugin.worker.remote_call", *modules, *pool.get("preload", ())]
        options: dict[str, Any] = {"warm": True, **pool, "preload": preload}
        self.pool: AgentPool = AgentPool(subject, **options)
        threads = self.pool.pool_options.max_workers * self.pool.pool_options.threads_per_worker
        self._count = places or threads
        if self._count > self.pool.pool_options.max_pending:
            options["max_pending"] = self._count
            self.pool = AgentPool(subject, **options)
        self._seal = Seal(self.name, secret)
        self._refusals = Refusals(f"the agent of {subject!r}")
        self._connection = Connection(access, f"genro-executor agent {subject}", self._connected)
        self._url = access.url
        self._lost_after = lost_after
        self._service = Service(self.name, subject, self._code, self._state)
        self._health = None if health is None else HealthPort(*health, self._trouble)
        self.starts_again: bool = False
        self._ending = asyncio.Event()
        self._hurry = asyncio.Event()
        self._soon: asyncio.TimerHandle | None = None
        self._post: Post
        self._runs: Runs
        self._places: Places

    def drain(self) -> None:
        """End when the calls that run have ended; asked a second time, end them."""
        if self._ending.is_set():
            self._hurry.set()
        self.starts_again = False
        self._ending.set()

    async def serve(self) -> None:
        """Serve until ``drain`` is called and the calls have ended.

        Raises:
            ExecutorConfigError: nats-py is not there, or what lets the agent in cannot be read.
            WorkerCrashedError: its workers cannot be started.
        """
        try:
            if self._health is not None:
                await self._health.open()
            await self.pool.warm()
            if await self._reach_nats():
                await self._begin()
                await self._serve_until_told()
                await self._drained()
        finally:
            if self._soon is not None:
                self._soon.cancel()
            await self.pool.shutdown()
            await self._connection.close()
            if self._health is not None:
                await self._health.close()

    async def _reach_nats(self) -> bool:
        """Wait until NATS can be reached; ``False`` if the agent is to end before."""
        told_at = -_TELL_SECONDS
        loop = asyncio.get_running_loop()
        while not self._ending.is_set():
            try:
                await self._connection.open()
                return True
            except ExecutorConfigError:
                raise
            except ExecutorError as error:
                if loop.time() - told_at >= _TELL_SECONDS:
                    told_at = loop.time()
                    _logger.warning("%s. It is tried again until it is there", error)
            try:
                await asyncio.wait_for(self._ending.wait(), _RETRY_SECONDS)
            except TimeoutError:
                continue
        return False

    async def _begin(self) -> None:
        self._post = Post(
            *(self.name, self._connection, self._seal, self._refusals, self._subjects.server)
        )
        self._places = Places(self._count, self._grant)
        self._runs = Runs(
            *(self.pool, self._places, self._post, self._subjects, self._code),
            self._announce_soon,
            self._lost_after,
            self._service.ended,
        )
        self.pool.send_records(self._runs.recorded)
        await self._post.listen(self._subjects.agent(self.name), (self.name,), self._heard)
        await self._post.listen(self._subjects.questions, (EVERYBODY,), self._asked)
        await self._service.answer(self._connection)
        self._announce()
        _logger.info(
            "agent %s serves %r at %s with %d places",
            *(self.name, self._subjects.pool, self._url, self._count),
        )

    async def _serve_until_told(self) -> None:
        while not self._ending.is_set():
            try:
                await asyncio.wait_for(self._ending.wait(), HEARTBEAT_SECONDS)
            except TimeoutError:
                self._beat()

    def _beat(self) -> None:
        self._places.look()
        self._runs.look()
        self._post.look()
        self._announce()

    async def _drained(self) -> None:
        """Take no more calls, and wait until those that run have ended and are answered."""
        self._runs.accepts = False
        _logger.info("agent %s ends: %d calls run", self.name, self._runs.running)
        loop = asyncio.get_running_loop()
        until = loop.time() + self.pool.pool_options.shutdown_timeout
        while self._runs.running and loop.time() < until and not self._hurry.is_set():
            self._beat()
            await asyncio.sleep(_SOON_SECONDS)
        await self._runs.end_all()
        until = loop.time() + _ARRIVE_SECONDS
        while self._runs.unanswered and loop.time() < until and not self._hurry.is_set():
            self._beat()
            await asyncio.sleep(_SOON_SECONDS)
        self._announce()
        await self._connection.flush()

    # -- what it says -----------------------------------------------------------------------------

    def _announcement(self, asked_at: float = 0.0) -> bytes:
        serves = self._runs.accepts and not self._ending.is_set()
        return pack(
            Announcement(
                host=socket.gethostname(),
                pid=os.getpid(),
                places=self._count,
                free=self._places.free if serves else 0,
                serves=serves,
                code=self._code.as_dict(),
                health=self.pool.unhealthy or "",
                asked_at=asked_at,
            )
        )

    def _state(self) -> dict[str, Any]:
        places = self._places
        refused = dict(self._refusals.counts)
        return {
            "places": self._count,
            "running": places.running,
            "refused_messages": refused,
            "dropped_records": self._runs.outbound.dropped,
        }

    def _trouble(self) -> str:
        if self._ending.is_set():
            return "it is told to end"
        if not self._connection.connected:
            return f"NATS cannot be reached at {self._url}"
        return self.pool.unhealthy or ""

    def _announce(self) -> None:
        if self._soon is not None:
            self._soon.cancel()
            self._soon = None
        where = self._subjects.announcements
        self._post.send(where, EVERYBODY, Kind.ANNOUNCEMENT, self._announcement())

    def _announce_soon(self) -> None:
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(_SOON_SECONDS, self._announce)

    def _grant(self, server: str) -> None:
        self._runs.send(server, Kind.GRANT, (self._places.free,))

    def _connected(self, is_connected: bool) -> None:
        if is_connected and hasattr(self, "_runs"):
            _logger.info("agent %s has reached NATS at %s again", self.name, self._url)
            self._announce()
        elif not is_connected and not self._ending.is_set():
            _logger.warning("agent %s has lost NATS at %s", self.name, self._url)

    # -- what it hears ----------------------------------------------------------------------------

    def _asked(self, envelope: Envelope) -> None:
        if envelope.kind != Kind.QUESTION:
            raise RefusedError("body", f"agents are not asked by messages of kind {envelope.kind}")
        (asked_at,) = read(envelope)
        server = envelope.sender
        where = self._subjects.server(server)
        self._post.send(where, server, Kind.ANNOUNCEMENT, self._announcement(asked_at))

    def _leave(self, server: str, again: bool) -> None:
        """End as ``drain`` does; asked a second time by servers, it takes its time all the same."""
        if self._ending.is_set():
            return
        how = "end and to start anew" if again else "end"
        _logger.warning("agent %s is told to %s by the server %s", self.name, how, server)
        self.drain()
        self.starts_again = again

    def _heard(self, envelope: Envelope) -> None:
        server, body = envelope.sender, read(envelope)
        match envelope.kind:
            case Kind.CALL:
                self._runs.call(server, CallMessage(*body))
            case Kind.END:
                self._runs.end(server, *body)
            case Kind.TELL:
                self._runs.tell(server, *body)
            case Kind.AWAITED:
                self._runs.awaited(server, *body)
            case Kind.HANDLED:
                self._runs.heard(server)
                self._runs.outbound.handled(server, *body)
            case Kind.WANT:
                self._runs.heard(server)
                if self._runs.accepts:
                    self._places.want(server)
            case Kind.RETURN:
                self._places.give_back(server)
            case Kind.LEAVE:
                (again,) = body
                self._leave(server, again)
            case _:
                raise RefusedError("body", f"an agent is not sent messages of kind {envelope.kind}")
