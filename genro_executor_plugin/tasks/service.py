# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The long jobs of one server: they are accepted, reported, cancelled and forgotten here.

``app.tasks`` calls ``LongTasks``. The store and the runner behind it are opened in ``opened``.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..errors import (
    ExecutorClosedError,
    ExecutorError,
    TaskError,
    TaskStoreError,
)
from ..hosts.contract import HostServer
from ..portable.main_module import stop_main_import
from ..routing.caller import current_caller
from .events import GONE
from .listeners import Listeners
from .live_job import LiveJob
from .managed import ManagedTasks
from .options import TaskOptions, TaskSettings
from .results import is_expired, not_found, stored_outcome
from .status import TaskId, TaskState, TaskStatus
from .store import TaskStore
from .targets import Target

__all__ = ["LongTasks"]

_logger = logging.getLogger("genro_executor_plugin")


class LongTasks(ManagedTasks):
    """The long jobs of one server.

    Attributes:
        listeners: who is sent the events of jobs.
    """

    def __init__(self, server: HostServer, settings: TaskSettings) -> None:
        super().__init__(server, settings)
        self.listeners: Listeners = Listeners(self.follow)

    def metadata_of(self, status: TaskStatus) -> dict[str, Any]:
        """The metadata of a job's route (``media_type``), empty for a function."""
        if "/" not in status.title:
            return {}
        try:
            return dict(self._factory.targets.at(status.title).metadata)
        except ExecutorError:
            return {}  # it is not served any more

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that they belong to, ``None`` before the first is submitted."""
        return self._acceptance.loop

    # -- submitting -------------------------------------------------------------------------------

    def submit(
        self,
        job: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: TaskOptions,
        application: Any = None,
    ) -> TaskId[Any]:
        """Accept a job, as ``ApplicationTasks.submit`` says."""
        target = self._factory.targets.of(job, application)
        return self._submit(target, args, kwargs, options)

    def submit_handler(
        self, handler: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> TaskId[Any]:
        """Accept a call of a route's handler, with the idempotency key of its request."""
        caller = current_caller()
        key = caller.key if caller is not None and caller.key else None
        return self._submit(self._factory.targets.of(handler), args, kwargs, TaskOptions(key=key))

    def _submit(
        self, target: Target, args: tuple[Any, ...], kwargs: dict[str, Any], options: TaskOptions
    ) -> TaskId[Any]:
        stop_main_import()
        if self._stopped:
            raise ExecutorClosedError("the server stops; no long job is accepted any more")
        new = self._factory.new_job(target, args, kwargs, options)
        return self._acceptance.accept(LiveJob(new.status, new.couriers), new, options)

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
        status = await self.status(task_id)
        job = self._runner.jobs.get(task_id) if self._runner is not None else None
        if job is not None:
            async with asyncio.timeout(timeout):
                await job.ended()
        elif not status.state.final:
            with self._watching(status) as watched:
                async with asyncio.timeout(timeout):
                    await watched.ended()
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

    def _watching(self, status: TaskStatus) -> AbstractContextManager[LiveJob]:
        """The job of another process, as it is seen in the store until the block ends."""
        if self.siblings is None or self.siblings.watched is None:
            return nullcontext(LiveJob(status))
        return self.siblings.watched.watch(status)

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
        """The number of jobs in each state, and of damaged pieces that were set aside.

        ``unseen`` is the number of failed and lost jobs that nobody has marked as seen.
        """
        if not self.in_use:
            none = dict.fromkeys((state.value for state in TaskState), 0)
            return {**none, "unseen": 0, "damaged": 0}
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
        own = self._runner is not None and task_id in self._runner.jobs
        watching = nullcontext() if own else self._watching(status)
        try:
            with watching:
                status = await self.status(task_id)
                yield "state", status
                while not status.state.final:
                    event = await self._server.get_until_leaving(queue)
                    if event is None or event["type"] == GONE:
                        return
                    kind, status = event["type"], event["status"]
                    yield kind, status
        finally:
            self._events.unsubscribe(task_id, queue)

    # -- ending and forgetting --------------------------------------------------------------------

    async def cancel(self, task_id: str, grace: float | None = None) -> TaskStatus:
        """Cancel the job, as ``ApplicationTasks.cancel`` says."""
        status = await self.status(task_id)
        job = self._runner.jobs.get(task_id) if self._runner is not None else None
        if job is not None and self._runner is not None:
            if grace is None:
                grace = self.settings.cancel_grace
            await self._to_its_end(self._runner.cancel(job, grace))
        elif not status.state.final and self.in_use:
            store, _ = await self._opened()
            await asyncio.wrap_future(store.order_to_end(task_id, grace, time.time()))
        return await self.status(task_id)

    async def forget(self, task_id: str) -> None:
        """Remove a job that has ended, as ``ApplicationTasks.forget`` says."""
        status = await self.status(task_id)
        removed = await self._to_its_end(self._remove(task_id))
        if not removed and self._acceptance.refused.pop(task_id, None) is None:
            raise TaskError(
                f"job {task_id} is {status.state.value}; it can be forgotten when it has ended. "
                "Cancel it first",
                task_id=task_id,
            )

    async def _remove(self, task_id: str) -> bool:
        store, _ = await self._opened()
        removed = await asyncio.wrap_future(store.remove(task_id))
        if removed is not None:
            self._acceptance.limits.give_back(removed)
        return removed is not None
