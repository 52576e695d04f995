# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0
"""The calls of a pool that wait for a worker, first come, first served."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from .job import Job

__all__ = ["WaitingQueue"]


class WaitingQueue:
    """A queue of jobs. Those whose caller has gone are passed over.

    Attributes:
        jobs: who waits, to be looked at only.
    """

    def __init__(self) -> None:
        self.jobs: deque[Job] = deque()

    def __len__(self) -> int:
        return len(self.jobs)

    def append(self, job: Job) -> None:
        """``job`` is the last in line."""
        self.jobs.append(job)

    def put_back(self, jobs: Iterable[Job]) -> None:
        """``jobs``, oldest first, stand before all others: they have waited already."""
        self.jobs.extendleft(reversed([job for job in jobs if not job.future.done()]))

    def first(self) -> Job | None:
        """The job whose turn it is, left in line."""
        while self.jobs:
            if not self.jobs[0].future.done():
                return self.jobs[0]
            self.jobs.popleft()
        return None

    def take(self) -> Job | None:
        """The job whose turn it is."""
        job = self.first()
        if job is not None:
            self.jobs.popleft()
        return job

    def remove(self, job: Job) -> bool:
        """Take ``job`` out of the line; ``False`` if it is not there."""
        if job not in self.jobs:
            return False
        self.jobs.remove(job)
        return True

    def drain(self) -> list[Job]:
        """Every job; the line is empty then."""
        jobs = list(self.jobs)
        self.jobs.clear()
        return jobs
