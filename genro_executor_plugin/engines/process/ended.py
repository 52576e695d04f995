# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0
"""What becomes of calls when their worker does not answer them: crashed, killed, over, closed."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ...errors import WorkerCrashedError
from . import endings
from .exit_report import exit_words
from .job import Job
from .launcher import ExitReport
from .supervisor import STOP_GRACE_SECONDS, Crew, CrewOwner
from .waiting import Line
from .worker import Worker

__all__ = ["Fates"]

_logger = logging.getLogger("genro_executor_plugin")


class Fates:
    """Settles, for one pool, the calls of workers that end: each fails, is repeated, or goes back
    in line, because it had not begun.
    """

    def __init__(self, owner: CrewOwner, pool: str, crew: Crew, line: Line) -> None:
        self._owner = owner
        self._pool = pool
        self._crew = crew
        self._line = line

    def timed_out(self, worker: Worker, job: Job) -> None:
        """``job`` has run longer than it may: it fails, and its worker is killed."""
        if self._is_over(worker, job):
            return
        job.fail(endings.timed_out(self._pool, job, worker))
        self.end_worker(worker, job, "timeout", "another call in it ran over its timeout")

    def cancelled(self, worker: Worker, job: Job) -> None:
        """Nobody waits for ``job`` any more, which ``worker`` runs: it is killed."""
        if not self._is_over(worker, job):
            self.end_worker(worker, job, "cancel", "another call in it was cancelled")

    def _is_over(self, worker: Worker, job: Job) -> bool:
        """Whether ``job`` has ended by now, and its answer was only not read yet.

        The worker might have begun the next call then, which must not be killed in its place.
        What was sent ahead is taken back first: so it begins none after this look either.
        """
        self._line.put_back(self._crew.taken_back(worker))
        worker.catch_up()
        if job in worker.running.values():
            return False
        self._owner.freed(worker)  # it may have lost all that would have freed it
        return True

    def end_worker(self, worker: Worker, guilty: Job | None, counted: str, reason: str) -> None:
        """Kill ``worker`` because of ``guilty``; the other calls in it are told or repeated."""
        self._crew.count_restart(counted)
        others = [job for job in self._take(worker) if job is not guilty]
        self._crew.not_free(worker)
        worker.kill()
        for job in others:
            self._fail(job, lambda job: endings.killed(self._pool, job, worker, reason))
        self.requeue(worker)

    def crashed(self, worker: Worker, report: ExitReport) -> None:
        """``worker`` has ended by itself."""
        jobs = self._take(worker)
        if not jobs:
            words = f"{exit_words(report, worker.memory)}\n{worker.fault}".rstrip()
            _logger.warning("pool %r: idle worker %s ended: %s", self._pool, worker.pid, words)
        for job in jobs:
            self._fail(job, lambda job: endings.crashed(self._pool, job, worker, report))

    def close(self) -> None:
        """End every call that is still there, and every worker."""
        for job in self._line.drain():
            job.fail(endings.closed(self._pool, job, "before its run began"))
        for worker in list(self._crew.workers):
            if worker.running:
                for job in self._take(worker):
                    when = "while it ran; its worker was killed"
                    job.fail(endings.closed(self._pool, job, when))
                worker.kill()
            elif worker.ready:
                worker.stop(STOP_GRACE_SECONDS)
            else:
                worker.kill()
        for job in self._line.drain():  # what had been sent ahead to them
            job.fail(endings.closed(self._pool, job, "before its run began"))

    def requeue(self, worker: Worker) -> None:
        """Put the calls that were sent ahead to ``worker`` and never started back in line."""
        jobs, worker.not_started = worker.not_started, []
        self._line.put_back(jobs)

    def _take(self, worker: Worker) -> list[Job]:
        """The calls that ``worker`` has begun; those that it has not go back in line."""
        worker.not_started += self._crew.taken_back(worker)
        self.requeue(worker)
        jobs = [*worker.running.values(), *(job for _, job in worker.ahead)]
        worker.running.clear()
        worker.ahead.clear()
        worker.coroutines = 0
        return jobs

    def _fail(self, job: Job, error: Callable[[Job], WorkerCrashedError]) -> None:
        """End ``job``, whose worker has died, or have it repeated if it may be."""
        if job.future.done():
            return
        if job.retries > 0 and not self._owner.closing:
            job.retries -= 1
            job.started_at = None
            self._line.put_back([job])
        else:
            job.fail(error(job))
