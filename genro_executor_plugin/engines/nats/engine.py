# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The engine of pools whose calls run on other machines."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Mapping
from contextvars import copy_context
from time import perf_counter
from typing import Any, ClassVar

from ...metrics.tracing import current_trace
from ...metrics.worker_state import WorkerState
from ...options.capabilities import Capability
from ...options.kinds import EngineOption
from ...options.pool import PoolOptions
from ...portable.calls import PackedCall
from ...portable.extras import pack_extras
from ...portable.packing import CallPacker
from ...remote.access import read_secret
from ...worker.forks import when_forked
from ..base import Engine, Load, Pool
from ..call import Call
from ..process.job import Job
from ..process.records import handle_record
from .agents import Agent
from .dispatcher import Dispatcher
from .job import RemoteJob, module_of
from .options import OWN_OPTIONS

__all__ = ["NatsEngine"]


class NatsEngine(Engine):
    """Runs calls on agents, which are reached through NATS."""

    name = "nats"
    default_workers: ClassVar[int | None] = 1000
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.AGENTS,
            Capability.CONNECTS,
            Capability.CONTEXT,
            Capability.INTERRUPTS,
            Capability.ISOLATES,
            Capability.KILLS,
            Capability.PAUSES,
            Capability.PORTABLE,
            Capability.RESIZES,
            Capability.STREAMS,
        }
    )
    own_options: ClassVar[Mapping[str, EngineOption]] = OWN_OPTIONS

    def __init__(self, pool: Pool, options: PoolOptions) -> None:
        super().__init__(pool, options)
        self._packer = CallPacker(context=options.context)
        self._dispatcher: Dispatcher | None = None
        self._opening: asyncio.Task[Dispatcher] | None = None
        self._ended = False
        when_forked(self.let_go)

    def let_go(self) -> None:
        """Have no connection in a forked child of the server, which may make its own."""
        self._dispatcher = self._opening = None

    def pack(self, call: Call) -> PackedCall:
        extras = None
        if call.streams or self.options.context or call.traced:
            trace = current_trace() if call.traced else {}
            extras = pack_extras(self.pool.name, self.options.context, trace, call.streams)
        return self._packer.pack(call.func, call.args, call.kwargs, call.cleanup, extras)

    async def run(self, call: Call, packed: PackedCall) -> Any:
        dispatcher = self._dispatcher
        if dispatcher is None or dispatcher.loop is not asyncio.get_running_loop():
            call.begun = False
            dispatcher = await self._reach()
        asked, options = call.options, self.options
        job = call.handle = RemoteJob(
            packed,
            dispatcher.loop.create_future(),
            asked.timeout or options.timeout,
            asked.soft_timeout or options.soft_timeout,
            options.retries if asked.retries is None else asked.retries,
            options.on_cancel == "abandon" and not call.kill_on_cancel,
            asked.route,
            call,
        )
        job.agent, job.number, job.module = "", 0, module_of(call.func)
        call.context = copy_context()
        queued_at = perf_counter()
        alarm = None
        try:
            dispatcher.submit(job)
            if call.deadline is not None and job.started_at is None:
                alarm = dispatcher.loop.call_at(call.deadline, self._give_up, job, call)
            return await job.future
        except BaseException:
            if not job.future.done() or job.future.cancelled():  # nobody waits for it any more
                dispatcher.cancel(job)
            else:
                job.discard()
            job.let_go()
            raise
        finally:
            call.raised = job.raised
            call.begun = job.begun
            if call.on_message is not None:  # few calls have somebody who wants to know
                call.ran_by = job.ran_by
            call.handle = None  # or the two would wait for the garbage collector
            if alarm is not None:
                alarm.cancel()
            if job.started_at is not None:
                call.waited = job.started_at - queued_at
                call.ran = perf_counter() - job.started_at

    def _give_up(self, job: RemoteJob, call: Call) -> None:
        try:
            if job.begun or job.future.done() or self._dispatcher is None:
                return
            if self._dispatcher.withdraw(job):
                job.fail(self.pool.waited_too_long(call))
        except Exception as error:
            job.fail(error)  # the call has no limit any more

    async def _reach(self) -> Dispatcher:
        """The dispatcher of the running event loop, which is connected.

        Raises:
            ExecutorError: NATS cannot be reached.
        """
        if self._ended:
            raise self.pool.closed_error()
        loop = asyncio.get_running_loop()
        if self._dispatcher is not None and self._dispatcher.loop is loop:
            return self._dispatcher
        if self._opening is None or self._opening.get_loop() is not loop:
            self._dispatcher = None
            self._opening = loop.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> Dispatcher:
        try:
            dispatcher = await self._opened()
        finally:
            self._opening = None
        dispatcher.paused, dispatcher.max_running = self.pool.paused, self.options.max_workers
        self._dispatcher = dispatcher
        return dispatcher

    async def _opened(self) -> Dispatcher:
        # Here, and not when the pool is made: who checks a configuration need not have the secret.
        own = self.options.own
        secret = read_secret(f"pool {self.pool.name!r}", own["secret_file"], own["insecure"])
        dispatcher = Dispatcher(self.pool, self.options, secret, self._arrived, self._record)
        try:
            await dispatcher.open()
        except BaseException:
            await dispatcher.close()
            raise
        return dispatcher

    # -- what runs send ---------------------------------------------------------------------------

    def _arrived(self, job: RemoteJob, pid: int | None, channel: str, value: Any) -> None:
        self.pool.message(job.owner, pid, channel, value)

    def _record(self, job: Job | None, pid: int | None, packed: bytes | memoryview) -> None:
        """Handle a record or a warning of an agent's worker, on the pool's thread for records."""
        handle_record(self.pool.name, job, pid, packed)

    def commit(self, call: Call) -> None:
        if isinstance(call.handle, Job):
            call.handle.retries = 0

    def tell(self, call: Call, channel: str, value: Any) -> bool:
        if self._dispatcher is None or not isinstance(call.handle, RemoteJob):
            return False
        return self._dispatcher.tell(call.handle, pickle.dumps((channel, value), 5))

    # -- agents -----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect.

        Raises:
            ExecutorConfigError: there is no secret, or nats-py is not there.
            ExecutorError: NATS cannot be reached.
        """
        await self._reach()

    def load(self) -> Load:
        dispatcher = self._dispatcher
        if dispatcher is None:
            return Load(0, 0, 0)
        agents = dispatcher.agents.all()
        return Load(dispatcher.running, sum(bool(agent.running) for agent in agents), len(agents))

    def workers(self) -> list[WorkerState]:
        if self._dispatcher is None:
            return []
        return [_state(agent) for agent in self._dispatcher.agents.all()]

    def trouble(self) -> str | None:
        return self._dispatcher.trouble() if self._dispatcher is not None else None

    def set_paused(self, paused: bool) -> None:
        if self._dispatcher is not None:
            self._dispatcher.paused = paused
            self._dispatcher.resume()

    def resize(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.max_running = self.options.max_workers
            self._dispatcher.resume()

    def end_agent(self, name: str, again: bool) -> bool:
        return self._dispatcher is not None and self._dispatcher.end_agent(name, again)

    async def close(self) -> None:
        self._ended = True
        opening, self._opening = self._opening, None
        if opening is not None and opening.get_loop() is asyncio.get_running_loop():
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        dispatcher, self._dispatcher = self._dispatcher, None
        if dispatcher is not None and dispatcher.loop is asyncio.get_running_loop():
            await dispatcher.close()


def _state(agent: Agent) -> WorkerState:
    """``agent`` as displays show workers: with the call that has run longest in it."""
    now = perf_counter()
    jobs = [job for job in agent.running.values() if job.started_at is not None]
    oldest = min(jobs, key=lambda job: job.started_at or now, default=None)
    return WorkerState(
        pid=agent.said.pid,
        state="leaving" if not agent.said.serves else "busy" if agent.running else "idle",
        route=oldest.route if oldest is not None else None,
        function=oldest.packed.title if oldest is not None else None,
        running_seconds=now - (oldest.started_at or now) if oldest is not None else 0.0,
        running=len(agent.running),
        calls=agent.calls,
        host=agent.said.host,
        agent=agent.name,
        version=f"{agent.code.package}, {agent.code.python}",
        places=agent.said.places,
        round_trip=agent.round_trip,
        clock=agent.clock,
    )
