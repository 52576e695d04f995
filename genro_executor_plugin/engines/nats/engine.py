# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The engine of pools whose calls run on other machines."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter
from typing import ClassVar

from ...metrics.worker_state import WorkerState
from ...options.capabilities import Capability
from ...options.kinds import EngineOption
from ...options.pool import PoolOptions
from ...remote.access import read_secret
from ..base import Load, Pool
from ..connecting import ConnectingEngine
from .agents import Agent
from .dispatcher import Dispatcher
from .job import RemoteJob
from .large import HeldSegments
from .options import OWN_OPTIONS

__all__ = ["NatsEngine"]


class NatsEngine(ConnectingEngine[Dispatcher]):
    """Runs calls on agents, which are reached through NATS."""

    name = "nats"
    job_type = RemoteJob
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
        super().__init__(pool, options, HeldSegments())

    @property
    def _dispatcher(self) -> Dispatcher | None:
        return self._pool

    async def _open(self) -> Dispatcher:
        dispatcher = await self._opened()
        dispatcher.paused, dispatcher.max_running = self.pool.paused, self.options.max_workers
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

    # -- agents -----------------------------------------------------------------------------------

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
