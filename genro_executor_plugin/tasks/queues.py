# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""When a job runs: in the order of its pool's queue, and not before its time.

Each pool has a queue of jobs by priority. Never more jobs are handed to a pool than it has
workers: a job that waits here can still be cancelled, and requests do not wait behind jobs.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import time
from collections.abc import Callable

from ..executors import BaseExecutor
from .attempt import width_of
from .live_job import LiveJob
from .status import TaskState

__all__ = ["Queues"]


class Queues:
    """The jobs of one process that wait, by pool, and those whose time has not come.

    Attributes:
        jobs: the jobs that have no final state yet, by id.
    """

    def __init__(self, pool: Callable[[str], BaseExecutor]) -> None:
        self.jobs: dict[str, LiveJob] = {}
        self._pool = pool
        self._queues: dict[str, list[tuple[int, int, str]]] = {}
        self._later: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self._busy: dict[str, int] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self._stopping = False
        self._held: list[LiveJob] | None = []

    def _start(self, job: LiveJob) -> None:
        """Run ``job`` now; ``_has_run`` is called afterwards."""
        raise NotImplementedError

    def add(self, job: LiveJob) -> None:
        """Run ``job``, which is queued in the store, when its time has come."""
        self.jobs[job.status.task_id] = job
        if self._held is None:
            self._enqueue(job)
        else:
            self._held.append(job)

    def begin(self) -> None:
        """Begin to run jobs, those that were added before included."""
        held, self._held = self._held or [], None
        for job in held:
            self._enqueue(job)

    def _enqueue(self, job: LiveJob) -> None:
        status = job.status
        if status.eta is not None and status.eta > time.time():
            heapq.heappush(self._later, (status.eta, next(self._order), status.task_id))
            self._set_alarm()
            return
        queue = self._queues.setdefault(status.pool, [])
        heapq.heappush(queue, (-status.priority, next(self._order), status.task_id))
        self._begin_next(status.pool)

    def _set_alarm(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if self._later and not self._stopping:
            # A clock that is set does not move the loop's: look again at least once a minute.
            wait = min(max(self._later[0][0] - time.time(), 0.0), 60.0)
            self._alarm = asyncio.get_running_loop().call_later(wait, self._wake)

    def _wake(self) -> None:
        now = time.time()
        while self._later and self._later[0][0] <= now:
            _, _, task_id = heapq.heappop(self._later)
            job = self.jobs.get(task_id)
            if job is not None and job.status.state is TaskState.QUEUED:
                self._enqueue(job)
        self._set_alarm()

    def _begin_next(self, pool: str) -> None:
        queue = self._queues.get(pool)
        while queue and not self._stopping and self._busy.get(pool, 0) < width_of(self._pool, pool):
            _, _, task_id = heapq.heappop(queue)
            job = self.jobs.get(task_id)
            if job is None or job.status.state is not TaskState.QUEUED or job.run is not None:
                continue  # cancelled while it waited
            self._busy[pool] = self._busy.get(pool, 0) + 1
            self._start(job)

    def _has_run(self, job: LiveJob, pool: str) -> None:
        """Have the next job run in the place of ``job``, or that one again."""
        self._busy[pool] -= 1
        if job.status.state is TaskState.QUEUED and job.status.task_id in self.jobs:
            self._enqueue(job)
        self._begin_next(pool)

    def _begin_no_more(self) -> None:
        self._stopping = True
        if self._alarm is not None:
            self._alarm.cancel()
