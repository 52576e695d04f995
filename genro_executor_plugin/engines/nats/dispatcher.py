# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Which agent runs which call, and what becomes of each call.

A call is sent to an agent that has a free place, the one with least to do. While there is none it
waits here, and agents are told that somebody waits: each keeps a place for those that do, in turn.
Twice a second each agent is told which of its calls are still waited for (``agent/runs.py``).
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Callable
from typing import Any

from ...errors import ExecutorError, MemoryLimitError, WorkerCrashedError
from ...options.pool import PoolOptions
from ...portable.exceptions import unpack_failure
from ...remote.envelope import RefusedError
from ...remote.messages import Announcement, Kind
from ...worker.remote_call import FAILED, RETURNED
from ..base import Pool
from ..process.arrivals import OnRecord
from .agents import Agent
from .job import RemoteJob
from .sending import ANSWER_SECONDS, Sending

__all__ = ["Dispatcher"]

_logger = logging.getLogger("genro_executor_plugin")

_LOST = "lost"


class Dispatcher(Sending):
    """Sends the calls of one pool to agents. It belongs to the event loop that it is made on."""

    def __init__(
        self,
        pool: Pool,
        options: PoolOptions,
        secret: bytes | None,
        on_message: Callable[[RemoteJob, int | None, str, Any], None],
        on_record: OnRecord,
    ) -> None:
        super().__init__(pool, options, secret, on_record, self)
        self._on_message = on_message

    # -- what the engine asks for -----------------------------------------------------------------

    async def open(self) -> None:
        """Connect, and wait a moment for agents to say that they are there.

        Raises:
            ExecutorError: NATS cannot be reached.
        """
        await self.exchange.open()
        self.begin()
        try:
            await asyncio.wait_for(self._first_answer.wait(), ANSWER_SECONDS)
        except TimeoutError:
            return

    def begin(self) -> None:
        """Ask who is there, and look now and then whether they still are."""
        self._look()
        self._ask()

    def job(self, number: int) -> RemoteJob | None:
        """The call that was sent under ``number``; ``None`` if it is over."""
        found = self._sent.get(number)
        return found[1] if found is not None else None

    @property
    def running(self) -> int:
        """How many calls were sent and are not answered."""
        return len(self._sent)

    def submit(self, job: RemoteJob) -> None:
        """Send ``job`` as soon as an agent has a place."""
        if self._closing:
            job.fail(self._pool.closed_error())
            return
        self._queue.append(job)
        self._dispatch()
        if job.number == 0 and not self.agents.may_serve(job.module):
            self._ask()

    def withdraw(self, job: RemoteJob) -> bool:
        """Take ``job`` out of the queue; ``False`` if it is not there, because it was sent."""
        if job not in self._queue:
            return False
        self._queue.remove(job)
        return True

    def cancel(self, job: RemoteJob) -> None:
        """Take ``job``, whose caller does not wait any more, out of the queue, or end its run."""
        if self.withdraw(job):
            return
        found = self._sent.get(job.number)
        if found is None or found[1] is not job:
            return
        agent, number = found[0], job.number
        self._take(agent, number)
        if job.abandon:
            agent.left.add(number)
        else:
            self.exchange.post.forget(agent.name, number)
            self.exchange.tell(agent.name, Kind.END, number)
        self._dispatch()

    def tell(self, job: RemoteJob, channel: str, value: Any) -> bool:
        """Give the running ``job`` a message; ``False`` if it does not run (any more)."""
        found = self._sent.get(job.number)
        if found is None or found[1] is not job:
            return False
        packed = pickle.dumps((channel, value), 5)
        return self.exchange.tell(
            found[0].name, Kind.TELL, job.number, lane=job.number, tail=packed
        )

    def end_agent(self, name: str, again: bool) -> bool:
        """Tell the agent ``name`` to finish its calls and end; ``False`` if it is not known.

        Raises:
            ExecutorError: it cannot be told, because NATS cannot be reached.
        """
        if self.agents.get(name) is None:
            return False
        if not self.exchange.tell(name, Kind.LEAVE, again):
            raise ExecutorError(
                f"pool {self._pool.name!r} cannot tell agent {name} to end: NATS cannot be reached "
                f"for {self._where}: {self._reason()}",
                pool=self._pool.name,
            )
        return True

    def resume(self) -> None:
        """Send what waits, after a pause or with a new ``max_running``."""
        self._dispatch()

    async def close(self) -> None:
        """Fail every call that is still here, have its run ended, and close the connection."""
        self._closing = True
        for timer in (self._looking, self._judging):
            if timer is not None:
                timer.cancel()
        while self._queue:
            self._queue.popleft().fail(self._pool.closed_error())
        for number, (agent, sent) in list(self._sent.items()):
            self.exchange.tell(agent.name, Kind.END, number)
            sent.fail(self._pool.closed_error())
        self._sent.clear()
        if self._digesting is not None:
            self._digesting.cancel()
        await self._arrivals.close()
        await self.exchange.close()

    def trouble(self) -> str | None:
        """Why calls cannot be sent just now, ``None`` if they can."""
        if not self.exchange.connection.connected:
            return f"NATS cannot be reached for {self._where}: {self._reason()}"
        agents = self.agents.all()
        if any(agent.usable and not agent.said.health for agent in agents):
            return None
        sick = [f"{agent}: {agent.said.health}" for agent in agents if agent.said.health]
        why = "; ".join(sick) or self.agents.why_none("")
        return why or f"no agent for {self._where}: {self._why_nobody()}"

    # -- what agents say (exchange.Hearer) --------------------------------------------------------

    def answered(self, agent: str, number: int, free: int, answer: bytes) -> None:
        """Settle the call ``number``."""
        its = self._heard_of(agent)
        if its is None:
            return
        its.free = free
        its.left.discard(number)
        job = self._take(its, number)
        if job is None and number < its.since:
            self._refuse_late(f"agent {agent!r} was given up while it ran call {number}")
        elif job is not None:
            job.answered = True
            if answer[:1] == RETURNED:
                self._arrivals.result(job, memoryview(answer)[1:])
            elif answer[:1] == FAILED:
                self._arrivals.failure(job, memoryview(answer)[1:], _as_it_is)
            else:
                self._not_run(job, answer[1:])
        if its.unsettled and not its.said.serves:
            self._tell_awaited(its)  # it ends, and waits until its answers have arrived
        self._dispatch()

    def _not_run(self, job: RemoteJob, packed: bytes) -> None:
        error = unpack_failure(packed)
        crashed = isinstance(error, WorkerCrashedError) and not isinstance(error, MemoryLimitError)
        if crashed and job.retries > 0:
            self._again(job)
            return
        if isinstance(error, ExecutorError):
            error.pool = self._pool.name
        self._arrivals.fail(job, error)

    def not_begun(self, agent: str, number: int, why: str, free: int, reason: str) -> None:
        """Have the call ``number`` wait again, or fail it if it is lost."""
        its = self._heard_of(agent)
        if its is None:
            return
        its.free, its.granted = free, 0
        job = self._take(its, number)
        its.left.discard(number)
        if job is None:
            return
        if reason:
            job.has_not_begun()
            job.fail(self._nobody_error(job, f"{its}: {reason}"))
        elif why == _LOST:
            self._lose(job, its, "it does not know any more what became of the call")
        else:
            its.wanted = True  # it has taken that for a wish
            job.has_not_begun()
            self._queue.appendleft(job)
        self._dispatch()

    def sent(self, agent: str, number: int, pid: int, place: int, packed: bytes) -> None:
        """Hand on a message of the run of ``number``."""
        its = self._heard_of(agent)
        found = self._sent.get(number)
        if its is not None and place:
            self._intake.took(its, place)
        if its is None or found is None or found[0] is not its:
            return
        job = found[1]

        def deliver(channel: str, value: Any) -> None:
            self._on_message(job, pid, channel, value)

        self._arrivals.message(job, packed, deliver)

    def recorded(
        self, agent: str, number: int, pid: int, place: int, dropped: int, packed: bytes
    ) -> None:
        """Handle what was logged where the call ``number`` runs."""
        its = self._heard_of(agent)
        found = self._sent.get(number)
        if its is None:
            return
        if packed:
            job = found[1] if found is not None and found[0] is its else None
            if job is not None:
                job.has_sent()
            self._arrivals.record(job, pid, packed)
        self._intake.took(its, place, dropped)

    def granted(self, agent: str, free: int) -> None:
        """Use the place that ``agent`` keeps, or give it back."""
        its = self._heard_of(agent)
        if its is None:
            return
        its.free, its.wanted = free, False
        its.granted += 1
        self._dispatch()
        if its.granted and not self._queue:
            its.granted = 0
            self.exchange.tell(agent, Kind.RETURN)

    def announced(self, agent: str, said: Announcement, trip: float, clock: float) -> None:
        """Take in what ``agent`` says of itself."""
        its = self.agents.announced(agent, said, self.loop.time(), self._next_number)
        if trip:
            its.round_trip, its.clock = trip, clock
        self._knew_agents = True
        self._first_answer.set()
        if its.difference is None and self._digesting is None:
            self._compare_modules()
        self._dispatch()

    def nobody_is(self, agent: str, number: int) -> None:
        """Have the call ``number``, which nobody has got, wait again."""
        its = self.agents.get(agent)
        if its is None:
            return
        if its.absent_at is None:
            its.absent_at = self.loop.time()
        if number and (job := self._take(its, number)) is not None:
            self.exchange.post.forget(agent, number)
            job.has_not_begun()
            self._queue.appendleft(job)
        self._dispatch()

    def nobody_at_all(self) -> None:
        """Fail the calls that no agent will take."""
        self._first_answer.set()
        self._judge()

    def connected(self, is_connected: bool) -> None:
        """Note since when NATS is there, or is not."""
        self._changed_at = self.loop.time()
        if is_connected and not self._closing and self._looking is not None:
            _logger.info("pool %r has reached NATS again: %s", self._pool.name, self._where)
            self._ask()
        elif not is_connected and not self._closing:
            _logger.warning("pool %r has lost NATS: %s", self._pool.name, self._where)

    def _heard_of(self, name: str) -> Agent | None:
        """Agent ``name``, which lives; ``None`` if it was given up, or never announced."""
        agent = self.agents.get(name)
        if agent is None:
            self._refuse_late(f"agent {name!r} was given up, or has not announced itself")
        else:
            agent.heard_at, agent.absent_at = self.loop.time(), None
        return agent

    def _refuse_late(self, text: str) -> None:
        self.exchange.refusals.add("its answers", RefusedError("late", text))


def _as_it_is(error: BaseException) -> BaseException:
    return error
