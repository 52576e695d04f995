# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How a job gets into the store, within its submitter's limits, and when it leaves it again.

``Acceptance`` stores a job, whether it is submitted from a coroutine or from a thread, and
remembers those that the store has refused.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import Any

from ..errors import ExecutorClosedError, TaskError, TaskStoreError
from .limits import Limits
from .live_job import LiveJob
from .options import TaskOptions, TaskSettings
from .status import TaskFailure, TaskId, TaskState, TaskStatus
from .store import TaskStore
from .stored_call import NewJob

__all__ = ["Acceptance"]

_logger = logging.getLogger("genro_executor_plugin")

REMEMBERED_REFUSALS = 1000
"""How many jobs that the store has refused can still be asked about."""

PURGE_EVERY_SECONDS = 60.0
"""How much later than its time something may be forgotten."""


class Acceptance:
    """Stores jobs, and hands each to ``accepted`` when it is in the store.

    Attributes:
        loop: the event loop of the server, ``None`` before it is known.
        store: the store while it is open.
        limits: what each submitter has in the store.
        refused: the jobs that the store has refused, as failed ones.
    """

    def __init__(
        self,
        settings: TaskSettings,
        opened: Callable[[], Awaitable[tuple[TaskStore, Any]]],
        accepted: Callable[[LiveJob], None],
    ) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.store: TaskStore | None = None
        self.refused: dict[str, TaskStatus] = {}
        self.limits: Limits = Limits(settings)
        self._opened = opened
        self._accepted = accepted
        self._first: dict[str, asyncio.Task[None]] = {}

    def accept(self, job: LiveJob, new: NewJob, options: TaskOptions) -> TaskId[Any]:
        """Store ``job``, which is ``new``; awaiting its id waits until that is done.

        Raises:
            TaskLimitError: its submitter has too much in the store.
            ExecutorClosedError: called on a thread before there is an event loop.
            TaskStoreError: called on a thread, and the store has refused it.
            TaskError: called on a thread, and its key was used for another call.
        """
        status = job.status
        self.limits.take(status, new.client)
        if _on_a_loop():
            accepted: Any
            if self.store is not None and self.loop is not None:
                accepted = self._add(self.store, self.loop, job, new)
            else:
                accepted = asyncio.create_task(self._open_and_add(job, new))
                self._first[status.task_id] = accepted
                accepted.add_done_callback(partial(self._first_is_stored, status.task_id))
            return TaskId(status.task_id, accepted, durable=options.durable)
        if self.loop is None:
            self._refused(status)
            raise ExecutorClosedError(
                f"the long job {status.title} was submitted from a thread before the server "
                "served; submit it from a coroutine, or from on_startup"
            )
        # A thread can wait, so that the job is stored when it gets the id.
        asyncio.run_coroutine_threadsafe(self._open_and_add(job, new), self.loop).result()
        return TaskId(status.task_id, None)

    async def stored(self, task_id: str) -> None:
        """Wait until a job that was submitted before the store was open is stored or refused."""
        if task_id in self._first:
            await asyncio.wait([self._first[task_id]])

    async def _open_and_add(self, job: LiveJob, new: NewJob) -> None:
        try:
            store, _ = await self._opened()
        except BaseException:
            self._refused(job.status)
            raise
        added = self._add(store, asyncio.get_running_loop(), job, new)
        await asyncio.shield(asyncio.wrap_future(added))

    def _first_is_stored(self, task_id: str, added: asyncio.Task[None]) -> None:
        del self._first[task_id]
        if not added.cancelled() and (error := added.exception()) is not None:
            _logger.error("long job %s was not accepted: %s", task_id, error)

    def _add(
        self, store: TaskStore, loop: asyncio.AbstractEventLoop, job: LiveJob, new: NewJob
    ) -> Future[Any]:
        added = store.add(job.status, new, time.time())
        added.add_done_callback(partial(_hand_over, loop, partial(self._added, job)))
        return added

    def _added(self, job: LiveJob, added: Future[Any]) -> None:
        """Hand ``job`` over, unless the store has one of its id already or has refused it."""
        error = added.exception()
        if error is not None:
            self._refused(job.status)
            # With a key that was used for something else, its id is that of the other job.
            if isinstance(error, TaskStoreError) or not isinstance(error, TaskError):
                self._remember_refusal(job.status, error)
            return
        existing, expired = added.result()
        if expired is not None:
            self.limits.give_back(expired)
        self.limits.settle(job.status.task_id, stored=existing is None)
        if existing is None:
            self._accepted(job)

    def _remember_refusal(self, status: TaskStatus, error: BaseException) -> None:
        """Keep the reason for a submitter that has not awaited the id and asks later."""
        failure = TaskFailure(type(error).__qualname__, str(error))
        self.refused[status.task_id] = replace(
            status, state=TaskState.FAILED, ended_at=time.time(), failure=failure
        )
        while len(self.refused) > REMEMBERED_REFUSALS:
            del self.refused[next(iter(self.refused))]

    async def purge(self, store: TaskStore) -> None:
        """Forget jobs that were kept long enough, now and from time to time, without end."""
        while True:
            try:
                gone, following = await asyncio.wrap_future(store.purge(time.time()))
            except TaskStoreError as error:
                _logger.error("what was kept long enough cannot be forgotten: %s", error)
                gone, following = [], None
            for status in gone:
                self.limits.give_back(status)
            if gone and following is not None and following <= time.time():
                continue
            await asyncio.sleep(PURGE_EVERY_SECONDS)

    def _refused(self, status: TaskStatus) -> None:
        self.limits.settle(status.task_id, stored=False)


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _hand_over(
    loop: asyncio.AbstractEventLoop, callback: Callable[[Future[Any]], None], future: Future[Any]
) -> None:
    """Call ``callback`` on ``loop``."""
    # A loop that is closed needs no call: the next server finds the job in the store.
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, future)
