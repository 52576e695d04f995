# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Sends calls to agents, and looks now and then whether each of them can still be answered."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from ...errors import NoAgentError, SerializationError, WorkerLostError
from ...options.pool import PoolOptions
from ...remote.access import Access
from ...remote.messages import CallMessage, Kind
from ...remote.post import TooLargeToSendError
from ...remote.versions import CodeVersion, digest_of
from ..base import Pool
from ..process.arrivals import Arrivals, OnRecord
from .agents import Agent, AgentTable
from .exchange import Exchange, Hearer
from .intake import Intake
from .job import RemoteJob
from .large import HeldSegment

__all__ = ["ANSWER_SECONDS", "Sending"]

_logger = logging.getLogger("genro_executor_plugin")

_LOOK_SECONDS = 0.5
_ASK_SECONDS = 5.0
"""How often agents are asked, so that it is known how far away they are."""

ANSWER_SECONDS = 0.4
"""How long agents that were asked who is there may take to say so."""

_RETURN_SECONDS = 2.0
"""How long agents that were there may take to come back when NATS has come back."""


class Sending:
    """The calls of one pool that wait and that were sent. ``Dispatcher`` hears what is answered.

    Attributes:
        loop: the event loop that it belongs to.
        agents: the agents that are there.
        exchange: the messages to them and from them.
        max_running: how many calls may be sent and not answered.
        paused: whether no call is sent.
    """

    def __init__(
        self,
        pool: Pool,
        options: PoolOptions,
        secret: bytes | None,
        on_record: OnRecord,
        hearer: Hearer,
    ) -> None:
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._pool = pool
        own = options.own
        self._where = f"{own['subject']!r} at {own['url']}"
        self._lost_after: float = own["lost_after"]
        self.agents: AgentTable = AgentTable(CodeVersion.here(), options.own["lost_after"])
        access = Access.of(own)
        self.exchange: Exchange = Exchange(pool.name, access, own["subject"], secret, hearer)
        self._arrivals = Arrivals(pool.name, self.loop, on_record)
        self._intake = Intake(pool.name, self._arrivals, self.exchange.tell)
        self._queue: deque[RemoteJob] = deque()
        self._next_number = 1
        self._sent: dict[int, tuple[Agent, RemoteJob]] = {}
        self._changed_at = self.loop.time()
        self._asked_at = 0.0
        self._judging: asyncio.TimerHandle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self._digesting: asyncio.Task[None] | None = None
        self._first_answer = asyncio.Event()
        self._knew_agents = False
        self._closing = False
        self.max_running: int = options.max_workers
        self.paused: bool = pool.paused

    @property
    def arrivals(self) -> Arrivals:
        """What is rebuilt of the answers and messages of agents."""
        return self._arrivals

    # -- sending ----------------------------------------------------------------------------------

    def _dispatch(self) -> None:
        """Send what waits, as far as agents have places."""
        blocked: set[str] = set()
        while self._queue and not self.paused and len(self._sent) < self.max_running:
            job = next((job for job in self._queue if job.module not in blocked), None)
            if job is None:
                break
            if job.future.done():
                self._queue.remove(job)
                continue
            agent = self.agents.choose(job.module)
            if agent is None:
                blocked.add(job.module)
                continue
            self._queue.remove(job)
            if not self._send(agent, job):
                self._queue.appendleft(job)
                return
        if blocked:
            self._want(blocked)

    def _want(self, modules: set[str]) -> None:
        """Tell the agents that could run what waits that somebody waits."""
        for agent in self.agents.all():
            if agent.usable and not agent.wanted and any(map(agent.code.serves, modules)):
                agent.wanted = self.exchange.tell(agent.name, Kind.WANT)

    def _send(self, agent: Agent, job: RemoteJob) -> bool:
        number, packed = self._next_number, job.packed
        self._next_number += 1
        more = bool(self._queue) and not agent.wanted
        message = CallMessage(
            *(number, packed.title, job.module, packed.is_async, job.timeout, job.soft_timeout),
            more,
            [(d.key, d.version, d.owner, d.kind, d.payload) for d in packed.definitions],
            packed.payload,
            packed.segment.content if isinstance(packed.segment, HeldSegment) else b"",
        )
        try:
            if not self.exchange.call(agent.name, message):
                return False
        except TooLargeToSendError as error:
            refusal = SerializationError(
                f"the arguments of {packed.title} cannot be sent to an agent: {error}. Send less, "
                "or where it lies"
            )
            job.fail(refusal)
            return True
        if agent.granted:
            agent.granted -= 1
        else:
            agent.free -= 1
        agent.wanted = agent.wanted or more
        agent.running[number], agent.highest, agent.unsettled = job, number, True
        agent.calls += 1
        self._sent[number] = agent, job
        job.sent_to(agent.name, number)
        return True

    def _take(self, agent: Agent, number: int) -> RemoteJob | None:
        """The job of ``number``, which does not run on ``agent`` any more."""
        agent.running.pop(number, None)
        found = self._sent.pop(number, None)
        return found[1] if found is not None else None

    def _again(self, job: RemoteJob) -> None:
        """Have ``job``, whose run is over without an answer of its own, run once more."""
        job.retries -= 1
        job.started_at = None
        job.answered = False
        self._queue.appendleft(job)

    def _lose(self, job: RemoteJob, agent: Agent, reason: str) -> None:
        """Fail ``job``, which ``agent`` had, or have it run elsewhere if that was asked for."""
        if job.retries > 0:
            self._again(job)
            return
        job.fail(
            WorkerLostError(
                f"it is not known what became of {job.packed.title}, which was sent to {agent} by "
                f"pool {self._pool.name!r} on {self._where}: {reason}. It may have run, with all "
                "of its effects; where that does no harm, give it retries=1",
                pool=self._pool.name,
                pid=agent.said.pid,
                agent=agent.name,
                host=agent.said.host,
            )
        )

    def _nobody_error(self, job: RemoteJob, reason: str) -> NoAgentError:
        return NoAgentError(
            f"pool {self._pool.name!r} has no agent for {job.packed.title} on {self._where}: "
            f"{reason}. Nothing was sent. Start one with genro-executor worker, the same code "
            "and the same secret",
            pool=self._pool.name,
            retry_after=2,
        )

    def _why_nobody(self) -> str:
        refused = self.exchange.refusals.counts["signature"]
        if not refused:
            return "nobody listens there"
        return (
            f"nobody listens there who has the same secret ({refused} messages had a signature of "
            "another one)"
        )

    def _reason(self) -> str:
        return self.exchange.connection.last_error or "the connection is lost"

    # -- who is there -----------------------------------------------------------------------------

    def _ask(self) -> None:
        """Ask who is there; calls that nobody will take fail when that is known."""
        self._asked_at = self.loop.time()
        if self.exchange.ask() and self._judging is None:
            self._judging = self.loop.call_later(ANSWER_SECONDS, self._judge)

    def _judge(self) -> None:
        """Fail the calls that wait and that no agent will take, whatever comes."""
        if self._judging is not None:
            self._judging.cancel()
            self._judging = None
        if self._closing or not self._queue:
            return
        connected, now = self.exchange.connection.connected, self.loop.time()
        patience = _RETURN_SECONDS if connected else self._lost_after
        if self._digesting is not None or (self._knew_agents and now - self._changed_at < patience):
            self._judging = self.loop.call_later(ANSWER_SECONDS, self._judge)
            return
        for job in list(self._queue):
            if not connected:
                reason = f"NATS cannot be reached: {self._reason()}"
            elif self.agents.may_serve(job.module):
                continue
            else:
                reason = self.agents.why_none(job.module) or self._why_nobody()
            self._queue.remove(job)
            job.fail(self._nobody_error(job, reason))

    def _compare_modules(self) -> None:
        """Find out, on a thread, what digests the modules have here that agents name."""

        async def compare() -> None:
            try:
                while names := self.agents.unknown_modules():
                    for name in names:
                        self.agents.digests[name] = await asyncio.to_thread(digest_of, name)
            finally:
                self._digesting = None
            for agent in self.agents.all():
                self.agents.compare(agent)
            self._dispatch()
            self._judge()

        self._digesting = self.loop.create_task(compare())

    # -- now and then -----------------------------------------------------------------------------

    def _look(self) -> None:
        """Tell agents what is waited for, and give up those that are gone."""
        self._looking = self.loop.call_later(_LOOK_SECONDS, self._look)
        now = self.loop.time()
        for agent, reason in list(self.agents.gone(now)):
            self._give_up(agent, reason)
        self.exchange.post.look()
        for agent in self.agents.all():
            if agent.unsettled:
                self._tell_awaited(agent)
            agent.wanted = False  # the wish may have got lost
            self._intake.look(agent, now)
        if now - self._asked_at > _ASK_SECONDS:
            self._ask()
        if self._queue:
            self._dispatch()
            if self._judging is None and not any(
                self.agents.may_serve(job.module) for job in self._queue
            ):
                self._ask()
                self._judge()

    def _tell_awaited(self, agent: Agent) -> None:
        """Tell ``agent`` which of its calls are waited for."""
        leaving = self.exchange.post.is_leaving
        awaited = [number for number in agent.running if not leaving(agent.name, number)]
        told = self.exchange.tell(agent.name, Kind.AWAITED, agent.highest, [*awaited, *agent.left])
        if told and not agent.running and not agent.left:
            agent.unsettled = False

    def _give_up(self, agent: Agent, reason: str) -> None:
        """Wait no more for ``agent``: what it says from now on is refused."""
        self.agents.remove(agent)
        self.exchange.post.forget(agent.name)
        for number, job in list(agent.running.items()):
            self._take(agent, number)
            self._lose(job, agent, reason)
        if agent.said.serves:
            _logger.warning("pool %r gives %s up: %s", self._pool.name, agent, reason)
        self._dispatch()
