# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Which worker runs which call of a pool on Ray, and what becomes of each call.

A worker runs one call at a time. A call that finds no free worker waits here, and not in Ray: so it
can be taken back, and goes to the worker that is free first.
"""

from __future__ import annotations

import asyncio
import pickle
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from ...errors import ExecutorTimeoutError, WorkerCrashedError
from ...options.pool import PoolOptions
from ...portable.hooks import PackedHooks
from ..base import Pool
from ..process.arrivals import Arrivals, OnRecord
from ..process.job import Job
from ..process.threads import Threads
from .connection import on_a_thread
from .worker import RayWorker
from .workers import Workers

__all__ = ["RayPool"]

_RETRY_SECONDS = 5.0
"""How long it takes until workers are started again that could not be."""

_THREADS = 4
"""How many of its workers' starts and ends, which ask the cluster, are under way at a time."""

_CLOSE_SECONDS = 10.0
"""How long the pool's end waits for the cluster to take in what it was asked."""

OnMessage = Callable[[Job, int | None, str, Any], None]


class RayPool:
    """The calls of one pool. It belongs to the event loop that it is made on.

    Attributes:
        loop: that event loop.
        arrivals: what workers send is rebuilt on its threads.
        workers: the actors.
        paused: whether no call is begun.
    """

    def __init__(
        self,
        pool: Pool,
        options: PoolOptions,
        hooks: PackedHooks,
        on_message: OnMessage,
        on_record: OnRecord,
        leave: Callable[[], None],
    ) -> None:
        self._leave = leave
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._pool, self._on_message = pool, on_message
        self.arrivals: Arrivals = Arrivals(pool.name, self.loop, on_record)
        self._threads = Threads(f"genro-executor-{pool.name}-ray", _THREADS, self.loop)
        self.workers: Workers = Workers(
            *(self, pool.name, options, hooks, self.arrivals, self._threads, self._changed)
        )
        self._queue: deque[Job] = deque()
        self._limits: dict[Job, asyncio.TimerHandle] = {}
        self._looking: asyncio.TimerHandle | None = None
        self._retrying: asyncio.TimerHandle | None = None
        self._closing = False
        self.paused: bool = pool.paused

    # -- what the engine asks for -----------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Run ``job`` as soon as a worker is free."""
        if self._closing:
            job.fail(self._pool.closed_error())
            return
        self._queue.append(job)
        self._dispatch()

    def withdraw(self, job: Job) -> bool:
        """Take ``job`` out of the queue; ``False`` if it is not there, because it runs."""
        if job not in self._queue:
            return False
        self._queue.remove(job)
        return True

    def cancel(self, job: Job) -> None:
        """Take ``job``, whose caller does not wait any more, out of the queue, or end its run."""
        if self.withdraw(job) or job.abandon:
            return
        worker = self._worker_of(job)
        if worker is not None:
            self._kill(worker, "cancelled")

    def tell(self, job: Job, channel: str, value: Any) -> bool:
        """Give the running ``job`` a message; ``False`` if it does not run (any more)."""
        worker = self._worker_of(job)
        if worker is None or job.future.done():
            return False
        worker.tell(pickle.dumps((channel, value), 5))
        return True

    async def warm(self) -> None:
        """Start the workers that are to be kept, and wait for them.

        Raises:
            WorkerCrashedError: a worker could not be started.
        """
        missing = self.workers.kept - len(self.workers.staying)
        tasks = {self.workers.start_one() for _ in range(missing)}
        if tasks:
            await asyncio.wait(tasks)
            if self.workers.start_error is not None:
                raise self.workers.start_error
        self._look()

    def set_paused(self, paused: bool) -> None:
        """Begin no call, or those that wait."""
        self.paused = paused
        self._dispatch()

    def resize(self, options: PoolOptions) -> None:
        """Follow ``options.max_workers``."""
        self.workers.options = options
        self.workers.shrink()
        self._dispatch()

    def kill_worker(self, pid: int) -> bool:
        """Kill worker ``pid``; ``False`` if there is none, or if two machines have one."""
        found = [worker for worker in self.workers.all if worker.pid == pid]
        if len(found) != 1:
            return False
        worker, job = found[0], found[0].job
        self._kill(worker, "killed")
        if job is not None:
            text = f"{worker}, which ran {job.packed.title}, was killed on request"
            error = WorkerCrashedError(text, pool=self._pool.name, pid=pid)
            self.arrivals.fail(job, error)
        return True

    @property
    def running(self) -> int:
        """How many calls run."""
        return sum(worker.job is not None for worker in self.workers.all)

    async def close(self) -> None:
        """Fail every call that is still here, end every worker, and let go of the connection."""
        self._closing = True
        for timer in (self._looking, self._retrying):
            if timer is not None:
                timer.cancel()
        for limit in self._limits.values():
            limit.cancel()
        while self._queue:
            self._queue.popleft().fail(self._pool.closed_error())
        for worker in self.workers.all:
            if worker.job is not None:
                worker.job.fail(self._pool.closed_error())
        await self.workers.close()
        await self.arrivals.close()
        await self._threads.close(_CLOSE_SECONDS)
        await on_a_thread(self._leave)

    def abandon(self) -> None:
        """End everything without the event loop, which is closed already; it takes a moment."""
        self.workers.abandon()
        self.arrivals.abandon()
        self._threads.end()
        self._leave()

    # -- which worker runs which call -------------------------------------------------------------

    def _worker_of(self, job: Job) -> RayWorker | None:
        return next((worker for worker in self.workers.all if worker.job is job), None)

    def _dispatch(self) -> None:
        while self._queue and not self.paused:
            worker = self.workers.free()
            if worker is None:
                break
            job = self._queue.popleft()
            if job.future.done():
                continue
            try:
                worker.send(job)
            except Exception as error:
                worker.job = None
                self._kill(worker, "unsent")  # it may count its calls in another way now
                job.has_not_begun()
                job.cannot_be_sent(error)
                continue
            if job.timeout is not None:
                over = partial(self._timed_out, worker, job)
                self._limits[job] = self.loop.call_later(job.timeout, over)
        if not self._closing and not self.paused:
            self.workers.grow(len(self._queue))

    def _changed(self) -> None:
        """Take in that a worker is up, or could not be started."""
        error = self.workers.start_error
        if error is not None and not self.workers.staying:
            while self._queue:
                failed = WorkerCrashedError(str(error), pool=self._pool.name)
                failed.__cause__ = error
                job = self._queue.popleft()
                job.has_not_begun()
                job.fail(failed)
        if error is None:
            self._dispatch()
        elif self._retrying is None and not self._closing:
            self._retrying = self.loop.call_later(_RETRY_SECONDS, self._retry)
        if self._looking is None:
            self._look()

    def _retry(self) -> None:
        """Start the workers that are to be kept; where none is, the next call tells."""
        self._retrying = None
        if not self.workers.kept:
            self.workers.start_error = None
        self._dispatch()

    def _look(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None
        again = None if self._closing else self.workers.look()
        if again is not None:
            self._looking = self.loop.call_later(again, self._look)

    def _kill(self, worker: RayWorker, reason: str) -> None:
        job, worker.job = worker.job, None
        if job is not None:
            self._settled(job)
        self.workers.kill(worker, reason)
        if not self._closing:
            self._dispatch()

    def _settled(self, job: Job) -> None:
        limit = self._limits.pop(job, None)
        if limit is not None:
            limit.cancel()

    def _timed_out(self, worker: RayWorker, job: Job) -> None:
        self._limits.pop(job, None)
        if worker.job is not job:
            return
        self._kill(worker, "timeout")
        error = ExecutorTimeoutError(
            f"{job.packed.title} ran longer than {job.timeout:g} s in pool {self._pool.name!r}; "
            f"its worker on {worker.host} was killed",
            pool=self._pool.name,
            route=job.route,
            timeout=job.timeout,
        )
        self.arrivals.fail(job, error)

    # -- what the workers say (worker.Owner) ------------------------------------------------------

    def answered(self, worker: RayWorker, job: Job) -> None:
        """Give ``worker`` its next call, or let it leave."""
        self._settled(job)
        if worker.leaving:
            self.workers.retire(worker)
        if not self._closing:
            self._dispatch()

    def ended(self, worker: RayWorker, error: BaseException) -> None:
        """Settle the call of ``worker``, which is gone, or have it run once more."""
        if worker not in self.workers.all or worker.pid is None:
            return  # it was killed from here, or its start tells of it
        job, worker.job = worker.job, None
        self.workers.doubt()
        self.workers.kill(worker, "crashed")  # what cannot be reached may live, and hold its CPUs
        if job is not None:
            self._settled(job)
            if job.retries > 0 and not job.future.done():
                job.retries -= 1
                job.started_at = None
                self._queue.appendleft(job)
            else:
                self.arrivals.fail(job, worker.crash(error, job.packed.title))
        if not self._closing:
            self._dispatch()

    def message(self, job: Job | None, pid: int | None, channel: str, value: Any) -> None:
        """Hand on what a call has sent."""
        if job is not None:
            self._on_message(job, pid, channel, value)
