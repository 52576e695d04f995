# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The store and the runner of one server: opened, held and released again.

They are opened when the server starts, if there is a store, or else when the first job is
submitted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import suppress
from dataclasses import replace
from functools import partial

from ..errors import ExecutorClosedError, ExecutorConfigError
from ..executors import BaseExecutor
from ..hosts.contract import HostServer
from ..hosts.names import has_own_sessions
from ..metrics.meters import loaded_meters
from .acceptance import Acceptance
from .attempt import Attempt
from .events import Events
from .job_log import JobLog
from .live_job import LiveJob
from .options import TaskSettings
from .places import tell_of_former
from .runner import Runner
from .siblings import Siblings, digest_of_applications
from .status import Progress, TaskStatus
from .store import Recovered, TaskStore
from .store.members import Membership
from .stored_call import JobFactory
from .watched import Watched

__all__ = ["OpenedTasks"]

_logger = logging.getLogger("genro_executor_plugin")

PROGRESS_NOTE_SECONDS = 1.0
"""How often the progress of a job is stored; listeners get it at once."""


class OpenedTasks:
    """The store and the runner of ``server``, opened when they are first needed.

    Attributes:
        settings: the settings for all of them.
        damage: what was found damaged in the store and set aside, in words.
        membership: this process among those that share the folder of the store; ``None`` before
            the start, and where there is no place for a store.
        siblings: what this process does about the others; ``None`` as before.
    """

    def __init__(self, server: HostServer, settings: TaskSettings) -> None:
        self._server = server
        self.settings = settings
        self._factory = JobFactory(server, settings)
        self._acceptance = Acceptance(settings, self._opened, self._accepted)
        self._store: TaskStore | None = None
        self._candidate: TaskStore | None = None
        self._opening: asyncio.Future[None] | None = None
        self._runner: Runner | None = None
        self._events: Events | None = None
        self._stopped = False
        self._holding = False
        self._purging: asyncio.Task[None] | None = None
        self.membership: Membership | None = None
        self.siblings: Siblings | None = None
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

    async def start(self, *, expected: bool = False) -> None:
        """Open the store if there is one. Its jobs wait until ``begin`` is called.

        Args:
            expected: there will be jobs: find out now whether a store could be made for them.

        Raises:
            TaskStoreError: another server has the store, or it cannot be read; or none could be
                made.
            ExecutorConfigError: jobs are expected, and there is no place for a store.
        """
        self._acceptance.loop = asyncio.get_running_loop()
        meters = loaded_meters()
        if meters is not None:
            meters.watch_jobs(self)
        if self.settings.path is None:
            tell_of_former(self._server)
        with suppress(ExecutorConfigError):  # without a place for a store, its first job says so
            self._share()
        if self._store is None and self._exists():
            self._holding = True
            await self._opened()
        elif self._store is None and (expected or self.settings.path is not None):
            await asyncio.to_thread(self._new_store().check_place)

    def begin(self) -> None:
        """Run the jobs that were in the store, now that their applications have started."""
        self._holding = False
        if self._runner is not None:
            self._runner.begin()
        if self.siblings is not None:
            self.siblings.start()

    def _share(self) -> tuple[Membership, Siblings]:
        """This process among those that share the folder of the store.

        Raises:
            ExecutorConfigError: there is no place for a store.
        """
        if self.membership is None or self.siblings is None:
            folder = self.settings.folder_of(self._server)
            self.membership = Membership(folder, digest_of_applications(self._server))
            self.siblings = Siblings(
                self.membership,
                self.settings,
                self._acceptance.limits,
                self._take,
                self._open_if_there,
                has_own_sessions(self._server),
            )
        return self.membership, self.siblings

    async def _open_if_there(self) -> None:
        """Open the store if another process has made it meanwhile: its jobs may be left to us."""
        if self._store is None and self._opening is None and not self._stopped and self._exists():
            await self._opened()

    async def _opened(self) -> tuple[TaskStore, Runner]:
        """The store and the runner, which are opened on the first call."""
        if self._opening is None:
            if self._stopped:
                raise ExecutorClosedError("the server stops; no long job is accepted any more")
            self._acceptance.loop = asyncio.get_running_loop()
            self._opening = asyncio.ensure_future(self._open())
        opening = self._opening
        try:
            await asyncio.shield(opening)
        except BaseException:
            # Whatever it was, it may be gone next time. A waiter that is cancelled changes nothing.
            if opening.done() and (opening.cancelled() or opening.exception() is not None):
                self._opening = None if self._opening is opening else self._opening
            raise
        assert self._store is not None
        assert self._runner is not None
        return self._store, self._runner

    async def _open(self) -> None:
        settings = self.settings
        store = self._candidate = self._new_store()
        opened = await asyncio.to_thread(store.open)
        try:
            found: Recovered = await asyncio.wrap_future(opened)
        except BaseException:
            await asyncio.to_thread(store.close)
            raise
        self.damage = found.damage
        events = self._events = Events(self._server)
        runner = self._runner = Runner(
            store, settings, events, self._server.executors.get, self._attempt, self._ended
        )
        if not self._holding:
            runner.begin()
        self._store = self._acceptance.store = store
        for was in found.ended:
            _logger.warning("long job %s (%s) ended with its server", was.task_id, was.title)
        self._take(found)
        self._purging = asyncio.create_task(self._acceptance.purge(store))
        _, siblings = self._share()
        siblings.attach(store, runner, Watched(events, siblings.wake))
        if not self._holding:
            siblings.start()

    def _take(self, found: Recovered) -> None:
        """Run jobs that no other process has."""
        if self._runner is None or self._events is None:
            return
        self._acceptance.limits.load(found.usage)
        for status in found.waiting:
            self._runner.add(LiveJob(status))
        for status in found.held:
            self._runner.jobs[status.task_id] = LiveJob(status)  # it can be cancelled
        for status in found.ended:
            self._events.publish("state", status)

    def _new_store(self) -> TaskStore:
        settings = self.settings
        membership, _ = self._share()
        return TaskStore(
            settings.folder_of(self._server),
            settings.key_path(),
            accept_unsigned=settings.accept_unsigned,
            synchronous=settings.synchronous,
            max_bytes=settings.max_bytes,
            membership=membership,
        )

    def leave(self) -> None:
        """Give up what opening the store still waits for: the server is told to end."""
        if self._candidate is not None:
            self._candidate.leave()

    async def stop(self) -> None:
        """Begin no more jobs, end those that run, and leave the others to other processes."""
        self._stopped = True
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self.siblings is not None:
            await self.siblings.stop()
        if self._purging is not None:
            self._purging.cancel()
            await asyncio.gather(self._purging, return_exceptions=True)
        store, self._store, self._acceptance.store = self._store, None, None
        if store is None or self._runner is None:
            if self.membership is not None:
                self.membership.leave()
            return
        in_order = await self._runner.stop(self.settings.shutdown_timeout)
        # While a job goes on in a thread, no other server may have it and repeat it.
        left = store.leave_to_others()
        await asyncio.to_thread(store.close, release=in_order, left=left)
        if (error := left.exception()) is not None:
            _logger.error("jobs that wait are taken over as those of a killed process: %s", error)

    # -- running ----------------------------------------------------------------------------------

    async def _attempt(self, job: LiveJob, executor: BaseExecutor, content: bytes) -> Attempt:
        log = None
        if executor.pool_options.job_log and self._store is not None:
            log = JobLog(partial(self._store.add_log, job.status.task_id))
        progressed = partial(self._progressed, job)
        return await self._factory.attempt(job, executor, content, progressed, log)

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
        self._acceptance.limits.resize(status, bytes_before)
