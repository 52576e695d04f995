# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A job runs: it is claimed, attempted and settled, and runs again after a failure."""

from __future__ import annotations

import asyncio
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
from .queues import Queues
from .status import TaskFailure, TaskState, TaskStatus
from .store import TaskStore
from .store.attempts import INTERRUPTED, Ran
from .store.database import is_busy

__all__ = ["Runner"]

_logger = logging.getLogger("genro_executor_plugin")

STORE_RETRY_SECONDS = 1.0
"""How long to wait before a write is repeated that the store has refused."""

SETTLE_SECONDS = 5.0
"""How long it may take at shutdown to store the end of a job that was ended."""


class Runner(Queues):
    """Runs the jobs that ``add`` gives it, and stores how each of them ended.

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
        super().__init__(pool)
        self._store = store
        self._settings = settings
        self._events = events
        self._attempt = attempt
        self._on_end = on_end
        self._runs: set[asyncio.Task[None]] = set()

    # -- one run ----------------------------------------------------------------------------------

    def _start(self, job: LiveJob) -> None:
        job.run = asyncio.create_task(self._run(job), name=f"long job {job.status.task_id}")
        self._runs.add(job.run)
        job.run.add_done_callback(self._forget_run)

    def _forget_run(self, run: asyncio.Task[None]) -> None:
        self._runs.discard(run)
        if not run.cancelled() and (error := run.exception()) is not None:
            _logger.error("%s was given up", run.get_name(), exc_info=error)

    async def _run(self, job: LiveJob) -> None:
        pool = job.status.pool
        try:
            try:
                outcome = await self._attempted(job)
            except Exception as error:
                _logger.exception("job %s could not be run", job.status.task_id)
                outcome = Outcome.failed(error)
            job.attempt = None
            if outcome is not None:
                await self._settled(job, outcome)
        finally:
            job.run = None
            self._has_run(job, pool)

    async def _attempted(self, job: LiveJob) -> Outcome | None:
        """Claim the job, run it, and return how that ended; ``None`` if it did not run."""
        task_id = job.status.task_id
        try:
            claim = await asyncio.wrap_future(self._store.claim(task_id, time.time()))
        except TaskStoreError as error:
            # Without a stored claim it must not begin: it might run twice.
            _logger.error("job %s waits: %s", task_id, error)
            job.status = replace(job.status, eta=time.time() + STORE_RETRY_SECONDS)
            return None
        except Exception as error:
            return Outcome.failed(error)  # its row is damaged
        if claim is None:
            await self._find_out(job)
            return None
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
        except ExecutorError as error:
            if job.attempt is None:
                # There is no such pool or route, or no such function. Nothing in the store is
                # damaged: when they are back, the job can run again.
                _logger.error("job %s cannot begin: %s", task_id, error)
            return Outcome.failed(error)

    async def _find_out(self, job: LiveJob) -> None:
        """Learn what has become of a job that cannot be claimed."""
        try:
            status = await asyncio.wrap_future(self._store.status(job.status.task_id))
        except TaskStoreError as error:
            _logger.error("job %s waits: %s", job.status.task_id, error)
            job.status = replace(job.status, eta=time.time() + STORE_RETRY_SECONDS)
            return
        self.let_go(job, status)

    def let_go(self, job: LiveJob, status: TaskStatus | None) -> None:
        """Have nothing more to do with a job that another process has ended, or has removed."""
        if status is None:
            status = replace(job.status, state=TaskState.CANCELLED, ended_at=time.time())
        self.jobs.pop(job.status.task_id, None)
        if status.state.final:
            self._publish_end(job, status)
        else:
            job.abandon()

    @staticmethod
    def _is_asked(job: LiveJob) -> bool:
        return job.asked  # not inlined: to a type checker it would not change during an await

    async def _set_aside(self, task_id: str, kind: str, reason: str) -> None:
        _logger.error("job %s: %s", task_id, reason)
        try:
            await asyncio.wrap_future(self._store.set_aside(task_id, kind, reason))
        except TaskStoreError as error:
            _logger.error("job %s: its %s could not be set aside: %s", task_id, kind, error)

    async def _settled(self, job: LiveJob, outcome: Outcome) -> None:
        """Store how the job ended, and if that fails in whatever way, that it has failed."""
        try:
            await self._settle(job, outcome)
        except Exception as error:
            _logger.exception("the end of job %s could not be stored", job.status.task_id)
            words = Outcome.failed(error).failure
            await self._end(job, TaskState.FAILED, words, "failure", None, outcome)

    async def _settle(self, job: LiveJob, outcome: Outcome) -> None:
        status = job.status
        if outcome.interrupted:
            job.goes_on = outcome.goes_on
            if not outcome.begun or (status.repeatable and not outcome.goes_on):
                ran = _ran(outcome, INTERRUPTED) if outcome.begun else None
                await self._put_back(job, None, status.failure, ran)
            elif not outcome.goes_on:
                await self._end_as(job, TaskState.LOST, outcome)
            # A job that goes on in a thread stays "running" in the store.
            return
        if outcome.state is None:  # the pool has refused it
            await self._put_back(job, time.time() + outcome.retry_after, outcome.failure, None)
            return
        if (
            outcome.state is TaskState.FAILED
            and outcome.may_be_repeated
            and status.attempts <= status.retries
            and not job.asked
        ):
            eta = time.time() + status.pause
            ran = _ran(outcome, outcome.state)
            await self._put_back(job, eta, outcome.failure, ran)
            return
        await self._end_as(job, outcome.state, outcome)

    async def _put_back(
        self, job: LiveJob, eta: float | None, failure: TaskFailure | None, ran: Ran | None
    ) -> None:
        task_id = job.status.task_id
        status = None
        while True:
            try:
                status = await asyncio.wrap_future(self._store.put_back(task_id, eta, failure, ran))
                break
            except TaskStoreError as error:
                _logger.error("job %s is to be repeated and waits: %s", task_id, error)
                if self._stopping:
                    return
                await asyncio.sleep(STORE_RETRY_SECONDS)
        if status is not None:
            job.set(status)
            self._events.publish("state", status, job.couriers)

    async def _end_as(self, job: LiveJob, state: TaskState, outcome: Outcome) -> None:
        kind = "result" if state is TaskState.SUCCEEDED else "failure"
        await self._end(job, state, outcome.failure, kind, outcome.content, outcome)

    async def _end(
        self,
        job: LiveJob,
        state: TaskState,
        failure: TaskFailure | None,
        kind: str,
        content: bytes | None,
        outcome: Outcome,
    ) -> None:
        """Give ``job`` its final state, and try again while the store refuses it."""
        before = job.status.stored_bytes
        status = replace(
            job.status,
            state=state,
            ended_at=time.time(),
            failure=failure,
            cancel_requested=job.asked,
        )
        size, log = None, outcome.log
        while True:
            try:
                ran = Ran(status.state.value, *outcome.ran_by, failure=status.failure, log=log)
                size = await asyncio.wrap_future(self._store.end(status, kind, content, ran))
                break
            except TaskStoreError as error:
                _logger.error("job %s has ended as %s: %s", status.task_id, status.state, error)
                if is_busy(error):
                    # A lock passes, and until then the end is kept as it is; at shutdown as long
                    # as that waits.
                    await asyncio.sleep(STORE_RETRY_SECONDS)
                    continue
                if log is not None:
                    log = None  # there may be room for the result alone
                    continue
                if state is TaskState.SUCCEEDED and content is not None:
                    reason = f"its result, {len(content)} bytes, could not be stored: {error}"
                    failure = TaskFailure("TaskStoreError", reason)
                    state, content = TaskState.FAILED, None
                    status = replace(status, state=state, failure=failure)
                    continue
                # Those who wait are told already; the store gets the end as soon as it takes it.
                content = None
                self._publish_end(job, status)
                if self._stopping:
                    return
                await asyncio.sleep(STORE_RETRY_SECONDS)
        if size is not None:
            status = replace(status, stored_bytes=size)
            self._on_end(status, before)
        self._publish_end(job, status)
        self.jobs.pop(status.task_id, None)

    def _publish_end(self, job: LiveJob, status: TaskStatus) -> None:
        if not job.status.state.final:
            job.set(status)
            self._events.publish("state", status, job.couriers)

    # -- cancelling and stopping ------------------------------------------------------------------

    async def cancel(self, job: LiveJob, grace: float) -> None:
        """Cancel ``job``: if it waits it never begins, if it runs it is asked, then killed."""
        job.asked = True
        now = time.time()
        status = await asyncio.wrap_future(self._store.cancel_queued(job.status.task_id, now))
        if status is not None:
            self._on_end(status, job.status.stored_bytes)
            self.jobs.pop(status.task_id, None)
            self._publish_end(job, status)
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

        ``False`` when a job goes on in a thread, which cannot be ended.
        """
        self._begin_no_more()
        if self._runs:
            await asyncio.wait(self._runs, timeout=timeout)
        for job in list(self.jobs.values()):
            if job.attempt is not None:
                job.attempt.interrupt()
        if self._runs:
            await asyncio.wait(self._runs, timeout=max(timeout, SETTLE_SECONDS))
        goes_on = any(job.goes_on for job in self.jobs.values())
        for run in list(self._runs):
            run.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)
        for job in self.jobs.values():
            job.abandon()
        return not goes_on


def _ran(outcome: Outcome, how: str) -> Ran:
    """What is kept of an attempt behind which the job runs again."""
    return Ran(str(how), *outcome.ran_by, failure=outcome.failure, log=outcome.log)
