# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The jobs with a key that wait, by the place of the worker that is to run them.

Within a place, the keys take turns, so that a busy one does not hold up the others. It knows
nothing of workers, as the queue that it is a part of.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ...options.keys import Key, place_of
from .job import KeyedJob

__all__ = ["KeyedQueue"]


class KeyedQueue:
    """Jobs by place and key. A job whose future is done, because its caller has gone, is skipped.

    Attributes:
        places: the jobs that wait: of each place that has some, by key, the next key first.
        has_worker: whether there is a worker at a place; set by who knows.
    """

    def __init__(self, number: int) -> None:
        """A queue for ``number`` places."""
        self._number = number
        self.places: dict[int, dict[Key, deque[KeyedJob]]] = {}
        self.has_worker: Callable[[int], bool] = lambda place: False

    def __bool__(self) -> bool:
        return bool(self.places)

    @property
    def lacking(self) -> int:
        """How many workers are lacking: places where jobs wait and nobody is."""
        return sum(not self.has_worker(place) for place in self.places)

    def append(self, job: KeyedJob) -> None:
        """Put ``job`` behind the others of its key."""
        self._jobs_like(job).append(job)

    def put_back(self, job: KeyedJob) -> None:
        """Put ``job`` before the others of its key: it has waited already."""
        self._jobs_like(job).appendleft(job)

    def _jobs_like(self, job: KeyedJob) -> deque[KeyedJob]:
        place = place_of(job.key, self._number)
        return self.places.setdefault(place, {}).setdefault(job.key, deque())

    def take(self, place: int, may_begin: Callable[[KeyedJob], bool]) -> KeyedJob | None:
        """The job whose turn it is at ``place``, taken out; ``None`` if there is none.

        Args:
            place: a place.
            may_begin: whether a job can begin now; the jobs of its key wait if it cannot.
        """
        keys = self.places.get(place)
        for key, jobs in list((keys or {}).items()):
            while jobs and jobs[0].future.done():
                jobs.popleft()
            if jobs and not may_begin(jobs[0]):
                continue
            job = jobs.popleft() if jobs else None
            self._forget(place, key)
            if jobs:  # behind the other keys
                self.places.setdefault(place, {})[key] = jobs
            if job is not None:
                return job
        return None

    def _forget(self, place: int, key: Key) -> None:
        keys = self.places[place]
        del keys[key]
        if not keys:
            del self.places[place]

    def remove(self, job: KeyedJob) -> bool:
        """Take ``job`` out; ``False`` if it does not wait here."""
        place = place_of(job.key, self._number)
        jobs = self.places.get(place, {}).get(job.key)
        if jobs is None or job not in jobs:
            return False
        jobs.remove(job)
        if not jobs:
            self._forget(place, job.key)
        return True

    def drain(self) -> list[KeyedJob]:
        """Take every job out."""
        found = [job for keys in self.places.values() for jobs in keys.values() for job in jobs]
        self.places.clear()
        return found

    def resize(self, number: int) -> None:
        """Have ``number`` places from now on."""
        jobs = self.drain()
        self._number = number
        for job in jobs:
            self.append(job)
