# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The waiting queue of a pool: its jobs that wait for a worker, first come, first served.

Those that wait for a worker of their own, by their key, are in a part of their own (``keyed``).

It knows nothing of workers; the pool decides who gets a job.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from .job import Job, KeyedJob
from .keyed_queue import KeyedQueue

__all__ = ["WaitingQueue"]


class WaitingQueue:
    """A queue of jobs. A job whose future is done, because its caller has gone, is skipped.

    Attributes:
        jobs: the jobs that wait for any worker, oldest first. Others read it and do not change it.
        keyed: the jobs that wait for the worker of their key.
    """

    def __init__(self, places: int) -> None:
        """A queue for a pool of at most ``places`` workers."""
        self.jobs: deque[Job] = deque()
        self.keyed: KeyedQueue = KeyedQueue(places)

    def __len__(self) -> int:
        return len(self.jobs)

    @property
    def wanted(self) -> int:
        """How many workers more would have something to do."""
        return len(self.jobs) + self.keyed.lacking

    def append(self, job: Job) -> None:
        """Put ``job`` at the end of the queue."""
        self.jobs.append(job)

    def put_back(self, jobs: Iterable[Job]) -> None:
        """Put ``jobs``, oldest first, at the head of the queue: they have waited already."""
        for job in reversed([job for job in jobs if not job.future.done()]):
            if isinstance(job, KeyedJob):
                self.keyed.put_back(job)
            else:
                self.jobs.appendleft(job)

    def first(self) -> Job | None:
        """The job whose turn it is; it stays in the queue."""
        while self.jobs:
            if not self.jobs[0].future.done():
                return self.jobs[0]
            self.jobs.popleft()
        return None

    def take(self) -> Job | None:
        """The job whose turn it is, taken out of the queue."""
        job = self.first()
        if job is not None:
            self.jobs.popleft()
        return job

    def remove(self, job: Job) -> bool:
        """Take ``job`` out of the queue; ``False`` if it is not in it."""
        if isinstance(job, KeyedJob):
            return self.keyed.remove(job)
        if job not in self.jobs:
            return False
        self.jobs.remove(job)
        return True

    def drain(self) -> list[Job]:
        """Take every job out of the queue."""
        jobs = [*self.jobs, *self.keyed.drain()]
        self.jobs.clear()
        return jobs
