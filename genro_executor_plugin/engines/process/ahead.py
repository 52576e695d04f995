# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls sent ahead: the next very short calls go to a worker before it is free.

A round trip costs more than such a call takes. A call that was sent ahead and has not started is
taken back when it would have to wait: behind a call that turns out to be long, or while another
worker is free. It has waited longer than what is in the queue, and goes to its head. Called by the
pool, on its event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

from .job import Job
from .supervisor import Supervisor
from .waiting import WaitingQueue
from .worker import Worker

__all__ = ["Ahead"]

_SHORT_SECONDS = 0.002
"""Only calls expected to run at most this long are sent ahead: the wait behind them is short."""

_LATE_SECONDS = 0.02
"""Nothing is sent ahead to a worker whose call has run this long by the server's clock, which
also counts how late a busy event loop reads the answer."""

_AHEAD_SECONDS = 0.004
"""How much work, at most, is sent ahead to one worker."""

_MAX_AHEAD = 8
"""How many calls, at most, are sent ahead to one worker."""

_LEAST_TIMEOUT_SECONDS = 0.1
"""A call with a shorter timeout is not sent ahead: its limit counts from when it really starts,
and the server learns of that only later."""

_WEIGHT = 0.2
"""How much the last run counts in the moving mean of a function's run time."""

_BEST_CASE_SECONDS = 0.00005
"""A run is never expected to be shorter than this."""


class Estimates:
    """A moving mean of the run time of each function."""

    __slots__ = ("_means",)

    def __init__(self) -> None:
        self._means: dict[int, float] = {}

    def add(self, key: int, seconds: float) -> None:
        """Take into account that a call of function ``key`` ran for ``seconds``."""
        if key:
            mean = self._means.get(key, seconds)
            self._means[key] = mean + _WEIGHT * (seconds - mean)

    def depth(self, key: int) -> int:
        """How many calls of function ``key`` may be sent ahead to a worker; often 0."""
        mean = self._means.get(key) if key else None
        if mean is None or mean > _SHORT_SECONDS:
            return 0
        return min(_MAX_AHEAD, int(_AHEAD_SECONDS / max(mean, _BEST_CASE_SECONDS)))


class Ahead:
    """Decides what is sent ahead in one pool, and what is taken back.

    Attributes:
        estimates: how long the functions of this pool run.
        enabled: whether calls may be sent ahead.
        any_sent: whether a worker may have calls that were sent ahead and have not started.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        queue: WaitingQueue,
        loop: asyncio.AbstractEventLoop,
        watch: Callable[[float], None],
        dispatch: Callable[[], None],
        waits_for: Callable[[Worker], bool],
    ) -> None:
        """For one pool; ``waits_for`` says whether a job waits for a worker to be free."""
        self._supervisor = supervisor
        self._queue = queue
        self._loop = loop
        self._watch = watch
        self._dispatch = dispatch
        self._waits_for = waits_for
        self._filling: asyncio.Handle | None = None
        self._looking: asyncio.TimerHandle | None = None
        self.estimates: Estimates = Estimates()
        self.enabled = True
        self.any_sent: bool = False

    def fill_soon(self) -> None:
        """Send calls ahead at the end of this turn of the event loop, many in one write."""
        if self._filling is None and self.enabled:
            self._filling = self._loop.call_soon(self._fill)

    def stop(self) -> None:
        """Send nothing ahead that was not sent yet."""
        if self._filling is not None:
            self._filling.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def _fill(self) -> None:
        self._filling = None
        now = perf_counter()
        for worker in self._supervisor.workers:
            if not self._queue or not self.enabled:
                return
            head = next(iter(worker.running.values()), None)
            if head is None or not worker.usable or worker.to_be_replaced:
                continue
            if worker.taken_back:
                continue  # it would take the next token for the one that it does not find
            if self._queue.keyed and self._waits_for(worker):
                continue
            if worker.coroutines or now - (head.started_at or now) > _LATE_SECONDS:
                continue
            depth = min(self.estimates.depth(head.packed.key), _MAX_AHEAD)
            # Wait until half of the places are free: several calls in one write cost less.
            if len(worker.ahead) <= depth // 2 and (jobs := self._short_jobs(depth, worker)):
                self.any_sent = True
                try:
                    worker.send_ahead(jobs)
                except Exception as error:
                    for job in jobs:
                        job.cannot_be_sent(error)
                if self._looking is None:
                    self._looking = self._loop.call_later(_LATE_SECONDS, self._look)

    def _look(self) -> None:
        """Have calls that wait behind a long one wait in the queue, where the next place is theirs.

        The other workers may be sent calls ahead all the time, and never count as free.
        """
        self._looking = None
        now = perf_counter()
        stuck: list[Job] = []
        left = False
        for worker in self._supervisor.workers:
            head = next(iter(worker.running.values()), None)
            if not worker.ahead or head is None:
                continue
            if now - (head.started_at or now) > _LATE_SECONDS:
                stuck += self._supervisor.take_back_all(worker)
                if not worker.running and not worker.leaving:
                    self._supervisor.set_free(worker)  # no answer will come that would free it
            left = left or bool(worker.ahead)
        if left:
            self._looking = self._loop.call_later(_LATE_SECONDS, self._look)
        if stuck:
            self._queue.put_back(stuck)
            self._supervisor.grow()
            self._dispatch()

    def _short_jobs(self, depth: int, worker: Worker) -> list[Job]:
        """Take the next jobs out of the queue, as far as they are short and ``worker`` has room."""
        jobs: list[Job] = []
        while (job := self._queue.first()) is not None:
            room = min(depth, self.estimates.depth(job.packed.key)) - len(worker.ahead) - len(jobs)
            if room <= 0 or job.packed.is_async:
                break
            if job.timeout is not None:
                if job.timeout < _LEAST_TIMEOUT_SECONDS:
                    break
                self._watch(job.timeout)
            jobs.append(job)
            self._queue.take()
        return jobs

    def take_back(self, *, only_stuck: bool) -> Job | None:
        """A call that was sent ahead and would have to wait; ``None`` if there is none.

        Args:
            only_stuck: take back only what waits behind a call that turned out to be long.
        """
        if not self.any_sent:
            return None
        now = perf_counter()
        left = False
        for worker in self._supervisor.workers:
            if not worker.ahead:
                continue
            left = True
            head = next(iter(worker.running.values()), None)
            ran = now - (head.started_at or now) if head is not None else _SHORT_SECONDS + 1
            if only_stuck and ran <= _SHORT_SECONDS:
                continue
            job = worker.take_back()
            if not worker.running and not worker.leaving:
                self._supervisor.set_free(worker)  # no answer will come that would free it
            if job is not None and not job.future.done():
                return job
        self.any_sent = left
        return None
