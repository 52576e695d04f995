# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls with a key: which worker is at which place, and when it is given its calls.

A pool has a place for each of its ``max_workers`` workers, and a key leads to one of them. The
first call there takes a worker that is at none; the place is its own until it leaves or ends. Then
another worker comes to it, which knows nothing of what the calls before have left behind.

Nothing is remembered of keys, but for those of ``key_serial`` whose calls run: a run that was
told to end, or whose worker was killed, may still go on when its caller has the error.
"""

from __future__ import annotations

from collections.abc import Callable

from .job import Job, KeyedJob
from .supervisor import Supervisor
from .waiting import WaitingQueue
from .worker import Worker

__all__ = ["KeyedCalls"]

_FEW = 64
"""How many keys of runs that may have ended are kept without looking."""


class KeyedCalls:
    """Has the calls with a key of one pool run where they belong."""

    def __init__(
        self,
        supervisor: Supervisor,
        queue: WaitingQueue,
        send: Callable[[Job, Worker], bool],
    ) -> None:
        """For the jobs in ``queue.keyed``; ``send`` sends a job to a worker that is free."""
        self._supervisor = supervisor
        self._waiting = queue.keyed
        self._send = send
        self._homes: dict[int, Worker] = {}
        self._served: set[int] = set()
        self._running: dict[int, tuple[Worker, int]] = {}
        self._look_at = _FEW
        self._waiting.has_worker = self._has_worker

    def dispatch(self, *, in_turn: bool = False) -> None:
        """Give the free workers the jobs that wait for them.

        Args:
            in_turn: other jobs wait, too: a worker is given one job, and leaves the next turn to
                them.
        """
        free = self._supervisor.free
        for place in list(self._waiting.places):
            if not free:
                return
            worker = self._worker_at(place)
            if worker is None or worker not in free:
                continue
            if in_turn and place in self._served:
                self._served.discard(place)
                continue
            while worker in free:
                job = self._waiting.take(place, self._may_begin)
                if job is None or not self._send(job, worker):
                    break
                if job.serial:
                    self._note(job, worker)
                if in_turn:
                    self._served.add(place)
                    break

    def wants(self, worker: Worker) -> bool:
        """Whether a job waits for ``worker``, or for one that is at no place, as it is."""
        taken = worker in self._homes.values()
        for place in self._waiting.places:
            home = self._homes.get(place)
            if home is worker or (not taken and (home is None or home.leaving)):
                return True
        return False

    def ended(self, worker: Worker) -> None:
        """Take in that ``worker`` has ended: others come to its places."""
        for place in [place for place, home in self._homes.items() if home is worker]:
            del self._homes[place]

    def resize(self, number: int) -> None:
        """Have ``number`` places from now on."""
        self._waiting.resize(number)
        for place in [place for place in self._homes if place >= number]:
            del self._homes[place]
        self._served.clear()

    # -- which worker is where ----------------------------------------------------------------

    def _has_worker(self, place: int) -> bool:
        home = self._homes.get(place)
        return home is not None and not home.leaving

    def _worker_at(self, place: int) -> Worker | None:
        """The worker at ``place``; one that is free comes there if there is none."""
        if self._has_worker(place):
            return self._homes[place]
        self._homes.pop(place, None)
        worker = self._choose()
        if worker is not None:
            self._homes[place] = worker
        return worker

    def _choose(self) -> Worker | None:
        """A free worker that is at no place, with the fewest calls; ``None`` for none."""
        supervisor = self._supervisor
        taken = set(self._homes.values())
        at_no_place = [one for one in supervisor.free if one not in taken]
        # Those that are to be replaced go on working until others have been started.
        found = [one for one in at_no_place if not one.to_be_replaced] or at_no_place
        if not found and supervisor.backoff.error is not None:
            # No other one can be started: one of them has to be at two places.
            found = supervisor.free
        return min(reversed(found), key=lambda worker: len(worker.running), default=None)

    # -- one after the other ------------------------------------------------------------------

    def _may_begin(self, job: KeyedJob) -> bool:
        """Whether no run of the key of ``job`` goes on that has to end before."""
        if not job.serial or (begun := self._running.get(job.key)) is None:
            return True
        if self._goes_on(*begun):
            return False
        del self._running[job.key]
        return True

    def _goes_on(self, worker: Worker, number: int) -> bool:
        if worker not in self._supervisor.workers:
            return False
        # One that is killed has no calls any more, and may still run.
        return worker.killed or number in worker.running

    def _note(self, job: KeyedJob, worker: Worker) -> None:
        if len(self._running) >= self._look_at:
            self._running = {
                key: begun for key, begun in self._running.items() if self._goes_on(*begun)
            }
            self._look_at = max(_FEW, 2 * len(self._running))
        self._running[job.key] = worker, worker.calls
