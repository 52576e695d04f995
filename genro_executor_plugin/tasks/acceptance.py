# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How a job gets into the store, from a coroutine or from a thread, and what is left if not."""

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

from ..errors import ExecutorClosedError
from .limits import Limits
from .live_job import LiveJob
from .options import TaskOptions
from .status import TaskFailure, TaskState, TaskStatus
from .store.store import TaskStore
from .task_id import TaskId

__all__ = ["Intake"]

_logger = logging.getLogger("genro_executor_plugin")

REMEMBERED_REFUSALS = 1000
"""How many jobs that the store has refused can still be asked about."""


class Intake:
    """Takes jobs into the store, and hands them to ``accepted`` when they are there.

    Attributes:
        loop: the event loop of the server, ``None`` before it is known.
        store: the store while it is open.
        refused: the jobs that the store has refused, as failed ones.
    """

    def __init__(
        self,
        limits: Limits,
        opened: Callable[[], Awaitable[tuple[TaskStore, Any]]],
        accepted: Callable[[LiveJob], None],
    ) -> None:
        self.loop: asyncio.AbstractEventLoop | None = None
        self.store: TaskStore | None = None
        self.refused: dict[str, TaskStatus] = {}
        self._limits = limits
        self._opened = opened
        self._accepted = accepted
        self._first: dict[str, asyncio.Task[None]] = {}

    def take(self, job: LiveJob, content: bytes, options: TaskOptions) -> TaskId:
        """The id of ``job``, which is counted already; awaiting it waits until it is stored.

        Raises:
            ExecutorClosedError: called on a thread before there is an event loop.
            TaskStoreError: called on a thread, and the store has refused it.
        """
        status = job.status
        if _on_a_loop():
            accepted: Any
            if self.store is not None and self.loop is not None:
                accepted = self._add(self.store, self.loop, job, content)
            else:
                accepted = asyncio.create_task(self._open_and_add(job, content))
                self._first[status.task_id] = accepted
                accepted.add_done_callback(partial(self._first_is_in, status.task_id))
            return TaskId(status.task_id, accepted, durable=options.durable)
        if self.loop is None:
            self._give_back(status)
            raise ExecutorClosedError(
                f"the long job {status.title} was submitted from a thread before the server "
                "served; submit it from a coroutine, or from on_startup"
            )
        # A thread may wait: whoever submits there has an id that holds.
        asyncio.run_coroutine_threadsafe(self._open_and_add(job, content), self.loop).result()
        return TaskId(status.task_id, None)

    async def is_in(self, task_id: str) -> None:
        """Wait for a job that was submitted while the store was being opened."""
        if task_id in self._first:
            await asyncio.wait([self._first[task_id]])

    async def _open_and_add(self, job: LiveJob, content: bytes) -> None:
        try:
            store, _ = await self._opened()
        except BaseException:
            self._give_back(job.status)
            raise
        await asyncio.wrap_future(self._add(store, asyncio.get_running_loop(), job, content))

    def _first_is_in(self, task_id: str, added: asyncio.Task[None]) -> None:
        del self._first[task_id]
        if not added.cancelled() and (error := added.exception()) is not None:
            _logger.error("long job %s was not accepted: %s", task_id, error)

    def _add(
        self, store: TaskStore, loop: asyncio.AbstractEventLoop, job: LiveJob, content: bytes
    ) -> Future[Any]:
        added = store.add(job.status, content, time.time())
        added.add_done_callback(partial(_hand_over, loop, partial(self._added, job)))
        return added

    def _added(self, job: LiveJob, added: Future[Any]) -> None:
        """The store has taken ``job``, had it already, or refused it."""
        error = added.exception()
        if error is not None:
            self._give_back(job.status)
            self._remember_refusal(job.status, error)
            return
        existing, expired = added.result()
        if expired is not None:
            self._give_back(expired)
        if existing is not None:
            self._give_back(job.status)
        else:
            self._accepted(job)

    def _remember_refusal(self, status: TaskStatus, error: BaseException) -> None:
        """For who has not awaited the id: the job has failed, and this is why."""
        failure = TaskFailure(type(error).__qualname__, str(error))
        self.refused[status.task_id] = replace(
            status, state=TaskState.FAILED, ended_at=time.time(), failure=failure
        )
        while len(self.refused) > REMEMBERED_REFUSALS:
            del self.refused[next(iter(self.refused))]

    def _give_back(self, status: TaskStatus) -> None:
        self._limits.give_back(status.submitter, status.stored_bytes)


def _on_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _hand_over(
    loop: asyncio.AbstractEventLoop, callback: Callable[[Future[Any]], None], future: Future[Any]
) -> None:
    """Have ``callback`` called on ``loop``; a job of a loop that is gone is in the store."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(callback, future)
