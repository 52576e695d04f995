# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The pool of worker processes: which worker runs which job.

Everything happens on the event loop, in callbacks of the workers' sockets. A job that finds a
free worker is written to it at once; the others wait in the queue, first come, first served.
The pool starts and ends no process itself (``supervisor``), and does not read what comes from
one (``worker``). The flow of a call is drawn in the package's docstring.
"""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from time import perf_counter
from typing import Any

from ...options.pool import PoolOptions
from ...portable.hooks import PackedHooks
from ...portable.reloads import reload_watch
from ...worker.breakpoint_words import BREAKPOINT
from .ahead import Ahead
from .arrivals import OnRecord
from .asking import Asking
from .ended import EndedWorkers, closed_error
from .ending import RunEnder
from .exit_report import ExitReport
from .holding import Holding
from .job import Job, KeyedJob
from .keyed import KeyedCalls
from .observing import Observer
from .profiling import Profiling
from .recycling import Recycling
from .sampled import PROFILE
from .spreading import Spreading
from .steered import SteeredWorkers
from .supervisor import Supervisor
from .timeouts import Timeouts
from .waiting import WaitingQueue
from .worker import Worker

__all__ = ["WorkerPool"]

OnMessage = Callable[[Job | None, int | None, str, Any], None]


class WorkerPool(SteeredWorkers):
    """Runs jobs on ``options.min_workers`` to ``options.max_workers`` processes.

    Attributes:
        loop: the event loop this pool lives on.
        closing: whether it has begun to end.
        paused: whether it begins no calls.
    """

    def __init__(
        self,
        name: str,
        options: PoolOptions,
        hooks: PackedHooks,
        on_message: OnMessage,
        on_record: OnRecord,
    ) -> None:
        self._name = name
        self._on_message = on_message
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._threads = options.threads_per_worker
        self._queue = WaitingQueue(options.max_workers)
        self._supervisor = Supervisor(self, name, options, hooks, self._queue, self.loop, on_record)
        self._asking = Asking(self.loop, self._threads)
        self._profiling = Profiling(self._supervisor)
        self._ended_workers = EndedWorkers(
            *(self, name, self._threads, self._supervisor, self._queue),
            *(self._asking, options.memory_limit),
        )
        self._ender = RunEnder(
            *(self, name, self._threads, self._supervisor, self._ended_workers, self._asking)
        )
        self._timeouts = Timeouts(self.loop, self._supervisor, self._ender.timed_out)
        self._keyed = KeyedCalls(self._supervisor, self._queue, self._dispatch)
        self._ahead = Ahead(
            *(self._supervisor, self._queue, self.loop, self._timeouts.watch),
            *(self._dispatch_waiting, self._keyed.wants),
        )
        self._spreading = Spreading(self._supervisor, self._queue, self._dispatch_waiting)
        self._holding = Holding(self._supervisor, on_message, self._not_held)
        self._recycling = Recycling(options, self.loop, self._supervisor)
        # A call sent ahead could be one too many for a worker whose calls are counted.
        self._sends_ahead = options.threads_per_worker == 1 and not self._recycling.watched
        self._ahead.enabled = self._sends_ahead
        self._observer = Observer(
            self.loop, self._supervisor, options.memory_limit, self._ended_workers.over_limit
        )
        self._reloads = reload_watch()
        self._reloads_seen = self._reloads.count
        self.closing: bool = False
        self.paused: bool = False

    # -- what the executor asks for -----------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Run ``job`` as soon as a worker is free."""
        if self.closing:
            job.fail(closed_error(self._name, job, "before its run began"))
            return
        if self._reloads.count != self._reloads_seen:
            self._renew()
        if isinstance(job, KeyedJob):
            self._queue.keyed.append(job)
            if not self.paused:
                self._keyed.dispatch()
            self._supervisor.grow()
            if self._queue.keyed.places and not self.paused:
                self._keyed.dispatch()  # what could not be started has its place elsewhere now
        elif self._supervisor.free and not self._queue.jobs and not self.paused:
            self._dispatch(job)
        else:
            self._queue.append(job)
            self._supervisor.grow()
            self._ahead.fill_soon()

    def cancel(self, job: Job) -> None:
        """Take ``job``, whose caller does not wait any more, out of the queue, or end its run."""
        if self.withdraw(job):
            return
        for worker in self._supervisor.workers:
            if any(sent is job for _, sent in worker.ahead):
                return  # it is about to start, and short: it runs, and its result is dropped
            if job in worker.running.values() and not job.abandon:
                self._ender.cancelled(worker, job)
                return

    def withdraw(self, job: Job) -> bool:
        """Take ``job`` out of the queue; ``False`` if it is not there, because it begins."""
        if self._queue.remove(job):
            return True
        for worker in self._supervisor.workers:
            if any(sent is job for _, sent in worker.ahead):
                self._queue.put_back(self._supervisor.take_back_all(worker))
                withdrawn = self._queue.remove(job)
                self.freed(worker)
                return withdrawn
        return False

    def tell(self, job: Job, channel: str, value: Any) -> bool:
        """Give the running ``job`` a message; ``False`` if it does not run (any more)."""
        message = pickle.dumps((channel, value), 5)
        return any(worker.tell(job, message) for worker in self._supervisor.workers)

    def pause(self) -> None:
        """Begin no call until ``resume``; those that run go on."""
        self.paused = True
        self._ahead.enabled = False
        for worker in self._supervisor.workers:
            self._queue.put_back(self._supervisor.take_back_all(worker))
            self._free_again(worker)

    def resume(self) -> None:
        """Begin calls again."""
        self.paused = False
        self._ahead.enabled = self._sends_ahead
        self._supervisor.grow()
        self._dispatch_waiting()

    def resize(self, max_workers: int) -> None:
        """Have at most ``max_workers`` workers; those that are too many end when they are free."""
        super().resize(max_workers)
        self._dispatch_waiting()  # keys have moved to other workers

    async def close(self) -> None:
        """Fail every call that is still in the pool, and end every worker."""
        self.closing = True
        self._recycling.stop()
        self._observer.stop()
        self._ended_workers.close()
        self._ender.stop()
        self._asking.stop()
        self._spreading.stop()
        self._timeouts.stop()
        self._ahead.stop()
        await self._supervisor.close()

    # -- what the workers tell ----------------------------------------------------------------

    def worker_started(self, worker: Worker) -> None:
        """Give ``worker``, which is up, its first call."""
        self._supervisor.changed.set()
        if self._supervisor.started(worker):
            self._recycling.started(worker)
            self._profiling.started(worker)
            self._observer.start()
            self._free_again(worker)
            self._dispatch_waiting()

    def job_done(self, worker: Worker, job: Job) -> None:
        """Give ``worker``, which has answered ``job``, its next call, or let it leave."""
        if job.microseconds:
            self._ahead.estimates.add(job.packed.key, job.microseconds / 1e6)
        supervisor = self._supervisor
        if worker.held is not None and worker.held[0] is job:
            self._holding.release(worker)
        if worker.leaving:
            if worker.given_up:
                self._ender.look(worker)
            supervisor.end_if_empty(worker)
            if self._queue.keyed.places:  # one may have waited for the end of this run
                self._dispatch_waiting()
        elif len(supervisor.workers) > supervisor.max_workers and supervisor.is_too_large:
            supervisor.retire(worker)
        elif self._recycling.watched and self._recycling.goes_now(worker):
            pass
        elif (
            worker.ahead
            or worker.unheard
            or worker.held
            or len(worker.running) - worker.coroutines >= self._threads
        ):
            if self._queue:
                self._ahead.fill_soon()
        else:
            if not worker.running:
                worker.idle_since = perf_counter()
            if worker not in supervisor.free:
                supervisor.free.append(worker)
            if self._queue.jobs or self._ahead.any_sent or self._queue.keyed.places:
                self._dispatch_waiting()
        if self.closing:
            supervisor.changed.set()

    def judged(self, worker: Worker, job: Job, error: BaseException) -> BaseException:
        """What the caller of ``job`` is given for ``error``, which it has raised in ``worker``."""
        return self._ended_workers.judged(worker, job, error)

    def freed(self, worker: Worker) -> None:
        """Give ``worker`` a call if it can take one."""
        self._free_again(worker)
        self._dispatch_waiting()

    def _not_held(self, worker: Worker) -> None:
        """Look at the limits of ``worker`` again, which is held at a breakpoint no more."""
        self._timeouts.watch(0.0)
        if worker.given_up:
            self._ender.look(worker)
        self.freed(worker)

    def unclaimed(self, worker: Worker, job: Job) -> None:
        """Have ``job`` run, which was sent ahead to ``worker`` and is not run there."""
        self._queue.put_back([job])
        self.freed(worker)

    def run_begins(self, job: Job) -> None:
        """Watch the timeout of ``job``, which was sent ahead and is taken to run now."""
        if job.timeout is not None:
            self._timeouts.watch(job.timeout)

    def message(self, worker: Worker, job: Job | None, channel: str, value: Any) -> None:
        """Pass on what ``job``, or code outside of any call, has sent."""
        if channel == BREAKPOINT:
            if job is not None:
                self._holding.arrived(worker, job, value)
                if worker.held is not None:
                    self._queue.put_back(self._supervisor.take_back_all(worker))
                    self._supervisor.grow()
                    self._dispatch_waiting()
        elif channel == PROFILE and job is None:
            self._profiling.arrived(worker, value)
        else:
            self._on_message(job, worker.pid, channel, value)

    def worker_ended(self, worker: Worker, report: ExitReport) -> None:
        """Settle the calls of ``worker``, which is gone, and have another one take its place."""
        try:
            self._supervisor.ended(worker)
            self._keyed.ended(worker)
            self._profiling.ended(worker)
            self._recycling.ended(worker)
            self._ender.ended(worker)
            self._ended_workers.settle(worker, report)
        except BaseException as error:
            worker.went_wrong(error)
        self._supervisor.grow()
        self._dispatch_waiting()
        self._supervisor.changed.set()

    # -- which worker runs which job ----------------------------------------------------------

    def _free_again(self, worker: Worker) -> None:
        """Count ``worker`` among the free ones, if it is."""
        has_thread = not worker.ahead and len(worker.running) - worker.coroutines < self._threads
        if worker.usable and has_thread and not worker.unheard and worker.held is None:
            self._supervisor.set_free(worker)
            if not worker.running:
                worker.idle_since = perf_counter()

    def _dispatch_waiting(self) -> None:
        """Give the free workers the jobs that wait: behind a long call, or in the queue."""
        if self.paused:
            return
        free, queue, ahead = self._supervisor.free, self._queue, self._ahead
        if queue.keyed.places:
            self._keyed.dispatch(in_turn=bool(queue))
        while free and (queue or ahead.any_sent):
            job = ahead.take_back(only_stuck=bool(queue)) or queue.take()
            if job is None or not self._dispatch(job):
                break
        if free and queue.keyed.places:
            self._keyed.dispatch()
        if queue:
            ahead.fill_soon()

    def _dispatch(self, job: Job, own: Worker | None = None) -> bool:
        """Send ``job`` to a free worker, to ``own`` if it is given.

        ``False`` if it waits in the queue.
        """
        free = self._supervisor.free
        while free:
            worker = free[-1]
            if own is not None:
                if own not in free:
                    break
                worker = own
            elif worker.running or self._threads > 1 or job.is_coroutine:
                chosen = self._spreading.choose()
                if chosen is None:
                    break
                worker = chosen
            try:
                taken = worker.send(job)
            except Exception as error:
                job.cannot_be_sent(error)
                return True
            if not taken:
                free.remove(worker)  # it is gone; its exit report is on the way
                continue
            if len(worker.running) - worker.coroutines >= self._threads:
                free.remove(worker)
            if job.timeout is not None:
                self._timeouts.watch(job.timeout)
            if self._recycling.watched:
                self._recycling.sent(worker)
            return True
        self._queue.put_back([job])
        self._supervisor.grow()
        return False
