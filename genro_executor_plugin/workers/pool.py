# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The workers of one pool: who runs what, who is started, who is replaced.

Everything happens on the event loop, in callbacks of the workers' sockets. A call that finds a
free worker is written to it at once; the others wait in line, first come, first served. Calls
of a function that has shown to be very short are sent ahead to busy workers, and taken back
when another worker is free first.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections import deque
from collections.abc import Callable
from time import perf_counter
from typing import Any

from ..errors import ExecutorClosedError, ExecutorTimeoutError, WorkerCrashedError
from ..modules import ModuleSources
from ..options import PoolOptions
from ..pickling import why
from .boot import WorkerBoot
from .estimates import LATE_SECONDS, SHORT_SECONDS, Estimates
from .exits import exit_words
from .job import Job
from .launcher import ExitReport, Launcher
from .recycling import Recycling
from .startups import Startups
from .worker import Worker

__all__ = ["WorkerPool"]

_STOP_GRACE_SECONDS = 2.0
"""How long an idle worker has to run its shutdown hooks before it is killed."""

_logger = logging.getLogger("genro_executor_plugin")


class WorkerPool:
    """Runs jobs on ``options.min_workers`` to ``options.max_workers`` processes."""

    def __init__(
        self,
        name: str,
        options: PoolOptions,
        initializer: bytes | None,
        on_message: Callable[[Job | None, int | None, str, Any], None],
    ) -> None:
        self._name = name
        self._on_message = on_message
        self._options = options
        self._initializer = initializer
        self._loop = asyncio.get_running_loop()
        self._launcher = Launcher(options.start_method, options.preload)
        self._max_workers = options.max_workers
        self._workers: set[Worker] = set()
        self._free: list[Worker] = []
        self._waiting: deque[Job] = deque()
        self._estimates = Estimates()
        self._alarm: asyncio.TimerHandle | None = None
        self._filling: asyncio.Handle | None = None
        self._closing = False
        self._changed: asyncio.Event = asyncio.Event()
        self._startups = Startups(name, self._loop, self._grow)
        self._recycling = Recycling(options, self._loop, self._retire_one)
        self.restarts: dict[str, int] = {}

    # -- what can be seen ---------------------------------------------------------------------

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop this pool lives on."""
        return self._loop

    @property
    def workers(self) -> list[Worker]:
        """The workers there are, starting ones included."""
        return list(self._workers)

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that are up."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    @property
    def running(self) -> int:
        """How many calls run."""
        return sum(len(worker.running) for worker in self._workers)

    @property
    def busy(self) -> int:
        """How many workers run a call."""
        return sum(bool(worker.running) for worker in self._workers)

    @property
    def size(self) -> int:
        """How many workers there are, starting ones included."""
        return len(self._workers)

    @property
    def start_error(self) -> WorkerCrashedError | None:
        """Why workers cannot be started just now, ``None`` if they can."""
        return self._startups.error

    # -- what the executor asks ---------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Run ``job`` as soon as a worker is free."""
        if self._free and not self._waiting:
            self._dispatch(job)
        else:
            self._waiting.append(job)
            self._grow()
            self._fill_soon()

    def cancel(self, job: Job) -> None:
        """Nobody waits for ``job`` any more: take it out of the line, or end its run."""
        if self.withdraw(job):
            return
        for worker in self._workers:
            if any(sent is job for _, sent in worker.ahead):
                return  # it is short, or it is taken back; either way nobody is told
            if job in worker.running.values() and not job.abandon:
                self._end_worker(worker, job, "another call in it was cancelled")
                return

    def tell(self, job: Job, channel: str, value: Any) -> bool:
        """Give the running ``job`` a message; ``False`` if it does not run (any more)."""
        message = pickle.dumps((channel, value), 5)
        return any(worker.tell(job, message) for worker in self._workers)

    def withdraw(self, job: Job) -> bool:
        """Take ``job`` out of the line; ``False`` if it is not there, because it begins."""
        if job in self._waiting:
            self._waiting.remove(job)
            return True
        return False

    async def warm(self) -> None:
        """Start ``min_workers`` (with ``warm``: ``max_workers``) workers and wait for them.

        Raises:
            WorkerCrashedError: a worker could not be started.
        """
        wanted = self._max_workers if self._options.warm else self._options.min_workers
        self._start(wanted - len(self._workers))
        await self._until(
            lambda: all(w.ready for w in self._workers) or self._startups.error is not None, None
        )
        if self._startups.error is not None:
            raise self._startups.fresh_error()

    def resize(self, max_workers: int) -> None:
        """Have at most ``max_workers`` workers; those that are too many end when they are free."""
        self._max_workers = max_workers
        for worker in list(self._free):
            if len(self._staying()) <= max_workers:
                break
            self._retire(worker, None)
        self._grow()

    async def close(self) -> None:
        """End every worker, and every call that is still there."""
        self._closing = True
        self._recycling.stop()
        for job in self._drain_line():
            job.fail(self._closed(job, "before its run began"))
        for worker in list(self._workers):
            if worker.running:
                for job in self._take_jobs(worker):
                    job.fail(self._closed(job, "while it ran; its worker was killed"))
                worker.kill()
            elif worker.ready:
                worker.stop()
            else:
                worker.kill()
        await self._until(lambda: not self._workers, _STOP_GRACE_SECONDS)
        for worker in list(self._workers):
            worker.kill()
        await self._until(lambda: not self._workers, _STOP_GRACE_SECONDS)
        self._startups.stop()
        for timer in (self._alarm, self._filling):
            if timer is not None:
                timer.cancel()
        await self._launcher.close()

    def abandon(self) -> None:
        """End every worker without the pool's event loop, which is closed already."""
        for worker in self._workers:
            worker.abandon()
        self._launcher.abandon()

    # -- what the workers tell ----------------------------------------------------------------

    def worker_started(self, worker: Worker) -> None:
        self._startups.succeeded()
        self._changed.set()
        if len(self._staying()) > self._max_workers:
            self._retire(worker, None)
            return
        self._recycling.started(worker)
        self._serve(worker)

    def job_done(self, worker: Worker, job: Job) -> None:
        if job.microseconds:
            self._estimates.add(job.call.key, job.microseconds / 1e6)
        if worker.leaving:
            self._leave_when_empty(worker)
        elif len(self._workers) > self._max_workers < len(self._staying()):
            self._retire(worker, None)
        elif (reason := self._recycling.reason_to_retire(worker)) is not None:
            self._retire(worker, reason)
        elif worker.ahead or worker.sync_running >= self._options.threads_per_worker:
            if self._waiting:
                self._fill_soon()
        elif worker not in self._free:
            self._serve(worker)
        if self._closing:
            self._changed.set()

    def message(self, worker: Worker, job: Job | None, channel: str, value: Any) -> None:
        self._on_message(job, worker.pid, channel, value)

    def worker_ended(self, worker: Worker, report: ExitReport) -> None:
        self._workers.discard(worker)
        self._drop_from_free(worker)
        self._recycling.ended(worker)
        self._requeue(worker)
        if not worker.ready and not worker.leaving:
            self._startups.failed(worker, report)
            if not self._staying():
                self._startups.refuse(self._drain_line())
        elif worker.running or not worker.leaving:
            self._count_restart("crash")
            self._crashed(worker, report)
        self._grow()
        if self._waiting:
            self._fill_soon()
        self._changed.set()

    # -- the line -----------------------------------------------------------------------------

    def _serve(self, worker: Worker) -> None:
        """Give a worker that has a free thread what waits, or count it among the free ones."""
        self._free.append(worker)
        while self._free and (job := self._next_job()) is not None:
            self._dispatch(job)
        if worker in self._free and not worker.running:
            worker.idle_since = perf_counter()

    def _next_job(self) -> Job | None:
        """What has waited longest: stuck behind a call that turned out long, or in line."""
        stuck = self._take_back(only_stuck=bool(self._waiting))
        if stuck is not None:
            return stuck
        while self._waiting:
            job = self._waiting.popleft()
            if not job.future.done():
                return job
        return None

    def _take_back(self, *, only_stuck: bool) -> Job | None:
        now = perf_counter()
        for worker in self._workers:
            if not worker.ahead:
                continue
            head = next(iter(worker.running.values()), None)
            stuck = head is None or now - (head.started_at or now) > SHORT_SECONDS
            if stuck or not only_stuck:
                job = worker.take_back()
                if not worker.running and not worker.leaving and worker not in self._free:
                    self._free.append(worker)  # it has nothing left that would free it
                if job is not None and not job.future.done():
                    return job
        return None

    def _dispatch(self, job: Job) -> None:
        """Send ``job`` to a free worker."""
        while self._free:
            worker = self._free[-1] if not job.call.is_async else self._least_loaded()
            if not worker.usable or not worker.send(job):
                self._drop_from_free(worker)  # it is gone; its exit report is on the way
                continue
            if worker.sync_running >= self._options.threads_per_worker:
                self._drop_from_free(worker)
            if job.timeout is not None:
                self._watch(job.timeout)
            return
        self._waiting.appendleft(job)
        self._grow()

    def _least_loaded(self) -> Worker:
        return min(self._free, key=lambda worker: len(worker.running))

    def _fill_soon(self) -> None:
        """Send calls ahead at the end of this turn of the event loop, many in one write."""
        if self._filling is None and self._options.threads_per_worker == 1:
            self._filling = self._loop.call_soon(self._fill)

    def _fill(self) -> None:
        self._filling = None
        now = perf_counter()
        for worker in self._workers:
            if not self._waiting:
                return
            head = next(iter(worker.running.values()), None)
            if head is None or not worker.usable or self._recycling.is_due_soon:
                continue
            if worker.coroutines or now - (head.started_at or now) > LATE_SECONDS:
                continue
            jobs = self._short_jobs(min(self._estimates.depth(head.call.key), 8), worker)
            if jobs:
                worker.send_ahead(jobs)

    def _short_jobs(self, depth: int, worker: Worker) -> list[Job]:
        jobs: list[Job] = []
        if len(worker.ahead) > depth // 2:
            return jobs  # it has enough; several in one write are cheaper than one now
        while self._waiting:
            job = self._waiting[0]
            room = min(depth, self._estimates.depth(job.call.key)) - len(worker.ahead) - len(jobs)
            if job.future.done():
                self._waiting.popleft()
            elif room <= 0 or job.call.is_async or (job.timeout is not None and job.timeout < 0.1):
                break
            else:
                jobs.append(self._waiting.popleft())
                if job.timeout is not None:
                    self._watch(job.timeout)
        return jobs

    def _drain_line(self) -> list[Job]:
        jobs = list(self._waiting)
        self._waiting.clear()
        return jobs

    def _requeue(self, worker: Worker) -> None:
        """Put the calls that were sent ahead to ``worker`` and never started back in line."""
        jobs, worker.not_started = worker.not_started, []
        self._waiting.extendleft(reversed([job for job in jobs if not job.future.done()]))

    # -- workers come and go ------------------------------------------------------------------

    def _staying(self) -> list[Worker]:
        return [worker for worker in self._workers if not worker.leaving]

    def _drop_from_free(self, worker: Worker) -> None:
        if worker in self._free:
            self._free.remove(worker)

    def _grow(self) -> None:
        """Start workers for those that wait, as far as the options and the backoff allow."""
        if len(self._workers) >= self._max_workers:
            return  # one that is leaving makes room when it is gone
        staying = self._staying()
        starting = sum(not worker.ready for worker in staying)
        wanted = max(len(self._waiting) - starting, self._options.min_workers - len(staying))
        wanted = min(wanted, self._max_workers - len(staying))
        if wanted <= 0 or (self._closing and not self._waiting):
            return
        if self._startups.must_wait():
            if not staying:
                self._startups.refuse(self._drain_line())
            return
        self._start(wanted)

    def _start(self, count: int) -> None:
        if count <= 0:
            return
        options = self._options
        boot = WorkerBoot(
            self._name,
            ModuleSources.here(),
            self._initializer,
            options.threads_per_worker,
            options.nice,
            options.cpu_affinity,
        )
        packed = pickle.dumps(boot, 5)
        for _ in range(count):
            try:
                self._workers.add(Worker(self, self._launcher, packed))
            except OSError as error:
                self._startups.impossible(why(error), error)
                if not self._staying():
                    self._startups.refuse(self._drain_line())
                return

    def _retire(self, worker: Worker, reason: str | None) -> None:
        """Send ``worker`` nothing more, and have it end when it is empty.

        With a ``reason`` it is replaced: the one that follows is started before it goes.
        """
        if worker.leaving:
            return
        self._drop_from_free(worker)
        if reason is not None:
            self._count_restart(reason)
            if not self._closing:
                self._start(1)
        while (job := worker.take_back()) is not None:
            self._waiting.appendleft(job)
        worker.leaving = True
        self._leave_when_empty(worker)

    def _leave_when_empty(self, worker: Worker) -> None:
        if not worker.running and not worker.ahead:
            worker.stop()

    def _retire_one(self, worker: Worker, reason: str | None) -> None:
        """Retire a worker for its age, or because it has been idle for long."""
        if reason is not None:
            self._retire(worker, reason)
        elif worker in self._free and len(self._staying()) > self._options.min_workers:
            self._retire(worker, None)

    def _count_restart(self, reason: str) -> None:
        self.restarts[reason] = self.restarts.get(reason, 0) + 1

    # -- what goes wrong ----------------------------------------------------------------------

    def _watch(self, seconds: float) -> None:
        """Look for overdue calls in ``seconds``, or earlier if that is arranged already."""
        when = self._loop.time() + seconds
        if self._alarm is None or when < self._alarm.when():
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self._loop.call_at(when, self._end_overdue)

    def _end_overdue(self) -> None:
        self._alarm = None
        now = perf_counter()
        for worker in list(self._workers):
            for job in list(worker.running.values()):
                if job.timeout is None or job.started_at is None:
                    continue
                remaining = job.started_at + job.timeout - now
                if remaining > 0:
                    self._watch(remaining)
                    continue
                job.fail(
                    ExecutorTimeoutError(
                        f"{job.call.title} ran longer than {job.timeout:g} s in pool "
                        f"{self._name!r}; its worker (pid {worker.pid}) was killed",
                        pool=self._name,
                        timeout=job.timeout,
                    )
                )
                self._count_restart("timeout")
                self._end_worker(worker, job, "another call in it ran over its timeout")
                break

    def _end_worker(self, worker: Worker, guilty: Job, reason: str) -> None:
        """Kill ``worker`` because of ``guilty``; the other calls in it are told or repeated."""
        others = [job for job in self._take_jobs(worker) if job is not guilty]
        self._drop_from_free(worker)
        worker.kill()
        for job in others:
            self._crash(job, worker.pid, None, f"it was killed because {reason}")
        self._requeue(worker)

    def _take_jobs(self, worker: Worker) -> list[Job]:
        """The calls that ``worker`` has begun; those that it has not go back in line."""
        while (job := worker.take_back()) is not None:
            worker.not_started.append(job)
        self._requeue(worker)
        jobs = [*worker.running.values(), *(job for _, job in worker.ahead)]
        worker.running.clear()
        worker.ahead.clear()
        worker.coroutines = 0
        return jobs

    def _crashed(self, worker: Worker, report: ExitReport) -> None:
        words = exit_words(report)
        jobs = self._take_jobs(worker)
        if not jobs:
            _logger.warning("pool %r: idle worker %s ended: %s", self._name, worker.pid, words)
        for job in jobs:
            self._crash(job, worker.pid, report.exit_code, words)

    def _crash(self, job: Job, pid: int | None, exit_code: int | None, words: str) -> None:
        if job.future.done():
            return
        if job.retries > 0 and not self._closing:
            job.retries -= 1
            job.started_at = None
            self._waiting.appendleft(job)
            return
        job.fail(
            WorkerCrashedError(
                f"the worker (pid {pid}) died while it ran {job.call.title} in pool "
                f"{self._name!r}: {words}",
                pool=self._name,
                exit_code=exit_code,
                pid=pid,
            )
        )

    def _closed(self, job: Job, when: str) -> ExecutorClosedError:
        return ExecutorClosedError(
            f"pool {self._name!r} was shut down; {job.call.title} was ended {when}",
            pool=self._name,
        )

    async def _until(self, reached: Callable[[], bool], seconds: float | None) -> None:
        """Wait until ``reached()``, at most ``seconds``."""
        deadline = None if seconds is None else self._loop.time() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                while not reached():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return
