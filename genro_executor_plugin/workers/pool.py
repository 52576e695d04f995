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

"""The workers of one pool: who runs what, who is started, who is killed, who is replaced.

Everything happens on the event loop, in callbacks of the workers' sockets. A call that finds
an idle worker is written to it at once; the others wait in line, first come, first served.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections import deque
from time import perf_counter
from typing import Any

from ..errors import ExecutorClosedError, ExecutorTimeoutError, WorkerCrashedError
from ..modules import ModuleSources
from ..options import PoolOptions
from ..pickling import why
from .boot import WorkerBoot
from .job import Job
from .launcher import ExitReport, Launcher
from .signals import exit_words
from .worker import Worker

__all__ = ["WorkerPool"]

_FIRST_BACKOFF_SECONDS = 0.1
_LAST_BACKOFF_SECONDS = 10.0
_STOP_GRACE_SECONDS = 2.0
"""How long an idle worker has to run its shutdown hooks before it is killed."""

_logger = logging.getLogger("genro_executor_plugin")


class WorkerPool:
    """Runs jobs on at most ``options.max_workers`` processes, one job a process at a time."""

    def __init__(self, name: str, options: PoolOptions, initializer: bytes | None) -> None:
        self._name = name
        self._options = options
        self._initializer = initializer
        self._loop = asyncio.get_running_loop()
        self._launcher = Launcher(options.start_method, options.preload)
        self._workers: set[Worker] = set()
        self._idle: list[Worker] = []
        self._waiting: deque[Job] = deque()
        self._alarm: asyncio.TimerHandle | None = None
        self._regrow: asyncio.TimerHandle | None = None
        self._start_failures = 0
        self._not_before = 0.0
        self._start_error: WorkerCrashedError | None = None
        self._closing = False
        self._changed: asyncio.Event = asyncio.Event()
        self.restarts = 0

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop this pool lives on."""
        return self._loop

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that are up."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    @property
    def busy(self) -> int:
        """How many workers are running a call."""
        return sum(worker.job is not None for worker in self._workers)

    @property
    def size(self) -> int:
        """How many workers there are, starting ones included."""
        return len(self._workers)

    def submit(self, job: Job) -> None:
        """Run ``job`` as soon as a worker is free."""
        if self._idle:
            self._send(self._idle.pop(), job)
        else:
            self._waiting.append(job)
            self._grow()

    def cancel(self, job: Job) -> None:
        """Nobody waits for ``job`` any more: take it out of the line, or end its run."""
        if job.started_at is None:
            if job in self._waiting:
                self._waiting.remove(job)
        elif not job.abandon:
            for worker in self._workers:
                if worker.job is job:
                    worker.job = None
                    worker.kill()
                    return

    async def close(self, timeout: float) -> None:
        """Finish what was submitted, for at most ``timeout`` seconds; then end every worker."""
        self._closing = True
        await self._until(lambda: not self._waiting and not self.busy, timeout)
        for job in self._drain_line():
            job.fail(self._closed(job, "before its run began"))
        for worker in list(self._workers):
            if worker.job is not None:
                job, worker.job = worker.job, None
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
        for timer in (self._alarm, self._regrow):
            if timer is not None:
                timer.cancel()
        await self._launcher.close()

    def abandon(self) -> None:
        """End every worker without the pool's event loop, which is closed already."""
        for worker in self._workers:
            worker.abandon()
        self._launcher.abandon()

    # -- what the workers tell ------------------------------------------------------------

    def worker_ready(self, worker: Worker) -> None:
        self._start_failures = 0
        self._start_error = None
        if worker.leaving:
            return
        limit = self._options.max_tasks_per_child
        if limit is not None and worker.calls >= limit:
            worker.stop()
            self.restarts += 1
            self._grow()
        elif (job := self._next_in_line()) is not None:
            self._send(worker, job)
        else:
            self._idle.append(worker)
        if self._closing:
            self._changed.set()

    def worker_ended(self, worker: Worker, report: ExitReport) -> None:
        self._workers.discard(worker)
        if worker in self._idle:
            self._idle.remove(worker)
        if not worker.ready and not worker.leaving:
            self._start_failed(worker, report)
        elif not worker.leaving or worker.job is not None:
            self.restarts += 1
            self._crashed(worker, report)
        elif worker.killed:
            self.restarts += 1
        self._grow()
        self._changed.set()

    # -- the line ---------------------------------------------------------------------------

    def _send(self, worker: Worker, job: Job) -> None:
        worker.send(job)
        if job.timeout is not None:
            self._watch(job.timeout)

    def _next_in_line(self) -> Job | None:
        while self._waiting:
            job = self._waiting.popleft()
            if not job.future.done():
                return job
        return None

    def _drain_line(self) -> list[Job]:
        jobs = list(self._waiting)
        self._waiting.clear()
        return jobs

    def _grow(self) -> None:
        """Start workers for those that wait, as far as the options and the backoff allow."""
        staying = [worker for worker in self._workers if not worker.leaving]
        starting = sum(not worker.ready for worker in staying)
        wanted = min(
            len(self._waiting) - starting,
            self._options.max_workers - len(staying),
        )
        if wanted <= 0:
            return
        now = self._loop.time()
        if now < self._not_before:
            if not staying:
                self._fail_the_line()
            elif self._regrow is None:
                self._regrow = self._loop.call_at(self._not_before, self._grow_again)
            return
        boot = WorkerBoot(self._name, ModuleSources.here(), self._initializer)
        packed = pickle.dumps(boot, 5)
        for _ in range(wanted):
            self._workers.add(Worker(self, self._launcher, packed))

    def _grow_again(self) -> None:
        self._regrow = None
        self._grow()

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
            job = worker.job
            if job is None or job.timeout is None or job.started_at is None:
                continue
            remaining = job.started_at + job.timeout - now
            if remaining > 0:
                self._watch(remaining)
                continue
            worker.job = None
            job.fail(
                ExecutorTimeoutError(
                    f"{job.call.title} ran longer than {job.timeout:g} s in pool "
                    f"{self._name!r}; its worker (pid {worker.pid}) was killed",
                    pool=self._name,
                    timeout=job.timeout,
                )
            )
            worker.kill()

    def _crashed(self, worker: Worker, report: ExitReport) -> None:
        job, worker.job = worker.job, None
        words = exit_words(report)
        if job is None:
            _logger.warning("pool %r: idle worker %s ended: %s", self._name, worker.pid, words)
            return
        if job.future.done():
            return
        if job.retries > 0 and not self._closing:
            job.retries -= 1
            job.started_at = None
            self._waiting.appendleft(job)
            return
        job.fail(
            WorkerCrashedError(
                f"the worker (pid {worker.pid}) died while it ran {job.call.title} in pool "
                f"{self._name!r}: {words}",
                pool=self._name,
                exit_code=report.exit_code,
                pid=worker.pid,
            )
        )

    def _start_failed(self, worker: Worker, report: ExitReport) -> None:
        self._start_failures += 1
        delay = min(_FIRST_BACKOFF_SECONDS * 2 ** (self._start_failures - 1), _LAST_BACKOFF_SECONDS)
        self._not_before = self._loop.time() + delay
        reason = why(worker.boot_error) if worker.boot_error else exit_words(report)
        self._start_error = WorkerCrashedError(
            f"pool {self._name!r} cannot start a worker: {reason}. It tries again in "
            f"{delay:g} s, when it is called then",
            pool=self._name,
            exit_code=report.exit_code,
        )
        self._start_error.__cause__ = worker.boot_error
        _logger.error("%s", self._start_error, exc_info=worker.boot_error)
        if not any(not other.leaving for other in self._workers):
            self._fail_the_line()

    def _fail_the_line(self) -> None:
        for job in self._drain_line():
            error: Any = self._start_error
            copy = WorkerCrashedError(str(error), pool=self._name, exit_code=error.exit_code)
            copy.__cause__ = error.__cause__
            job.fail(copy)

    def _closed(self, job: Job, when: str) -> ExecutorClosedError:
        return ExecutorClosedError(
            f"pool {self._name!r} was shut down; {job.call.title} was ended {when}",
            pool=self._name,
        )

    async def _until(self, reached: Any, seconds: float) -> None:
        """Wait until ``reached()``, at most ``seconds``."""
        deadline = self._loop.time() + seconds
        while not reached():
            self._changed.clear()
            remaining = deadline - self._loop.time()
            if remaining <= 0:
                return
            try:
                await asyncio.wait_for(self._changed.wait(), remaining)
            except TimeoutError:
                return
