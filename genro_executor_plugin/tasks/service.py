# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The long jobs of one server: they are accepted, reported, cancelled and forgotten here.

``app.tasks`` calls ``LongTasks``, which owns the store and the runner. It opens the store when
the server starts, if there is one, or else when the first job is submitted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from typing import Any

from ..errors import (
    ExecutorClosedError,
    ExecutorConfigError,
    ExecutorError,
    TaskError,
    TaskStoreError,
)
from ..executors import BaseExecutor
from ..hosts.contract import HostServer
from ..portable.main_module import stop_main_import
from ..routing.caller import current_caller
from .acceptance import Acceptance
from .attempt import Attempt
from .events import Events
from .live_job import LiveJob
from .options import TaskOptions, TaskSettings
from .results import is_expired, not_found, stored_outcome
from .runner import Runner
from .status import Progress, TaskId, TaskState, TaskStatus
from .store import Recovered, TaskStore
from .stored_call import JobFactory
from .targets import Target

__all__ = ["LongTasks"]

_logger = logging.getLogger("genro_executor_plugin")

PROGRESS_NOTE_SECONDS = 1.0
"""How often the progress of a job is stored; listeners get it at once."""


class LongTasks:
    """The long jobs of ``server``.

    Attributes:
        settings: the settings for all of them.
        damage: what was found damaged in the store and set aside, in words.
    """

    def __init__(self, server: HostServer, settings: TaskSettings) -> None:
        self._server = server
        self.settings = settings
        self._factory = JobFactory(server, settings)
        self._acceptance = Acceptance(settings, self._opened, self._accepted)
        self._store: TaskStore | None = None
        self._opening: asyncio.Future[None] | None = None
        self._runner: Runner | None = None
        self._events: Events | None = None
        self._stopped = False
        self._holding = False
        self._purging: asyncio.Task[None] | None = None
        self.damage: list[str] = []

    # -- opening and closing ----------------------------------------------------------------------

    @property
    def in_use(self) -> bool:
        """Whether there is a store: this server has opened one, or a former server has left one."""
        return self._store is not None or self._exists()

    def _exists(self) -> bool:
        """Whether a former server has left a store; without a place for one there is none."""
        try:
            return TaskStore.exists(self.settings.folder_of(self._server))
        except ExecutorConfigError:
            return False

    async def start(self) -> None:
        """Open the store if there is one. Its jobs wait until ``begin`` is called.

        Raises:
            TaskStoreError: another server has the store, or it cannot be read.
        """
        self._acceptance.loop = asyncio.get_running_loop()
        if self._store is None and self._exists():
            self._holding = True
            await self._opened()

    def begin(self) -> None:
        """Run the jobs that were in the store, now that their applications have started."""
        self._holding = False
        if self._runner is not None:
            self._runner.begin()

    async def _opened(self) -> tuple[TaskStore, Runner]:
        """The store and the runner, which are opened on the first call."""
        if self._opening is None:
            if self._stopped:
                raise ExecutorClosedError("the server stops; no long job is accepted any more")
            self._acceptance.loop = asyncio.get_running_loop()
            self._opening = asyncio.ensure_future(self._open())
        try:
            await asyncio.shield(self._opening)
        except TaskStoreError:
            self._opening = None  # the other server may be gone next time
            raise
        assert self._store is not None
        assert self._runner is not None
        return self._store, self._runner

    async def _open(self) -> None:
        settings = self.settings
        folder = settings.folder_of(self._server)
        store = TaskStore(folder, synchronous=settings.synchronous, max_bytes=settings.max_bytes)
        opened = await asyncio.to_thread(store.open)
        try:
            found: Recovered = await asyncio.wrap_future(opened)
        except BaseException:
            await asyncio.to_thread(store.close)
            raise
        self.damage = found.damage
        self._acceptance.limits.load(found.usage)
        self._events = Events(self._server)
        self._runner = Runner(
            store, settings, self._events, self._server.executors.get, self._attempt, self._ended
        )
        if not self._holding:
            self._runner.begin()
        self._store = self._acceptance.store = store
        for was in found.ended:
            _logger.warning("long job %s (%s) ended with its server", was.task_id, was.title)
        for status in found.waiting:
            self._runner.add(LiveJob(status))
        self._purging = asyncio.create_task(self._acceptance.purge(store))

    async def stop(self) -> None:
        """Begin no more jobs, end those that run, and release the store."""
        self._stopped = True
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._purging is not None:
            self._purging.cancel()
            await asyncio.gather(self._purging, return_exceptions=True)
        store, self._store, self._acceptance.store = self._store, None, None
        if store is None or self._runner is None:
            return
        in_order = await self._runner.stop(self.settings.shutdown_timeout)
        # While a job goes on in a thread, no other server may have the store and repeat the job.
        await asyncio.to_thread(store.close, release=in_order)

    def metadata_of(self, status: TaskStatus) -> dict[str, Any]:
        """The metadata of a job's route (``media_type``), empty for a function."""
        if "/" not in status.title:
            return {}
        try:
            return dict(self._factory.targets.at(status.title).metadata)
        except ExecutorError:
            return {}  # it is not served any more

    # -- submitting -------------------------------------------------------------------------------

    def submit(
        self,
        job: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: TaskOptions,
        application: Any = None,
    ) -> TaskId:
        """Accept a job, as ``ApplicationTasks.submit`` says."""
        target = self._factory.targets.of(job, application)
        return self._submit(target, args, kwargs, options)

    def submit_handler(self, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TaskId:
        """Accept a call of a route's handler, with the idempotency key of its request."""
        caller = current_caller()
        key = caller.key if caller is not None and caller.key else None
        return self._submit(self._factory.targets.of(handler), args, kwargs, TaskOptions(key=key))

    def _submit(
        self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any], options: TaskOptions
    ) -> TaskId:
        stop_main_import()
        if self._stopped:
            raise ExecutorClosedError("the server stops; no long job is accepted any more")
        new = self._factory.new_job(target, args, kwargs, options)
        return self._acceptance.accept(LiveJob(new.status, new.couriers), new.content, options)

    # -- running ----------------------------------------------------------------------------------

    async def _attempt(self, job: LiveJob, executor: BaseExecutor, content: bytes) -> Attempt:
        return await self._factory.attempt(job, executor, content, partial(self._progressed, job))

    def _progressed(self, job: LiveJob, progress: Progress) -> None:
        assert self._events is not None
        job.set(replace(job.status, progress=progress))
        self._events.publish("progress", job.status, job.couriers)
        now = time.monotonic()
        if self._store is not None and now - job.noted_at >= PROGRESS_NOTE_SECONDS:
            # Not awaited: if the write fails, the next progress or the end of the job replaces it.
            job.noted_at = now
            self._store.note_progress(job.status)

    def _accepted(self, job: LiveJob) -> None:
        if self._runner is not None:
            self._runner.add(job)

    def _ended(self, status: TaskStatus, bytes_before: int) -> None:
        self._acceptance.limits.resize(status.submitter, bytes_before, status.stored_bytes)

    # -- reporting --------------------------------------------------------------------------------

    async def status(self, task_id: str) -> TaskStatus:
        """What is known of the job.

        Raises:
            TaskNotFoundError: there is no job of that id.
        """
        await self._acceptance.stored(task_id)
        found = self._known(task_id)
        if found is None and self.in_use:
            store, _ = await self._opened()
            found = await asyncio.wrap_future(store.status(task_id))
            found = self._known(task_id) or found
        if found is None or is_expired(found):
            raise not_found(task_id)
        return found

    def _known(self, task_id: str) -> TaskStatus | None:
        """What is known of the job without asking the store."""
        job = self._runner.jobs.get(task_id) if self._runner is not None else None
        return job.status if job is not None else self._acceptance.refused.get(task_id)

    async def result(self, task_id: str, timeout: float | None = None) -> Any:
        """Wait for the job's end and return its result, as ``ApplicationTasks.result`` says."""
        await self.status(task_id)
        job = self._runner.jobs.get(task_id) if self._runner is not None else None
        if job is not None:
            async with asyncio.timeout(timeout):
                await job.ended()
        known = self._known(task_id)
        if known is not None:  # the store has refused it, or still does
            failure = known.failure
            raise TaskStoreError(
                f"job {task_id} has ended as {known.state.value} and is not in the store: "
                f"{failure.message if failure is not None else 'its disk may be full'}",
                task_id=task_id,
            )
        store, _ = await self._opened()
        return await stored_outcome(store, task_id, self._damaged)

    async def _damaged(self, store: TaskStore, task_id: str, kind: str, reason: str) -> None:
        _logger.error("%s", reason)
        self.damage.append(reason)
        await asyncio.wrap_future(store.set_aside(task_id, kind, reason))

    async def list(
        self,
        state: TaskState | None = None,
        submitter: str | None = None,
        session: str | None = None,
        limit: int = 100,
    ) -> list[TaskStatus]:
        """The jobs that match, the newest first, at most ``limit`` of them."""
        if not self.in_use:
            return []
        store, runner = await self._opened()
        rows = await asyncio.wrap_future(
            store.list(state.value if state is not None else None, submitter, session, limit)
        )
        live = [
            runner.jobs[row.task_id].status if row.task_id in runner.jobs else row for row in rows
        ]
        return [status for status in live if not is_expired(status)]

    async def counts(self) -> dict[str, int]:
        """The number of jobs in each state, and of damaged pieces that were set aside."""
        if not self.in_use:
            return {**dict.fromkeys((state.value for state in TaskState), 0), "damaged": 0}
        store, _ = await self._opened()
        return await asyncio.wrap_future(store.counts())

    async def follow(self, task_id: str) -> AsyncIterator[tuple[str, TaskStatus]]:
        """Yield the job's state, then its changes until its end, each as kind and status.

        The kind is ``"state"`` or ``"progress"``. The iteration also ends when the server begins
        to stop.

        Raises:
            TaskNotFoundError: there is no job of that id.
        """
        status = await self.status(task_id)
        if self._events is None:
            yield "state", status
            return
        queue = self._events.subscribe(task_id)
        try:
            status = await self.status(task_id)
            yield "state", status
            while not status.state.final:
                event = await self._server.get_until_leaving(queue)
                if event is None:
                    return
                kind, status = event["type"], event["status"]
                yield kind, status
        finally:
            self._events.unsubscribe(task_id, queue)

    # -- ending and forgetting --------------------------------------------------------------------

    async def cancel(self, task_id: str, grace: float | None = None) -> TaskStatus:
        """Cancel the job, as ``ApplicationTasks.cancel`` says."""
        await self.status(task_id)
        job = self._runner.jobs.get(task_id) if self._runner is not None else None
        if job is not None and self._runner is not None:
            await self._runner.cancel(job, self.settings.cancel_grace if grace is None else grace)
        return await self.status(task_id)

    async def forget(self, task_id: str) -> None:
        """Remove a job that has ended, as ``ApplicationTasks.forget`` says."""
        status = await self.status(task_id)
        store, _ = await self._opened()
        removed = await asyncio.wrap_future(store.remove(task_id))
        if removed is not None:
            self._acceptance.limits.give_back(removed.submitter, removed.stored_bytes)
        elif self._acceptance.refused.pop(task_id, None) is None:
            raise TaskError(
                f"job {task_id} is {status.state.value}; it can be forgotten when it has ended. "
                "Cancel it first",
                task_id=task_id,
            )
