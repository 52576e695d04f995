# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The long jobs of one server: accepted, told of, cancelled, forgotten.

``LongTasks`` is what ``app.tasks`` talks to. It owns the store and the runner, and is opened
when the server starts with a store that exists, or when the first job is submitted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import (
    ExecutorClosedError,
    ExecutorConfigError,
    ExecutorError,
    TaskError,
    TaskStoreError,
)
from ..executors import BaseExecutor
from ..portable.modules import stop_main_import
from ..routing.caller import calling
from .acceptance import Intake
from .attempt import Attempt
from .events import Events
from .limits import Limits
from .live_job import LiveJob
from .options import TaskOptions, TaskSettings
from .orders import Orders
from .results import (
    error_of,
    is_over,
    not_found,
    read_result,
)
from .runner import Runner
from .status import Progress, TaskState, TaskStatus
from .store.recovery import Recovered
from .store.store import TaskStore
from .targets import Target
from .task_id import TaskId

__all__ = ["LongTasks"]

_logger = logging.getLogger("genro_executor_plugin")

PROGRESS_NOTE_SECONDS = 1.0
"""How often the progress of a job is written down; listeners have it at once."""

PURGE_EVERY_SECONDS = 60.0
"""How much later than its time something may be forgotten."""

SUCCEEDED = TaskState.SUCCEEDED


class LongTasks:
    """The long jobs of ``server``."""

    def __init__(self, server: Any, settings: TaskSettings) -> None:
        self._server = server
        self.settings = settings
        self._orders = Orders(server, settings)
        self._limits = Limits(settings)
        self._store: TaskStore | None = None
        self._opening: asyncio.Future[None] | None = None
        self._runner: Runner | None = None
        self._events: Events | None = None
        self._stopped = False
        self._holding = False
        self._purging: asyncio.Task[None] | None = None
        self._intake = Intake(self._limits, self._opened, self._accepted)
        self.damage: list[str] = []

    # -- life -------------------------------------------------------------------------------------

    @property
    def folder(self) -> Path:
        """Where the store is.

        Raises:
            ExecutorConfigError: the server's ``site`` storage is not on a local disk, and no
                ``path`` is set.
        """
        if self.settings.path is not None:
            return Path(self.settings.path).absolute()
        storage = getattr(self._server, "storage", None)
        path = storage.node("site:long_tasks").resolved_path if storage is not None else None
        if path is None:
            raise ExecutorConfigError(
                "long jobs need a folder on a local disk, and the server's site storage is none; "
                "give the server long_tasks={'path': ...}"
            )
        return Path(path)

    @property
    def in_use(self) -> bool:
        """Whether there is a store, of now or of before."""
        return self._store is not None or self._is_there()

    def _is_there(self) -> bool:
        """Whether there is a store of before; a server that has no place for one has none."""
        try:
            return TaskStore.exists(self.folder)
        except ExecutorConfigError:
            return False

    async def start(self) -> None:
        """Open the store if there is one. ``begin`` then goes on with the jobs in it.

        Raises:
            TaskStoreError: another server has it, or it cannot be read.
        """
        self._intake.loop = asyncio.get_running_loop()
        if self._store is None and self._is_there():
            self._holding = True
            await self._opened()

    def begin(self) -> None:
        """Go on with the jobs that were in the store: their applications are up now."""
        self._holding = False
        if self._runner is not None:
            self._runner.begin()

    async def _opened(self) -> tuple[TaskStore, Runner]:
        """The store and the runner, opened now if they were not."""
        if self._opening is None:
            if self._stopped:
                raise ExecutorClosedError("the server stops; no long job is accepted any more")
            self._intake.loop = asyncio.get_running_loop()
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
        store = TaskStore(
            self.folder, synchronous=settings.synchronous, max_bytes=settings.max_bytes
        )
        opened = await asyncio.to_thread(store.open)
        try:
            found: Recovered = await asyncio.wrap_future(opened)
        except BaseException:
            await asyncio.to_thread(store.close)
            raise
        self.damage = found.damage
        self._limits.load(found.usage)
        self._events = Events(self._server)
        self._runner = Runner(
            store, settings, self._events, self._server.executors.get, self._attempt, self._ended
        )
        if not self._holding:
            self._runner.begin()
        self._store = self._intake.store = store
        for was in found.ended:
            _logger.warning("long job %s (%s) ended with its server", was.task_id, was.title)
        for status in found.waiting:
            self._runner.add(LiveJob(status))
        self._purging = asyncio.create_task(self._purge(store))

    async def stop(self) -> None:
        """Begin no job any more, end those that run, and let go of the store."""
        self._stopped = True
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._purging is not None:
            self._purging.cancel()
            await asyncio.gather(self._purging, return_exceptions=True)
        store, self._store, self._intake.store = self._store, None, None
        if store is None or self._runner is None:
            return
        in_order = await self._runner.stop(self.settings.shutdown_timeout)
        # A thread that goes on keeps the store: no other server may repeat its job meanwhile.
        await asyncio.to_thread(store.close, release=in_order)

    def metadata_of(self, status: TaskStatus) -> dict[str, Any]:
        """What the route of a job says of its results (``media_type``); empty for a function."""
        if "/" not in status.title:
            return {}
        try:
            return dict(self._orders.targets.at(status.title).metadata)
        except ExecutorError:
            return {}  # it is not served any more

    async def _purge(self, store: TaskStore) -> None:
        while True:
            try:
                gone, following = await asyncio.wrap_future(store.purge(time.time()))
            except TaskStoreError as error:
                _logger.error("what was kept long enough cannot be forgotten: %s", error)
                gone, following = [], None
            for status in gone:
                self._limits.give_back(status.submitter, status.stored_bytes)
            if gone and following is not None and following <= time.time():
                continue
            await asyncio.sleep(PURGE_EVERY_SECONDS)

    # -- submitting -------------------------------------------------------------------------------

    def submit(
        self,
        job: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: TaskOptions,
        application: Any = None,
    ) -> TaskId:
        """Accept a job: see ``app.tasks.submit``."""
        target = self._orders.targets.of(job, application)
        return self._submit(target, args, kwargs, options)

    def submit_handler(self, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TaskId:
        """Accept a call of a route's handler, with the key that its request names."""
        caller = calling.get()
        key = caller.key if caller is not None and caller.key else None
        return self._submit(self._orders.targets.of(handler), args, kwargs, TaskOptions(key=key))

    def _submit(
        self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any], options: TaskOptions
    ) -> TaskId:
        stop_main_import()
        if self._stopped:
            raise ExecutorClosedError("the server stops; no long job is accepted any more")
        order = self._orders.order(target, args, kwargs, options)
        status, content = order.status, order.content
        self._limits.take(status.submitter, len(content), target.title)
        return self._intake.take(LiveJob(status, order.couriers), content, options)

    # -- running ----------------------------------------------------------------------------------

    async def _attempt(self, job: LiveJob, executor: BaseExecutor, content: bytes) -> Attempt:
        return await self._orders.attempt(job, executor, content, partial(self._progressed, job))

    def _progressed(self, job: LiveJob, progress: Progress) -> None:
        assert self._events is not None
        job.set(replace(job.status, progress=progress))
        self._events.publish("progress", job.status, job.couriers)
        now = time.monotonic()
        if self._store is not None and now - job.noted_at >= PROGRESS_NOTE_SECONDS:
            # Nobody waits for it: the next one, or the end, writes it again.
            job.noted_at = now
            self._store.note_progress(job.status)

    def _accepted(self, job: LiveJob) -> None:
        if self._runner is not None:
            self._runner.add(job)

    def _ended(self, status: TaskStatus, bytes_before: int) -> None:
        self._limits.resize(status.submitter, bytes_before, status.stored_bytes)

    # -- telling ----------------------------------------------------------------------------------

    async def status(self, task_id: str) -> TaskStatus:
        """What is known of the job.

        Raises:
            TaskNotFoundError: there is none of that id.
        """
        await self._intake.is_in(task_id)
        found = self._known(task_id)
        if found is None and self.in_use:
            store, _ = await self._opened()
            found = await asyncio.wrap_future(store.status(task_id))
            found = self._known(task_id) or found
        if found is None or is_over(found):
            raise not_found(task_id)
        return found

    def _known(self, task_id: str) -> TaskStatus | None:
        """What needs no look into the store."""
        job = self._runner.jobs.get(task_id) if self._runner is not None else None
        return job.status if job is not None else self._intake.refused.get(task_id)

    async def result(self, task_id: str, timeout: float | None = None) -> Any:
        """What the job returned, as soon as it has: see ``app.tasks.result``."""
        status = await self.status(task_id)
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
        try:
            found = await asyncio.wrap_future(store.outcome(task_id))
        except TaskStoreError as error:
            kind = "result" if (await self.status(task_id)).state is SUCCEEDED else "failure"
            await self._damaged(store, task_id, kind, str(error))
            raise
        if found is None:
            raise not_found(task_id)
        status, content = found
        if status.state is SUCCEEDED:
            return await read_result(status, content)
        raise error_of(status, content)

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
        """The jobs that match, the newest first, at most ``limit``."""
        if not self.in_use:
            return []
        store, runner = await self._opened()
        rows = await asyncio.wrap_future(
            store.list(state.value if state is not None else None, submitter, session, limit)
        )
        live = [
            runner.jobs[row.task_id].status if row.task_id in runner.jobs else row for row in rows
        ]
        return [status for status in live if not is_over(status)]

    async def counts(self) -> dict[str, int]:
        """How many jobs are in which state, and how many pieces were set aside as damaged."""
        if not self.in_use:
            return {**dict.fromkeys((state.value for state in TaskState), 0), "damaged": 0}
        store, _ = await self._opened()
        return await asyncio.wrap_future(store.counts())

    async def follow(self, task_id: str) -> AsyncIterator[tuple[str, TaskStatus]]:
        """What the job is, and then what happens to it, to its end: kind and status.

        The kind is ``"state"`` or ``"progress"``. It also ends when the server begins to stop.

        Raises:
            TaskNotFoundError: there is none of that id.
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
        """End the job: see ``app.tasks.cancel``."""
        await self.status(task_id)
        job = self._runner.jobs.get(task_id) if self._runner is not None else None
        if job is not None and self._runner is not None:
            await self._runner.cancel(job, self.settings.cancel_grace if grace is None else grace)
        return await self.status(task_id)

    async def forget(self, task_id: str) -> None:
        """Remove a job that has ended: see ``app.tasks.forget``."""
        status = await self.status(task_id)
        store, _ = await self._opened()
        removed = await asyncio.wrap_future(store.remove(task_id))
        if removed is not None:
            self._limits.give_back(removed.submitter, removed.stored_bytes)
        elif self._intake.refused.pop(task_id, None) is None:
            raise TaskError(
                f"job {task_id} is {status.state.value}; it can be forgotten when it has ended. "
                "Cancel it first",
                task_id=task_id,
            )
