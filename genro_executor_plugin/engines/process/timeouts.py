# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Timeouts: one alarm for all running calls of a pool, set to the earliest limit.

It finds the runs that take too long; ``ending`` ends them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

from .job import Job
from .supervisor import Supervisor
from .worker import Worker

__all__ = ["Timeouts"]


class Timeouts:
    """The timeouts of one pool's calls; ``run_over`` is called for each run that exceeds one."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        supervisor: Supervisor,
        run_over: Callable[[Worker, Job], None],
    ) -> None:
        self._loop = loop
        self._supervisor = supervisor
        self._run_over = run_over
        self._alarm: asyncio.TimerHandle | None = None

    def watch(self, seconds: float) -> None:
        """Look for runs over their timeout in ``seconds``; an earlier look that is set stays."""
        when = self._loop.time() + seconds
        if self._alarm is None or when < self._alarm.when():
            self.stop()
            self._alarm = self._loop.call_at(when, self._look)

    def stop(self) -> None:
        """Stop looking for runs that take too long."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _look(self) -> None:
        self._alarm = None
        now = perf_counter()
        for worker in list(self._supervisor.workers):
            for job in list(worker.running.values()):
                if job.timeout is None or job.started_at is None or job.ending is not None:
                    continue
                remaining = job.started_at + job.timeout - now
                if remaining > 0:
                    self.watch(remaining)
                else:
                    self._run_over(worker, job)
                    if worker.killed:
                        break
