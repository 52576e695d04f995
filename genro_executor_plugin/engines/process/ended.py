# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Ended workers: what becomes of the calls of a worker that ended before it answered them.

A worker ends because it crashed, because a call in it had to be ended (``ending``), or because the
pool is closed. Each of its calls fails, is repeated, or goes back into the waiting
queue because it had not begun. Starting another worker is the supervisor's work.
"""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from functools import partial

from ...errors import (
    ExecutorClosedError,
    MemoryLimitError,
    SerializationError,
    WorkerCrashedError,
)
from ..stacks import with_stack
from .asking import Asking
from .exit_report import ExitReport
from .handover import is_lost_descriptor
from .job import Job
from .owner import WorkerOwner
from .supervisor import STOP_GRACE_SECONDS, Supervisor
from .waiting import WaitingQueue
from .worker import Worker

__all__ = ["EndedWorkers", "closed_error"]

_MOST_IN_VAIN = 2
"""How many workers may die before they began a call; one more, and the call is what they die of."""

_logger = logging.getLogger("genro_executor_plugin")


class EndedWorkers:
    """Ends the workers of one pool where their calls require it, and settles those calls."""

    def __init__(
        self,
        owner: WorkerOwner[Worker],
        pool: str,
        threads: int,
        supervisor: Supervisor,
        queue: WaitingQueue,
        asking: Asking,
        memory_limit: int | None = None,
    ) -> None:
        self._owner = owner
        self._threads = threads
        self._pool = pool
        self._supervisor = supervisor
        self._queue = queue
        self._asking = asking
        self._memory_limit = memory_limit

    def over_limit(self, worker: Worker, peak: int) -> None:
        """Fail what ``worker`` runs, which holds more than the limit, and kill it.

        Calls that share a worker share its memory: it cannot be told which of them is to blame.
        """
        for job in list(worker.running.values()):
            if not self.has_ended(worker, job):
                break
        jobs = list(worker.running.values())
        if jobs and not worker.killed and not self._asking.is_asking(worker):
            self._asking.before(worker, lambda: self._too_large(worker, peak))

    def _too_large(self, worker: Worker, peak: int) -> None:
        jobs = list(worker.running.values())
        for job in jobs:
            error = _memory_error(self._pool, job, worker, peak, self._memory_limit)
            job.fail(with_stack(error, worker.stacks.get(job, "")))
        if jobs:  # an idle one is replaced when it is looked at next
            self.end_worker(worker, None, "memory", "it held more than memory_limit")

    def on_request(self, worker: Worker) -> None:
        """Kill ``worker`` because somebody wants it; its calls tell where they are before."""
        kill = partial(self.end_worker, worker, None, "killed", "on request")
        if worker.running:
            self._asking.before(worker, kill)
        else:
            kill()

    def judged(self, worker: Worker, job: Job, error: BaseException) -> BaseException:
        """What the caller of ``job`` is given for ``error``, which it has raised in ``worker``.

        A worker that has run out of something for good is replaced when its calls are done.
        """
        lives = worker in self._supervisor.workers and not worker.killed
        if isinstance(error, OSError) and error.errno == errno.EMFILE and lives:
            _logger.warning(
                "pool %r: worker %s has no file descriptors left, and is replaced; does what it "
                "runs leave files open?",
                self._pool,
                worker.pid,
            )
            self._supervisor.replace(worker, "files", at_once=True)
            if is_lost_descriptor(error):
                job.raised = False
                refused = SerializationError(
                    f"the large arguments of {job.packed.title} did not reach worker {worker.pid}: "
                    f"{error.strerror}"
                )
                refused.__cause__ = error
                return refused
        elif isinstance(error, MemoryError) and self._memory_limit is not None:
            job.raised = False
            refusal = MemoryLimitError(
                f"{job.packed.title} asked for more memory than pool {self._pool!r} gives it: "
                f"memory_limit is {self._memory_limit / 1e6:.0f} MB. Give the pool a larger "
                "memory_limit, or the call less at a time",
                pool=self._pool,
                pid=worker.pid,
                peak_memory=worker.memory,
                limit=self._memory_limit,
            )
            refusal.__cause__ = error
            return refusal
        return error

    def has_ended(self, worker: Worker, job: Job) -> bool:
        """Whether ``job`` has ended by now, and its answer was only not read yet.

        The worker might have begun the next call then, which must not be killed in its place.
        Calls that were sent ahead are taken back first, so that none begins after this look.
        """
        self._queue.put_back(self._supervisor.take_back_all(worker))
        worker.catch_up()
        if worker.number_of(job) is not None:
            return False
        self._owner.freed(worker)  # it may have no call left whose answer would free it
        return True

    def end_worker(self, worker: Worker, culprit: Job | None, counted: str, reason: str) -> None:
        """Kill ``worker`` because of ``culprit``; its other calls fail or are repeated.

        Args:
            worker: the worker to kill.
            culprit: the call that is the reason, settled by the caller; ``None`` for no call.
            counted: the reason as the pool's restarts count it; empty if it is counted already.
            reason: the reason as the errors of the other calls tell it.
        """
        if counted:
            self._supervisor.count_restart(counted)
        others = [job for job in self._take(worker) if job is not culprit]
        self._supervisor.not_free(worker)
        worker.kill()
        for job in others:
            self._fail(job, lambda job: _killed_error(self._pool, job, worker, reason))
        self.requeue(worker)

    def settle(self, worker: Worker, report: ExitReport) -> None:
        """Take in that ``worker`` is gone: its calls fail or are repeated, or no start succeeds."""
        supervisor = self._supervisor
        self.requeue(worker)
        if report.again and not worker.ready:
            return  # another one is started in its place
        if not worker.ready and not worker.leaving:
            supervisor.backoff.failed(worker, report)
            if not supervisor.staying:
                supervisor.backoff.refuse(self._queue.drain())
        elif worker.running or not worker.leaving:
            supervisor.count_restart("crash")
            self.crashed(worker, report)

    def crashed(self, worker: Worker, report: ExitReport) -> None:
        """Fail or repeat the calls of ``worker``, which has ended by itself."""
        self._not_begun(worker)
        jobs = self._take(worker)
        if not jobs:
            words = f"{report.in_words(worker.memory)}\n{worker.fault}".rstrip()
            _logger.warning("pool %r: idle worker %s ended: %s", self._pool, worker.pid, words)
        others = len(jobs) - 1
        for job in jobs:
            self._fail(job, lambda job: _crashed_error(self._pool, job, worker, report, others))

    def _not_begun(self, worker: Worker) -> None:
        """Have another worker run the calls that ``worker`` was sent and had not begun."""
        marks = worker.marks
        if marks is None:
            return
        left: list[int] = []
        for number, job in sorted(worker.running.items()):
            if marks.had_begun(number, job.packed.is_async, self._threads > 1):
                continue
            if marks.was_defining and not left:
                marks.was_defining = False  # it was read for this call, and may be what it died of
            elif job.sent_in_vain < _MOST_IN_VAIN:
                left.append(number)
        jobs = [worker.running.pop(number) for number in left]
        for job in jobs:
            job.sent_in_vain += 1
            job.has_not_begun()
        self._queue.put_back(jobs)

    def close(self) -> None:
        """Fail every call of the pool, and end every worker of it."""
        for job in self._queue.drain():
            job.fail(closed_error(self._pool, job, "before its run began"))
        for worker in list(self._supervisor.workers):
            if worker.running:
                for job in self._take(worker):
                    when = "while it ran; its worker was killed"
                    job.fail(closed_error(self._pool, job, when))
                worker.kill()
            elif worker.ready:
                worker.stop(STOP_GRACE_SECONDS)
            else:
                worker.kill()
        for job in self._queue.drain():  # calls that had been sent ahead and were taken back
            job.fail(closed_error(self._pool, job, "before its run began"))

    def requeue(self, worker: Worker) -> None:
        """Put the calls that ``worker`` never started back at the head of the queue."""
        jobs, worker.not_started = worker.not_started, []
        self._queue.put_back(jobs)

    def _take(self, worker: Worker) -> list[Job]:
        """Take the calls that ``worker`` has begun from it; the others go back into the queue."""
        worker.not_started += self._supervisor.take_back_all(worker)
        self.requeue(worker)
        jobs = [*worker.running.values(), *(job for _, job in worker.ahead)]
        worker.running.clear()
        worker.ahead.clear()
        worker.coroutines = 0
        for job in jobs:
            if job.ending is not None:
                job.ending.cancel()
        return jobs

    def _fail(self, job: Job, error: Callable[[Job], WorkerCrashedError]) -> None:
        """Fail ``job``, whose worker has died, or have it repeated if it may be."""
        if job.future.done():
            return
        if job.retries > 0 and not self._owner.closing:
            job.retries -= 1
            job.started_at = None
            self._queue.put_back([job])
        else:
            self._supervisor.arrivals.fail(job, error(job))


def _crashed_error(
    pool: str, job: Job, worker: Worker, report: ExitReport, others: int
) -> WorkerCrashedError:
    """The error of ``job`` when ``worker`` died while it ran it and ``others``."""
    how = f"died while it ran {job.packed.title} in pool {pool!r}: "
    if worker.nonsense:
        how = (
            f"was killed while it ran {job.packed.title} in pool {pool!r}: it sent "
            f"{worker.nonsense}. Code in it has written to a descriptor that is not its own, or "
            "has closed one"
        )
    else:
        how += report.in_words(worker.memory)
    if others:
        calls = "1 other call" if others == 1 else f"{others} other calls"
        how += f"; {calls} ran in it, and any of them may be what ended it"
    error = WorkerCrashedError(
        f"the worker (pid {worker.pid}) {how}",
        pool=pool,
        exit_code=report.exit_code,
        pid=worker.pid,
        peak_memory=report.peak_memory or None,
        last_memory=worker.memory,
    )
    if worker.fault:
        error.add_note(f"What the worker's faulthandler wrote:\n{worker.fault}")
    return error


def _killed_error(pool: str, job: Job, worker: Worker, reason: str) -> WorkerCrashedError:
    """The error of ``job`` when ``worker`` was killed for a reason that is not the job's own."""
    error = WorkerCrashedError(
        f"the worker (pid {worker.pid}) died while it ran {job.packed.title} in pool {pool!r}: it "
        f"was killed because {reason}",
        pool=pool,
        pid=worker.pid,
    )
    return with_stack(error, worker.stacks.get(job, ""))


def _memory_error(
    pool: str, job: Job, worker: Worker, peak: int, limit: int | None
) -> MemoryLimitError:
    """The error of ``job`` when its worker held more than the pool's limit."""
    others = len(worker.running) - 1
    shared = f" It shared it with {others} more, which failed with it." if others else ""
    return MemoryLimitError(
        f"{job.packed.title} held {peak / 1e6:.0f} MB in pool {pool!r}, and memory_limit is "
        f"{(limit or 0) / 1e6:.0f} MB; its worker (pid {worker.pid}) was killed.{shared} Give "
        "the pool a larger memory_limit, or the call less at a time",
        pool=pool,
        pid=worker.pid,
        peak_memory=peak,
        limit=limit,
    )


def closed_error(pool: str, job: Job, when: str) -> ExecutorClosedError:
    """The error of ``job`` when the pool is shut down before the job is done."""
    return ExecutorClosedError(
        f"pool {pool!r} was shut down; {job.packed.title} was ended {when}", pool=pool
    )
