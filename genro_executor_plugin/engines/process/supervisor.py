# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0
"""Who works in a pool: workers are started, counted, replaced and sent home here."""

from __future__ import annotations

import asyncio
import os
import pickle
from collections import deque
from typing import Protocol

from ...options.pool import PoolOptions
from ...portable.hooks import PackedHooks
from ...portable.modules import ModuleSources
from ...portable.pickling import why
from ...portable.process_settings import ProcessSettings
from .backoff import StartBackoff
from .boot import WorkerBoot
from .copying import LargeValueCopier
from .job import Job
from .launcher import Launcher
from .waiting import WaitingQueue
from .worker import Owner, Worker

__all__ = ["STOP_GRACE_SECONDS", "Supervisor", "SupervisorOwner"]


STOP_GRACE_SECONDS = 2.0
"""How long, at least, a worker has to run its shutdown hooks before it is killed."""


class SupervisorOwner(Owner, Protocol):
    """The pool, as its supervisor sees it."""

    closing: bool

    def freed(self, worker: Worker) -> None:
        """``worker`` may be able to take a call."""


class Supervisor:
    """The workers of one pool, between ``min_workers`` and ``max_workers``.

    Attributes:
        workers: those there are, starting and leaving ones included.
        free: those that can take a call now, the one used last at the end.
        restarts: how many workers ended before their time or were replaced, by reason.
        max_workers: how many there may be; one that is being replaced does not count.
    """

    def __init__(
        self,
        owner: SupervisorOwner,
        name: str,
        options: PoolOptions,
        hooks: PackedHooks,
        queue: WaitingQueue,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._owner = owner
        self._name = name
        self._options = options
        self._hooks = hooks
        self._queue = queue
        self.launcher = Launcher(options.start_method, options.preload)
        self.copier = LargeValueCopier(name, loop)
        self.backoff = StartBackoff(name, loop, self.grow)
        self.workers: set[Worker] = set()
        self.free: list[Worker] = []
        self.restarts: dict[str, int] = {}
        self.max_workers = options.max_workers
        self._outgoing: deque[tuple[Worker, str]] = deque()

    # -- who is there -------------------------------------------------------------------------

    @property
    def staying(self) -> list[Worker]:
        """The workers that go on working."""
        return [worker for worker in self.workers if not worker.leaving]

    @property
    def is_too_large(self) -> bool:
        """Whether there are more workers than there may be."""
        if len(self.workers) <= self.max_workers:
            return False
        return len(self.staying) - len(self._outgoing) > self.max_workers

    def set_free(self, worker: Worker) -> None:
        """``worker`` can take a call."""
        if worker not in self.free:
            self.free.append(worker)

    def not_free(self, worker: Worker) -> None:
        """``worker`` can take no call."""
        if worker in self.free:
            self.free.remove(worker)

    def lost(self, worker: Worker) -> None:
        """``worker`` has ended."""
        self.workers.discard(worker)
        self.not_free(worker)
        self._outgoing = deque(item for item in self._outgoing if item[0] is not worker)

    def count_restart(self, reason: str) -> None:
        """A worker ended before its time, or is replaced, for ``reason``."""
        self.restarts[reason] = self.restarts.get(reason, 0) + 1

    # -- they come ----------------------------------------------------------------------------

    def grow(self) -> None:
        """Start workers for those that wait, as far as the options and the backoff allow."""
        if len(self.workers) >= self.max_workers + len(self._outgoing):
            return  # one that is leaving makes room when it is gone
        staying = self.staying
        starting = sum(not worker.ready for worker in staying)
        wanted = max(
            len(self._queue) - starting,
            self._options.min_workers - len(staying),
            len(self._outgoing) - starting,
        )
        wanted = min(wanted, self.max_workers + len(self._outgoing) - len(staying))
        if wanted <= 0 or self._owner.closing:
            return
        if self.backoff.must_wait():
            if not staying:
                self.backoff.refuse(self._queue.drain())
            return
        self.start(wanted)

    def start(self, count: int) -> None:
        """Start ``count`` workers, whatever the limits are."""
        if count <= 0:
            return
        options = self._options
        boot = WorkerBoot(
            self._name,
            os.getpid(),
            ModuleSources.here(),
            self._hooks,
            options.threads_per_worker,
            options.nice,
            options.cpu_affinity,
            ProcessSettings.here(),
        )
        packed = pickle.dumps(boot, 5)
        for _ in range(count):
            try:
                worker = Worker(self._owner, self.launcher, self.copier, packed)
                worker.must_start_within(options.start_timeout)
                self.workers.add(worker)
            except OSError as error:
                self.backoff.impossible(why(error), error)
                self.backoff.must_wait()  # and try again by itself
                if not self.staying:
                    self.backoff.refuse(self._queue.drain())
                return

    def started(self, worker: Worker) -> bool:
        """``worker`` is up; ``False`` if it is not needed any more and leaves at once."""
        self.backoff.succeeded()
        while self._outgoing:
            old, reason = self._outgoing.popleft()
            if not old.leaving:
                self._send_home(old, reason)
                break
        if self.is_too_large:
            self.retire(worker)
            return False
        return True

    # -- they go ------------------------------------------------------------------------------

    def replace(self, worker: Worker, reason: str, *, at_once: bool = False) -> None:
        """Have another worker take the place of ``worker``, which goes when that one is up.

        With ``at_once`` it takes no call any more, whether or not the other one is up.
        """
        if worker.leaving:
            return
        if not worker.outgoing and not self._owner.closing:
            worker.outgoing = True
            self._outgoing.append((worker, reason))
            self.grow()
        if at_once or self._owner.closing:
            self._outgoing = deque(item for item in self._outgoing if item[0] is not worker)
            self._send_home(worker, reason)

    def retire(self, worker: Worker) -> None:
        """Send ``worker`` nothing more, and have it end when it is empty. Nobody replaces it."""
        if worker.leaving:
            return
        self.not_free(worker)
        self._queue.put_back(self.taken_back(worker))
        worker.leaving = True
        self.end_if_empty(worker)

    def _send_home(self, worker: Worker, reason: str) -> None:
        self.count_restart(reason)
        self.retire(worker)

    @staticmethod
    def taken_back(worker: Worker) -> list[Job]:
        """The calls that ``worker`` was sent ahead and has not started, oldest first."""
        jobs = []
        while (job := worker.take_back()) is not None:
            jobs.append(job)
        return jobs

    def end_if_empty(self, worker: Worker) -> None:
        """End a worker that is leaving and has nothing left to do."""
        if not worker.running and not worker.ahead:
            worker.stop(max(self._options.shutdown_timeout, STOP_GRACE_SECONDS))

    def shrink(self) -> None:
        """Send free workers home that are too many."""
        for worker in list(self.free):
            if not self.is_too_large:
                return
            self.retire(worker)
