# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What can be seen of a pool of worker processes from outside."""

from __future__ import annotations

import asyncio
from time import perf_counter

from ...errors import WorkerCrashedError
from ...metrics.profiles import WorkerProfile
from ...metrics.worker_state import RunningStack, WorkerState
from .arrivals import Arrivals
from .asking import Asking
from .observing import Observer
from .profiling import Profiling
from .supervisor import Supervisor

__all__ = ["PoolView"]


class PoolView:
    """The numbers of a pool, and its workers."""

    _supervisor: Supervisor
    _observer: Observer
    _asking: Asking
    _profiling: Profiling

    @property
    def arrivals(self) -> Arrivals:
        """What handles what the workers send, and has threads for it."""
        return self._supervisor.arrivals

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that are up."""
        return [worker.pid for worker in self._supervisor.workers if worker.pid is not None]

    @property
    def running(self) -> int:
        """How many calls run."""
        return sum(len(worker.running) for worker in self._supervisor.workers)

    @property
    def busy(self) -> int:
        """How many workers run a call."""
        return sum(bool(worker.running) for worker in self._supervisor.workers)

    @property
    def size(self) -> int:
        """How many workers there are, starting ones included."""
        return len(self._supervisor.workers)

    @property
    def ready(self) -> int:
        """How many workers can take calls, or run one."""
        return sum(worker.usable for worker in self._supervisor.workers)

    @property
    def restarts(self) -> dict[str, int]:
        """How many workers ended before their time or were replaced, by reason."""
        return self._supervisor.restarts

    @property
    def start_error(self) -> WorkerCrashedError | None:
        """Why workers cannot be started now, ``None`` if they can."""
        return self._supervisor.backoff.error

    async def stacks(self, pid: int | None = None) -> list[RunningStack]:
        """Where each running call is, those of worker ``pid`` or all."""
        workers = [
            worker
            for worker in self._supervisor.workers
            if worker.running and pid in (None, worker.pid)
        ]
        asked = [dict(worker.running) for worker in workers]
        answers = await asyncio.gather(*map(self._asking.ask, workers))
        now = perf_counter()
        return [
            RunningStack(
                worker.pid,
                job.route,
                job.packed.title,
                now - (job.started_at or now),
                answer.of(job),
            )
            for worker, jobs, answer in zip(workers, asked, answers, strict=True)
            for job in jobs.values()
        ]

    async def profile(
        self, known_as: tuple[int, int, str], seconds: float, rate: int
    ) -> list[WorkerProfile]:
        """Take samples of the calls of a function, as ``Profiling.profile`` does."""
        return await self._profiling.profile(known_as, seconds, rate)

    def worker_states(self) -> list[WorkerState]:
        """Every worker as it is now, the oldest first."""
        return self._observer.states()
