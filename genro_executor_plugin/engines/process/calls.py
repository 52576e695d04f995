# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The calls of one worker process, as the server knows them: what runs, and what is to run."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable

from .job import Job

__all__ = ["WorkerCalls"]

_logger = logging.getLogger("genro_executor_plugin")


class WorkerCalls:
    """The calls of one worker, by number.

    Attributes:
        running: the calls that it runs, by number.
        ahead: the calls that were sent to it while it was busy, oldest first.
        coroutines: how many of the running calls are coroutines; each of the others has a thread.
        unheard: the coroutines that were told to end while its event loop has not turned since.
        given_up: those of its calls that were told to end and have not; it takes no calls then.
        not_started: once it is gone, the calls that were sent ahead and never started.
        calls: how many calls it has been sent.
        held: the call that is held at a breakpoint, and since when; its limits wait, and those of
            the others in the worker, which takes no calls meanwhile.
    """

    __slots__ = (
        "_run_begins",
        "ahead",
        "calls",
        "coroutines",
        "given_up",
        "held",
        "not_started",
        "running",
        "unheard",
    )

    def __init__(self, run_begins: Callable[[Job], None]) -> None:
        self._run_begins = run_begins
        self.calls: int = 0
        self.running: dict[int, Job] = {}
        self.ahead: deque[tuple[int, Job]] = deque()
        self.not_started: list[Job] = []
        self.coroutines: int = 0
        self.unheard: set[int] = set()
        self.given_up: set[int] = set()
        self.held: tuple[Job, float] | None = None

    def number_of(self, job: Job) -> int | None:
        """The number of the running ``job``; ``None`` if it is not running here."""
        return next((number for number, running in self.running.items() if running is job), None)

    def runs_beside(self, job: Job) -> None:
        """Take in that the running ``job`` turned out to make a coroutine."""
        if not job.is_coroutine:
            job.is_coroutine = True
            self.coroutines += 1

    def went_wrong(self, error: BaseException) -> None:
        """Fail all of its calls for an ``error`` of this package, which is logged."""
        _logger.error("what became of a worker could not be taken in", exc_info=error)
        sent = [job for _, job in self.ahead]
        for job in (*self.running.values(), *sent, *self.not_started):
            job.cannot_be_settled(error)

    def has_ended(self, number: int, job: Job) -> None:
        """Take in that ``job``, which was told to end, has done so."""
        if job.ending is not None:
            job.ending.cancel()
        self.unheard.discard(number)
        self.given_up.discard(number)

    def _remove(self, number: int) -> Job | None:
        """Take the job of ``number`` out; ``None`` if there is none (any more)."""
        for position, (ahead, job) in enumerate(self.ahead):
            if ahead == number:
                del self.ahead[position]
                return job
        return self.running.pop(number, None)

    def _not_started(self, number: int) -> Job | None:
        """Take out the job of ``number``, which the worker does not start."""
        job = self._remove(number)  # it may count as running: it was expected to start
        if job is not None:
            job.has_not_begun()
            self._next_runs()
        return job

    def _next_runs(self) -> None:
        """Count the oldest call that was sent ahead as running, if no other one runs."""
        if self.ahead and len(self.running) == self.coroutines:
            number, job = self.ahead.popleft()
            job.begins()
            self.running[number] = job
            self._run_begins(job)
