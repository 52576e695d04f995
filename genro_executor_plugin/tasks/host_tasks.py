# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The host's own batch tasks and schedules: their progress in pools, and a cancel that ends them.

Spool, store and interface stay the host's. This adds what happens while a task runs: its progress
goes to the spool and the hub, and the spool's cancel marker ends it.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from ..errors import TaskCancelledError, TaskNotFoundError
from ..hosts.names import (
    LocalTaskExecutor,
    TaskManager,
    TaskScheduler,
    descriptor_of_task,
    event_hub_of,
    is_task_cancelled,
    publish_of_task,
    settle_task,
    write_progress_of_task,
)
from ..options.numbers import check_seconds
from .followed_call import FollowedCall
from .options import TaskSettings
from .status import Progress
from .turn import Turn

if sys.version_info >= (3, 12):
    from inspect import iscoroutinefunction
else:  # there, a function is marked as one for asyncio only
    from asyncio import iscoroutinefunction

__all__ = ["PooledTaskScheduler", "in_pools"]

_logger = logging.getLogger("genro_executor_plugin")

CANCEL_POLL_SECONDS = 0.25
"""How often the spool is asked for a cancel marker: a new file in it is not announced."""


def in_pools(manager: TaskManager, settings: TaskSettings) -> TaskManager:
    """Give ``manager`` an executor and a scheduler whose runs can be followed and ended."""
    if type(manager.executor) is LocalTaskExecutor:
        manager.executor = PooledTaskExecutor(manager.server, settings.cancel_grace)
    if type(manager.scheduler) is TaskScheduler:
        scheduler = PooledTaskScheduler(manager, settings.cancel_grace)
        scheduler.tick_seconds = manager.scheduler.tick_seconds
        manager.scheduler = scheduler
    return manager


class PooledTaskExecutor(LocalTaskExecutor):
    """Runs a spool task as the host does, with progress and a cancel that ends it."""

    __slots__ = ("_grace",)

    def __init__(self, server: Any, grace: float) -> None:
        super().__init__(server)
        self._grace = grace

    async def execute(self, task_id: str, worker_id: str) -> str:
        """Run the task and settle it; return ``"ok"``, ``"error"`` or ``"cancelled"``."""
        progress = _SpoolProgress(self, task_id, worker_id)
        followed = FollowedCall(progress.take)
        marker = asyncio.create_task(self._cancel_at_marker(task_id, followed))
        try:
            work = super().execute(task_id, worker_id)
            outcome: str = await followed.follow(work, f"batch task {task_id}")
        except TaskCancelledError as error:
            await progress.written()
            outcome, reason = "cancelled", str(error)
            await settle_task(self, task_id, worker_id, outcome, reason)
            descriptor = await descriptor_of_task(self, task_id)
            if descriptor is not None:
                event = {"type": "settled", "outcome": outcome, "error": reason}
                publish_of_task(self, descriptor, event)
        finally:
            marker.cancel()
            await asyncio.gather(marker, return_exceptions=True)
        return outcome

    async def _cancel_at_marker(self, task_id: str, followed: FollowedCall) -> None:
        while not await is_task_cancelled(self, task_id):  # noqa: ASYNC110
            await asyncio.sleep(CANCEL_POLL_SECONDS)
        if not followed.cancel(self._grace):
            _logger.warning("batch task %s runs in no pool: it cannot be cancelled", task_id)


class _SpoolProgress:
    """Passes a task's progress on: to the hub at once, to the spool as fast as it can write."""

    def __init__(self, executor: PooledTaskExecutor, task_id: str, worker_id: str) -> None:
        self._executor = executor
        self._task_id = task_id
        self._worker_id = worker_id
        self._latest: Progress | None = None
        self._writing: asyncio.Task[None] | None = None
        self._session: str | None = None
        self._known = False

    def take(self, progress: Progress) -> None:
        self._latest = progress
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write())

    async def written(self) -> None:
        if self._writing is not None:
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self) -> None:
        executor, task_id = self._executor, self._task_id
        if not self._known:
            descriptor = await descriptor_of_task(executor, task_id)
            self._session = (descriptor or {}).get("session_id")
            self._known = True
        while self._latest is not None:
            data, self._latest = asdict(self._latest), None
            if self._session is not None:
                event = {"type": "progress", "task_id": task_id, "data": data}
                event_hub_of(executor.server).publish(self._session, event)
            try:
                await write_progress_of_task(executor, task_id, self._worker_id, data)
            except Exception as error:
                _logger.warning("progress of batch task %s is lost: %s", task_id, error)


class PooledTaskScheduler(TaskScheduler):
    """Runs schedules as the host does; a run in a pool can be followed and cancelled."""

    def __init__(self, manager: TaskManager, grace: float) -> None:
        super().__init__(manager)
        self._grace = grace
        self._followed: dict[str, FollowedCall] = {}
        self._progress: dict[str, Progress] = {}
        self._turn = Turn(self.server)

    async def tick(self) -> None:
        """Begin what is due, if no other server of this application does so."""
        if await asyncio.to_thread(self._turn.take):
            await super().tick()

    async def stop(self) -> None:
        """Stop the ticks, and let another server have its turn."""
        await super().stop()
        self._turn.release()

    def scan(self) -> dict[str, dict[str, Any]]:
        """What may be scheduled, by name, as the host finds it; each run is followed."""
        found = super().scan()
        for name, info in found.items():
            if iscoroutinefunction(info["callable"]):
                info["callable"] = self._following(name, info["callable"])
        return found

    def _following(self, name: str, handler: Callable[..., Any]) -> Callable[..., Any]:
        async def run(**kwargs: Any) -> Any:
            followed = FollowedCall(lambda progress: self._progressed(name, progress))
            self._followed[name] = followed
            self._progress.pop(name, None)
            try:
                return await followed.follow(handler(**kwargs), f"scheduled task {name!r}")
            finally:
                if self._followed.get(name) is followed:
                    del self._followed[name]

        return run

    def _progressed(self, name: str, progress: Progress) -> None:
        self._progress[name] = progress
        event = {"type": "progress", "task_name": name, "data": asdict(progress)}
        self.manager.hub.publish(f"schedule:{name}", event)

    def progress(self, task_name: str) -> Progress | None:
        """The latest progress of the run of ``task_name``, or of the last run it had."""
        return self._progress.get(task_name)

    def cancel(self, task_name: str, grace: float | None = None) -> bool:
        """End the run of ``task_name``; ``False`` if it is in no pool and cannot be ended.

        Raises:
            TaskNotFoundError: the task does not run now.
            ExecutorConfigError: ``grace`` is not a finite number of seconds.
        """
        followed = self._followed.get(task_name)
        if followed is None:
            raise TaskNotFoundError(f"the scheduled task {task_name!r} does not run now")
        given = check_seconds(f"cancel of task {task_name!r}", "grace", grace)
        return followed.cancel(self._grace if given is None else given)
