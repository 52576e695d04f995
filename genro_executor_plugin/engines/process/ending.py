# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How a run is ended whose time is up, or whose caller has gone.

A run that has its worker for itself is ended with it. One that shares its worker is told to end:
a coroutine is cancelled, and an exception is raised on a thread. Its neighbours go on. Where it
does not end within a grace, its worker takes no more calls, another one takes its place, and the
process is killed when the neighbours have ended. The caller has its error from the start.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial

from ...errors import ExecutorTimeoutError
from ..stacks import with_stack
from .asking import Asking
from .ended import EndedWorkers
from .job import Job
from .owner import WorkerOwner
from .supervisor import Supervisor
from .worker import Worker

__all__ = ["NEIGHBOURS_GRACE_SECONDS", "RUN_GRACE_SECONDS", "RunEnder"]

RUN_GRACE_SECONDS = 5.0
"""How long a run that was told to end may take before its worker is given up."""

_HELD_UP_SECONDS = 1.0
"""After which time a coroutine that holds up its event loop is interrupted where it is."""

NEIGHBOURS_GRACE_SECONDS = 60.0
"""How long the other calls of a worker that was given up may go on when they have no limit of
their own; those that have one go on until it."""

_logger = logging.getLogger("genro_executor_plugin")


class RunEnder:
    """Ends runs of one pool, and no others where that can be."""

    def __init__(
        self,
        owner: WorkerOwner[Worker],
        pool: str,
        threads: int,
        supervisor: Supervisor,
        ended: EndedWorkers,
        asking: Asking,
    ) -> None:
        self._owner = owner
        self._pool = pool
        self._threads = threads
        self._loop = asyncio.get_running_loop()
        self._supervisor = supervisor
        self._ended = ended
        self._asking = asking
        self._bounds: dict[Worker, asyncio.TimerHandle | None] = {}

    def timed_out(self, worker: Worker, job: Job) -> None:
        """Fail ``job``, which has run longer than it may, and end its run where it is then."""
        if job.ending is None and not self._ended.has_ended(worker, job):
            # Being asked may interrupt native code: what the run returns now does not count.
            asked = _Asked(partial(self._ends_when_asked, worker, job))
            job.ending = asked
            time_is_up = partial(self._time_is_up, worker, job, asked)
            self._asking.before(worker, time_is_up, is_doomed=not self._is_shared(worker, job))

    def _ends_when_asked(self, worker: Worker, job: Job) -> None:
        """Fail ``job``, whose run was over its timeout and has ended before it told where it is."""
        job.ending = None
        what = f"its run in the worker (pid {worker.pid}) ended at that moment"
        error = _timed_out_error(self._pool, job, worker, what)
        job.fail(with_stack(error, self._asking.so_far(worker, job)))

    def _time_is_up(self, worker: Worker, job: Job, asked: _Asked) -> None:
        if job.ending is not asked:
            return
        try:
            if self._ended.has_ended(worker, job):
                return
            job.ending = None
            what = "its run in the worker (pid {}) was told to end"
            if not self._is_shared(worker, job):
                what = "its worker (pid {}) was killed"
            error = _timed_out_error(self._pool, job, worker, what.format(worker.pid))
            job.fail(with_stack(error, worker.stacks.get(job, "")))
            self._end(worker, job, "timeout", "another call in it ran over its timeout")
        except BaseException as error:
            self._went_wrong(worker, error)

    def cancelled(self, worker: Worker, job: Job) -> None:
        """End the run of ``job``: the caller does not wait for it any more."""
        if job.ending is None and not self._ended.has_ended(worker, job):
            self._end(worker, job, "cancel", "another call in it was cancelled")

    def _is_shared(self, worker: Worker, job: Job) -> bool:
        """Whether ``job`` runs where other calls may run beside it."""
        return job.is_coroutine or self._threads > 1 or len(worker.running) > 1

    def _end(self, worker: Worker, job: Job, counted: str, reason: str) -> None:
        if not self._is_shared(worker, job):
            self._ended.end_worker(worker, job, counted, reason)
            return
        worker.end(job)
        if worker.held is not None and worker.held[0] is job:
            worker.held = None  # from here on its limits count, as those of any run that is to end
        # Nothing can be raised on a worker's main thread while it is in a call.
        can_end = job.is_coroutine or self._threads > 1
        seconds = RUN_GRACE_SECONDS if can_end else 0.0
        job.ending = self._loop.call_later(seconds, self._give_up, worker, job, counted, reason)
        if worker.unheard:
            self._loop.call_later(_HELD_UP_SECONDS, self._insist, worker, job)
            self._supervisor.not_free(worker)  # a call must not get to an event loop that is stuck
        self._owner.freed(worker)  # what was taken back goes on

    @staticmethod
    def _insist(worker: Worker, job: Job) -> None:
        """Tell ``job`` once more to end, if its event loop has not turned since."""
        if worker.number_of(job) in worker.unheard:
            worker.end(job)

    def _give_up(self, worker: Worker, job: Job, counted: str, reason: str) -> None:
        """Send ``worker`` no more calls: ``job`` in it was told to end, and goes on."""
        try:
            self._write_off(worker, job, counted, reason)
        except BaseException as error:
            self._went_wrong(worker, error)

    def _went_wrong(self, worker: Worker, error: BaseException) -> None:
        """Kill ``worker``, in which a run could not be ended otherwise."""
        _logger.error("a run in worker %s could not be ended", worker.pid, exc_info=error)
        self._ended.end_worker(worker, None, "", "a run in it could not be ended")

    def _write_off(self, worker: Worker, job: Job, counted: str, reason: str) -> None:
        number = worker.number_of(job)
        if number is None or worker.killed:
            return
        worker.given_up.add(number)
        if worker not in self._bounds:
            _logger.warning(
                "pool %r: %s does not end; its worker (pid %s) takes no more calls, and is killed "
                "when the %s other calls in it have ended",
                self._pool,
                job.packed.title,
                worker.pid,
                len(worker.running) - len(worker.given_up),
            )
            bound = NEIGHBOURS_GRACE_SECONDS
            self._bounds[worker] = self._loop.call_later(bound, self._bound_reached, worker, reason)
            self._supervisor.write_off(worker, counted)
        self.look(worker, reason)

    def _bound_reached(self, worker: Worker, reason: str) -> None:
        try:
            self._bounds[worker] = None
            self.look(worker, reason)
        except BaseException as error:
            self._went_wrong(worker, error)

    def look(self, worker: Worker, reason: str = "another call in it did not end") -> None:
        """Kill ``worker``, which was given up, if no call in it has to be waited for."""
        if worker.killed or worker.held is not None:
            return
        given_up = worker.given_up
        others = [job for number, job in worker.running.items() if number not in given_up]
        is_late = self._bounds[worker] is None
        if given_up and (not others or (is_late and not any(job.timeout for job in others))):
            self._ended.end_worker(worker, None, "", f"{reason} and went on")

    def ended(self, worker: Worker) -> None:
        """Forget ``worker``, which has ended."""
        bound = self._bounds.pop(worker, None)
        if bound is not None:
            bound.cancel()

    def stop(self) -> None:
        """Look at no worker any more."""
        for worker in list(self._bounds):
            self.ended(worker)


class _Asked:
    """In the place of what ends a run, while that is asked where it is."""

    def __init__(self, has_ended: Callable[[], None]) -> None:
        self._has_ended = has_ended

    def cancel(self) -> None:
        """The run has ended meanwhile, or its worker."""
        self._has_ended()


def _timed_out_error(pool: str, job: Job, worker: Worker, what: str) -> ExecutorTimeoutError:
    """The error of ``job`` when it ran over its timeout, and ``what`` became of it."""
    return ExecutorTimeoutError(
        f"{job.packed.title} ran longer than {job.timeout:g} s in pool {pool!r}; {what}",
        pool=pool,
        timeout=job.timeout,
    )
