# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The supervisor of a pool: it starts workers, counts them, replaces them and retires them.

It decides how many workers there are, and never which call runs where; that is the pool's part.
Processes are started and killed by the launcher alone.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections import deque
from collections.abc import Callable
from itertools import count
from time import perf_counter

from ...options.pool import PoolOptions
from ...portable.hooks import PackedHooks
from ...portable.modules import ModuleSources
from ...portable.process_settings import ProcessSettings
from ...portable.process_start import ProcessStart
from .arrivals import Arrivals, OnRecord
from .backoff import StartBackoff, refused
from .boot import WorkerBoot
from .job import Job
from .launchers import Launchers
from .owner import WorkerOwner
from .template_start import environment_of
from .waiting import WaitingQueue
from .worker import Worker

__all__ = ["STOP_GRACE_SECONDS", "Supervisor"]

_logger = logging.getLogger("genro_executor_plugin")

STOP_GRACE_SECONDS = 2.0
"""How long, at least, a worker has to run its shutdown hooks before it is killed."""


class Supervisor:
    """The workers of one pool, between ``min_workers`` and ``max_workers``.

    Attributes:
        workers: every worker, those that start or leave included.
        free: the workers that can take a call now, the one used last at the end.
        written_off: the workers that leave, and whose places others take at once: a run in them
            does not end, or their code is not that of the server any more.
        restarts: how many workers ended before their time or were replaced, by reason.
        max_workers: how many workers there may be; one that is to be replaced does not count.
        start_seconds: how long the worker that came up last has taken.
        backoff: why workers cannot be started, and when the next start is tried.
        changed: set when a worker has started or ended, to wake those that wait in ``until``.
    """

    def __init__(
        self,
        owner: WorkerOwner[Worker],
        name: str,
        options: PoolOptions,
        hooks: PackedHooks,
        queue: WaitingQueue,
        loop: asyncio.AbstractEventLoop,
        on_record: OnRecord,
    ) -> None:
        self._owner = owner
        self._name = name
        self._options = options
        self._hooks = hooks
        self._queue = queue
        self._loop = loop
        self.backoff: StartBackoff = StartBackoff(name, loop, self.grow)
        self._launchers = Launchers(options, self.backoff.not_forked)
        self.arrivals: Arrivals = Arrivals(name, loop, on_record)
        self.workers: set[Worker] = set()
        self.free: list[Worker] = []
        self.start_seconds: float = 0.0
        self.written_off: set[Worker] = set()
        self.restarts: dict[str, int] = {}
        self.max_workers: int = options.max_workers
        self.changed: asyncio.Event = asyncio.Event()
        self._to_be_replaced: deque[tuple[Worker, str]] = deque()

    # -- which workers there are --------------------------------------------------------------

    @property
    def staying(self) -> list[Worker]:
        """The workers that do not leave."""
        return [worker for worker in self.workers if not worker.leaving]

    @property
    def kept(self) -> int:
        """How many workers are up at all times: all of them in a warm pool."""
        return self.max_workers if self._options.warm else self._options.min_workers

    @property
    def is_too_large(self) -> bool:
        """Whether there are more workers than there may be."""
        if len(self.workers) <= self.max_workers:
            return False
        return len(self.staying) - len(self._to_be_replaced) > self.max_workers

    def set_free(self, worker: Worker) -> None:
        """Count ``worker``, which can take a call, among the free ones."""
        if worker not in self.free:
            self.free.append(worker)

    def not_free(self, worker: Worker) -> None:
        """Do not count ``worker`` among the free ones any more."""
        if worker in self.free:
            self.free.remove(worker)

    def ended(self, worker: Worker) -> None:
        """Forget ``worker``, which has ended."""
        self.workers.discard(worker)
        self.written_off.discard(worker)
        self.not_free(worker)
        self._drop_replacement(worker)
        self._launchers.look()

    def count_restart(self, reason: str) -> None:
        """Count that a worker ended before its time, or is replaced, for ``reason``."""
        self.restarts[reason] = self.restarts.get(reason, 0) + 1

    async def until(self, reached: Callable[[], bool], seconds: float | None = None) -> None:
        """Wait until ``reached()``, at most ``seconds``; it is asked after each change."""
        deadline = None if seconds is None else self._loop.time() + seconds
        try:
            async with asyncio.timeout_at(deadline):
                while not reached():
                    self.changed.clear()
                    await self.changed.wait()
        except TimeoutError:
            return

    # -- workers start ------------------------------------------------------------------------

    async def warm(self) -> None:
        """Start ``min_workers`` (with ``warm``: ``max_workers``) workers and wait for them.

        Raises:
            WorkerCrashedError: a worker could not be started.
        """
        before = self.backoff.error
        self.start(self.kept - len(self.workers))
        await self.until(
            lambda: (
                all(worker.ready for worker in self.workers)
                or self.backoff.error not in (None, before)
            )
        )
        if self.backoff.error is not None:
            raise self.backoff.fresh_error()

    def resize(self, max_workers: int) -> None:
        """Have at most ``max_workers`` workers; those that are too many end when they are free."""
        self.max_workers = max_workers
        for worker in list(self.free):
            if not self.is_too_large:
                break
            self.retire(worker)
        self.grow()

    def grow(self) -> None:
        """Start workers for the jobs that wait, and those that are kept, as far as may be."""
        if self._room <= 0:
            return
        staying = self.staying
        starting = sum(not worker.ready for worker in staying)
        wanted = max(
            self._queue.wanted - starting,
            max(self.kept, self.backoff.wanted) - len(staying),
            len(self._to_be_replaced) - starting,
        )
        wanted = min(wanted, self._room)
        if wanted <= 0 or self._owner.closing:
            return
        if self.backoff.must_wait():
            if not staying:
                self.backoff.refuse(self._queue.drain())
            return
        self.start(wanted)

    @property
    def _room(self) -> int:
        """How many more there may be; a worker that leaves makes room when it is gone."""
        ignored = 0 if self._options.is_ranked else len(self.written_off)
        return self.max_workers + len(self._to_be_replaced) + ignored - len(self.workers)

    def add_one(self) -> None:
        """Start one more worker, though no job waits for it, if there may be one."""
        if self._room > 0 and not self._owner.closing and not self.backoff.must_wait():
            self.start(1)

    def start(self, number: int) -> None:
        """Start ``number`` workers, whatever the limits are."""
        if number <= 0:
            return
        start = ProcessStart.here(environment_of(self._options))
        here = ModuleSources.here(), ProcessSettings.here(), start
        for _ in range(number):
            try:
                index = self._free_index()
                boot = pickle.dumps(
                    WorkerBoot.of(self._name, self._options, self._hooks, index, here), 5
                )
                worker = Worker(*(self._owner, self._launchers.next(), self.arrivals, boot, index))
                worker.must_start_within(self._options.start_timeout)
                self.workers.add(worker)
            except OSError as error:
                self.backoff.impossible(refused(error), error)
                self.backoff.must_wait()  # sets the timer for the next try
                if not self.staying:
                    self.backoff.refuse(self._queue.drain())
                return

    def _free_index(self) -> int:
        """The smallest index that no living worker has."""
        taken = {worker.index for worker in self.workers}
        return next(index for index in count() if index not in taken)

    def started(self, worker: Worker) -> bool:
        """Take in that ``worker`` is up; ``False`` if it is not needed any more and leaves."""
        self.backoff.succeeded()
        self.start_seconds = perf_counter() - worker.born_at
        while self._to_be_replaced:
            old, reason = self._to_be_replaced.popleft()
            if not old.leaving:
                self._retire_for(old, reason)
                break
        if self.is_too_large:
            self.retire(worker)
            return False
        return True

    # -- workers leave ------------------------------------------------------------------------

    async def replace_all(self) -> None:
        """Replace every worker, each between two calls; returns when the old ones are gone.

        Raises:
            WorkerCrashedError: no new worker can be started; the old ones go on working.
        """
        old = self.staying
        for worker in old:
            self.replace(worker, "restart")

        def gone() -> bool:
            return not any(worker in self.workers for worker in old)

        before = self.backoff.error
        await self.until(lambda: gone() or self.backoff.error not in (None, before))
        if not gone() and self.backoff.error is not None:
            raise self.backoff.fresh_error()

    def replace(self, worker: Worker, reason: str, *, at_once: bool = False) -> None:
        """Start another worker in the place of ``worker``, which leaves when that one is up.

        With ``at_once`` it takes no call any more, whether or not the other one is up. Where
        workers have something of their own by their index, the other one starts when it is gone.
        """
        if worker.leaving:
            return
        if self._options.is_ranked:
            self._retire_for(worker, reason)
            return
        if not worker.to_be_replaced and not self._owner.closing:
            worker.to_be_replaced = True
            self._to_be_replaced.append((worker, reason))
            self.grow()
        if at_once or self._owner.closing:
            self._drop_replacement(worker)
            self._retire_for(worker, reason)

    def _drop_replacement(self, worker: Worker) -> None:
        """Start no more workers in the place of ``worker``."""
        self._to_be_replaced = deque(item for item in self._to_be_replaced if item[0] is not worker)

    def retire(self, worker: Worker) -> None:
        """Send ``worker`` nothing more, and end it when its calls are done; nothing replaces it."""
        if worker.leaving:
            return
        self.not_free(worker)
        self._queue.put_back(self.take_back_all(worker))
        worker.leaving = True
        self.end_if_empty(worker)

    def write_off(self, worker: Worker, reason: str) -> None:
        """Send ``worker`` nothing more, and start another one at once, whenever it may end."""
        self.written_off.add(worker)
        self._retire_for(worker, reason)
        self.add_one()

    def renew(self, reason: str) -> None:
        """Have workers that import everything anew take the places of all, for ``reason``.

        Those that run calls go on with them, beside the new ones.
        """
        old = self.staying
        self._launchers.renew()
        self._to_be_replaced.clear()
        for worker in old:
            self.written_off.add(worker)
            self._retire_for(worker, "changed_code")
        if old:
            _logger.warning(
                "pool %r: %s; its workers (%d) are replaced", self._name, reason, len(old)
            )
        self.grow()

    def _retire_for(self, worker: Worker, reason: str) -> None:
        self.count_restart(reason)
        self.retire(worker)

    @staticmethod
    def take_back_all(worker: Worker) -> list[Job]:
        """The calls that ``worker`` was sent ahead and has not started, oldest first."""
        return list(iter(worker.take_back, None))

    def end_if_empty(self, worker: Worker) -> None:
        """End ``worker``, which is leaving, if it has no call left."""
        if not worker.running and not worker.ahead and not worker.killed:
            worker.stop(max(self._options.shutdown_timeout, STOP_GRACE_SECONDS))

    async def close(self) -> None:
        """Wait until every worker has ended; kill those that take too long."""
        await self.until(
            lambda: not any(worker.ready for worker in self.workers), STOP_GRACE_SECONDS
        )
        for worker in list(self.workers):
            worker.kill()
        await self.until(lambda: not self.workers, STOP_GRACE_SECONDS)
        self.backoff.stop()
        await self.arrivals.close()
        await self._launchers.close()

    def let_go(self) -> None:
        """Close what it has of every worker in a forked child; the parent goes on having them."""
        for worker in self.workers:
            worker.abandon()
        self._launchers.let_go()

    def abandon(self) -> None:
        """End every worker without the event loop, which is closed already."""
        for worker in self.workers:
            worker.abandon()
        self.arrivals.abandon()
        self._launchers.abandon()
