# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The engine of pools whose calls run on a Ray cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from time import perf_counter
from typing import ClassVar

from ...errors import WorkerCrashedError
from ...metrics.worker_state import WorkerState
from ...options.capabilities import Capability
from ...options.kinds import EngineOption
from ...options.pool import PoolOptions
from ...portable.hooks import pack_hooks
from ..base import Load, Pool
from ..connecting import ConnectingEngine
from .connection import RAY, on_a_thread
from .options import OWN_OPTIONS
from .pool import RayPool
from .stored import StoredSegments
from .worker import RayWorker

__all__ = ["RayEngine"]


class RayEngine(ConnectingEngine[RayPool]):
    """Runs calls in actors on a Ray cluster."""

    name = "ray"
    default_workers: ClassVar[int | None] = None
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.CONNECTS,
            Capability.CONTEXT,
            Capability.INITIALIZES,
            Capability.ISOLATES,
            Capability.KILLS,
            Capability.PAUSES,
            Capability.PORTABLE,
            Capability.PRELOADS,
            Capability.RESIZES,
            Capability.STREAMS,
            Capability.WORKERS,
        }
    )
    own_options: ClassVar[Mapping[str, EngineOption]] = OWN_OPTIONS

    def __init__(self, pool: Pool, options: PoolOptions) -> None:
        super().__init__(pool, options, StoredSegments())
        self._hooks = pack_hooks(pool.name, options)
        self._restarts_before: dict[str, int] = {}

    async def _open(self) -> RayPool:
        entering = asyncio.create_task(
            on_a_thread(RAY.enter, self.pool.name, self.options.own["address"], self._is_in_use)
        )
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            await asyncio.wait({entering})  # a thread cannot be ended
            if entering.exception() is None:
                await on_a_thread(RAY.leave, self._is_in_use)
            raise
        return RayPool(
            *(self.pool, self.options, self._hooks, self._arrived, self._record),
            partial(RAY.leave, self._is_in_use),
        )

    def _is_in_use(self) -> bool:
        return self._pool is not None and any(w.ready for w in self._pool.workers.all)

    async def _leave_behind(self, pool: RayPool) -> None:
        for reason, number in pool.workers.restarts.items():
            self._restarts_before[reason] = self._restarts_before.get(reason, 0) + number
        await on_a_thread(pool.abandon)

    # -- workers ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, and start the workers that are to be kept.

        Raises:
            ExecutorError: Ray cannot be reached, or is not installed.
            WorkerCrashedError: a worker could not be started.
        """
        await (await self.reach()).warm()

    async def restart(self) -> None:
        if self._pool is not None:
            await self._pool.workers.replace_all()

    def kill_worker(self, pid: int) -> bool:
        return self._pool is not None and self._pool.kill_worker(pid)

    @property
    def start_error(self) -> WorkerCrashedError | None:
        """Why no worker could be started the last time; ``None`` if one could."""
        return self._pool.workers.start_error if self._pool is not None else None

    @property
    def restarts(self) -> dict[str, int]:
        found = dict(self._restarts_before)
        for reason, number in (self._pool.workers.restarts if self._pool else {}).items():
            found[reason] = found.get(reason, 0) + number
        return found

    def load(self) -> Load:
        pool = self._pool
        if pool is None:
            return Load(0, 0, 0)
        return Load(pool.running, pool.running, len(pool.workers.all))

    def workers(self) -> list[WorkerState]:
        return [_state(worker) for worker in (self._pool.workers.all if self._pool else ())]

    def trouble(self) -> str | None:
        pool = self._pool
        if pool is None or any(worker.ready for worker in pool.workers.all):
            return None
        if pool.workers.start_error is not None:
            return str(pool.workers.start_error)
        if pool.workers.starting:
            return "its workers are being started, or wait for room on the cluster"
        return "none of its workers is up" if self.options.warm else None

    def set_paused(self, paused: bool) -> None:
        if self._pool is not None:
            self._pool.set_paused(paused)

    def resize(self) -> None:
        if self._pool is not None:
            self._pool.resize(self.options)

    async def close(self) -> None:
        restarts = self.restarts
        await super().close()
        self._restarts_before = restarts


def _state(worker: RayWorker) -> WorkerState:
    job = worker.job
    began = job.started_at if job is not None else None
    up = "leaving" if worker.leaving else "busy" if job is not None else "idle"
    return WorkerState(
        pid=worker.pid,
        state=up if worker.pid is not None else "starting",
        route=job.route if job is not None else None,
        function=job.packed.title if job is not None else None,
        running_seconds=perf_counter() - began if began is not None else 0.0,
        running=int(job is not None),
        memory_bytes=worker.memory,
        calls=worker.calls,
        host=worker.host,
        version=worker.version or None,
        places=1,
        load=worker.load,
    )
