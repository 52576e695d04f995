# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""When a job runs: per pool, by priority, later, again; never more of them than a pool has
workers, so that what waits can still be cancelled and requests find their pool's line short.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

from ..errors import ExecutorError, TaskStoreError
from ..executors import BaseExecutor
from .attempt import Attempt, Outcome
from .events import Events
from .live_job import LiveJob
from .options import TaskSettings
from .status import TaskFailure, TaskState, TaskStatus
from .store.store import TaskStore

__all__ = ["Runner"]

_logger = logging.getLogger("genro_executor_plugin")

STORE_RETRY_SECONDS = 1.0
"""How long to wait before something is written again that the store has refused."""

LAST_WORDS_SECONDS = 5.0
"""How long a job that was ended at shutdown may take to be settled."""

MAX_DOUBLINGS = 10
"""How often the wait before a repetition is doubled."""


class Runner:
    """Runs the jobs that ``add`` gives it, and writes down how each ended.

    It belongs to one event loop. It never decides whether a job is accepted.
    """

    def __init__(
        self,
        store: TaskStore,
        settings: TaskSettings,
        events: Events,
        pool: Callable[[str], BaseExecutor],
        attempt: Callable[[LiveJob, BaseExecutor, bytes], Awaitable[Attempt]],
        on_end: Callable[[TaskStatus, int], None],
    ) -> None:
        self.jobs: dict[str, LiveJob] = {}
        self._store = store
        self._settings = settings
        self._events = events
        self._pool = pool
        self._attempt = attempt
        self._on_end = on_end
        self._lines: dict[str, list[tuple[int, int, str]]] = {}
        self._later: list[tuple[float, int, str]] = []
        self._order = itertools.count()
        self._busy: dict[str, int] = {}
        self._runs: set[asyncio.Task[None]] = set()
        self._alarm: asyncio.TimerHandle | None = None
        self._stopping = False
        self._held: list[LiveJob] | None = []

    # -- the lines --------------------------------------------------------------------------------

    def add(self, job: LiveJob) -> None:
        """Let ``job``, which is queued in the store, run when its time has come."""
        self.jobs[job.status.task_id] = job
        if self._held is None:
            self._line_up(job)
        else:
            self._held.append(job)

    def begin(self) -> None:
        """From now on jobs run; those that were added before wait until then."""
        held, self._held = self._held or [], None
        for job in held:
            self._line_up(job)

    def _line_up(self, job: LiveJob) -> None:
        status = job.status
        if status.eta is not None and status.eta > time.time():
            heapq.heappush(self._later, (status.eta, next(self._order), status.task_id))
            self._set_alarm()
            return
        line = self._lines.setdefault(status.pool, [])
        heapq.heappush(line, (-status.priority, next(self._order), status.task_id))
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
                self._line_up(job)
        self._set_alarm()

    def _begin_next(self, pool: str) -> None:
        line = self._lines.get(pool)
        while line and not self._stopping and self._busy.get(pool, 0) < self._width(pool):
            _, _, task_id = heapq.heappop(line)
            job = self.jobs.get(task_id)
            if job is None or job.status.state is not TaskState.QUEUED or job.run is not None:
                continue  # cancelled while it waited
            self._busy[pool] = self._busy.get(pool, 0) + 1
            job.run = asyncio.create_task(self._run(job), name=f"long job {task_id}")
            self._runs.add(job.run)
            job.run.add_done_callback(self._is_over)

    def _is_over(self, run: asyncio.Task[None]) -> None:
        self._runs.discard(run)
        if not run.cancelled() and (error := run.exception()) is not None:
            _logger.error("%s was given up", run.get_name(), exc_info=error)

    def _width(self, pool: str) -> int:
        try:
            options = self._pool(pool).pool_options
        except ExecutorError:
            return 1  # the attempt will tell the job
        return options.max_workers * options.threads_per_worker

    # -- one run ----------------------------------------------------------------------------------

    async def _run(self, job: LiveJob) -> None:
        pool = job.status.pool
        try:
            outcome = await self._attempted(job)
            job.attempt = None
            if outcome is not None:
                await self._settle(job, outcome)
        finally:
            job.run = None
            self._busy[pool] -= 1
            if job.status.state is TaskState.QUEUED and job.status.task_id in self.jobs:
                self._line_up(job)
            self._begin_next(pool)

    async def _attempted(self, job: LiveJob) -> Outcome | None:
        """How the attempt ended; ``None`` if there was none."""
        task_id = job.status.task_id
        try:
            claim = await asyncio.wrap_future(self._store.claim(task_id, time.time()))
        except TaskStoreError as error:
            # It cannot be begun without a note that it was: it might run twice.
            _logger.error("job %s waits: %s", task_id, error)
            job.status = replace(job.status, eta=time.time() + STORE_RETRY_SECONDS)
            return None
        except Exception as error:
            return Outcome.failed(error)  # its row makes no sense any more
        if claim is None:
            return None  # cancelled in this very moment
        job.set(claim.status)
        self._events.publish("state", job.status, job.couriers)
        if self._is_asked(job):
            return Outcome.cancelled()
        if claim.call is None:
            await self._set_aside(task_id, "call", claim.damage)
            return Outcome.failed(TaskStoreError(claim.damage, task_id=task_id))
        try:
            executor = self._pool(job.status.pool)
            job.attempt = await self._attempt(job, executor, claim.call)
            if self._is_asked(job):
                return Outcome.cancelled()  # while its call was read
            return await job.attempt.run()
        except ExecutorError as error:  # the pool or the call itself is not there
            if job.attempt is None:
                await self._set_aside(task_id, "call", str(error))
            return Outcome.failed(error)

    @staticmethod
    def _is_asked(job: LiveJob) -> bool:
        return job.asked  # which changes during every await

    async def _set_aside(self, task_id: str, kind: str, reason: str) -> None:
        _logger.error("job %s: %s", task_id, reason)
        try:
            await asyncio.wrap_future(self._store.set_aside(task_id, kind, reason))
        except TaskStoreError as error:
            _logger.error("job %s: its %s could not be set aside: %s", task_id, kind, error)

    async def _settle(self, job: LiveJob, outcome: Outcome) -> None:
        status = job.status
        if outcome.interrupted:
            job.goes_on = outcome.goes_on
            if not outcome.begun or (status.repeatable and not outcome.goes_on):
                await self._put_back(job, None, status.failure, attempted=outcome.begun)
            elif not outcome.goes_on:
                await self.end(job, TaskState.LOST, outcome.failure, "failure", outcome.content)
            # What goes on in a thread is still running: the next server finds it so.
            return
        if outcome.state is None:  # the pool took nothing on
            await self._put_back(
                job, time.time() + outcome.retry_after, outcome.failure, attempted=False
            )
            return
        if (
            outcome.state is TaskState.FAILED
            and outcome.may_be_repeated
            and status.attempts <= status.retries
            and not job.asked
        ):
            doublings = min(status.attempts - 1, MAX_DOUBLINGS)
            wait = status.backoff * 2.0**doublings
            await self._put_back(job, time.time() + wait, outcome.failure, attempted=True)
            return
        kind = "result" if outcome.state is TaskState.SUCCEEDED else "failure"
        await self.end(job, outcome.state, outcome.failure, kind, outcome.content)

    async def _put_back(
        self, job: LiveJob, eta: float | None, failure: TaskFailure | None, *, attempted: bool
    ) -> None:
        task_id = job.status.task_id
        status = None
        while True:
            try:
                status = await asyncio.wrap_future(
                    self._store.put_back(task_id, eta, failure, attempted=attempted)
                )
                break
            except TaskStoreError as error:
                _logger.error("job %s is to be repeated and waits: %s", task_id, error)
                if self._stopping:
                    return
                await asyncio.sleep(STORE_RETRY_SECONDS)
        if status is not None:
            job.set(status)
            self._events.publish("state", status, job.couriers)

    async def end(
        self,
        job: LiveJob,
        state: TaskState,
        failure: TaskFailure | None,
        kind: str,
        content: bytes | None,
    ) -> None:
        """Give ``job`` its final state, and keep trying while the store refuses it."""
        before = job.status.stored_bytes
        status = replace(
            job.status,
            state=state,
            ended_at=time.time(),
            failure=failure,
            cancel_requested=job.asked,
            stored_bytes=len(content or b""),
        )
        done = False
        while True:
            try:
                done = await asyncio.wrap_future(self._store.end(status, kind, content))
                break
            except TaskStoreError as error:
                _logger.error("job %s has ended as %s: %s", status.task_id, status.state, error)
                if state is TaskState.SUCCEEDED and content is not None:
                    reason = f"its result, {len(content)} bytes, could not be stored: {error}"
                    failure = TaskFailure("TaskStoreError", reason)
                    state, content = TaskState.FAILED, None
                    status = replace(status, state=state, failure=failure, stored_bytes=0)
                    continue
                # It has ended, and whoever waits is told; the store learns it when it can.
                content, status = None, replace(status, stored_bytes=0)
                self._tell_the_end(job, status)
                if self._stopping:
                    return
                await asyncio.sleep(STORE_RETRY_SECONDS)
        if done:
            self._on_end(status, before)
        self._tell_the_end(job, status)
        self.jobs.pop(status.task_id, None)

    def _tell_the_end(self, job: LiveJob, status: TaskStatus) -> None:
        if not job.status.state.final:
            job.set(status)
            self._events.publish("state", status, job.couriers)

    # -- cancelling and stopping ------------------------------------------------------------------

    async def cancel(self, job: LiveJob, grace: float) -> None:
        """Cancel ``job``: one that waits never begins, one that runs is asked, then killed."""
        job.asked = True
        now = time.time()
        status = await asyncio.wrap_future(self._store.cancel_queued(job.status.task_id, now))
        if status is not None:
            self._on_end(status, job.status.stored_bytes)
            self.jobs.pop(status.task_id, None)
            self._tell_the_end(job, status)
            return
        if job.status.state.final:
            return
        await asyncio.wrap_future(self._store.ask_to_end(job.status.task_id))
        if job.attempt is not None:
            job.set(replace(job.status, cancel_requested=True))
            self._events.publish("state", job.status, job.couriers)
            job.attempt.cancel(grace)

    async def stop(self, timeout: float) -> bool:
        """Begin nothing more, give running jobs ``timeout`` seconds, then end them.

        ``False`` when a job goes on in a thread, which nobody can end.
        """
        self._stopping = True
        if self._alarm is not None:
            self._alarm.cancel()
        if self._runs:
            await asyncio.wait(self._runs, timeout=timeout)
        for job in list(self.jobs.values()):
            if job.attempt is not None:
                job.attempt.interrupt()
        if self._runs:
            await asyncio.wait(self._runs, timeout=max(timeout, LAST_WORDS_SECONDS))
        goes_on = any(job.goes_on for job in self.jobs.values())
        for run in list(self._runs):
            run.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)
        for job in self.jobs.values():
            job.forsake()
        return not goes_on
