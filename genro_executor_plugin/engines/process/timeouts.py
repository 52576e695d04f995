# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Timeouts: one alarm for all running calls of a pool, set to the earliest limit.

It finds the runs that take too long; ``ending`` ends them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import perf_counter

from .job import Job
from .supervisor import Supervisor
from .worker import Worker

__all__ = ["Timeouts"]

_logger = logging.getLogger("genro_executor_plugin")

_AGAIN_SECONDS = 0.1
"""How soon the timeouts are looked at again where that has failed."""


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
        # call_at of uvloop returns a handle that does not know when, for moments that are near.
        self._alarm: asyncio.Handle | None = None
        self._when = 0.0

    def watch(self, seconds: float) -> None:
        """Look for runs over their timeout in ``seconds``; an earlier look that is set stays."""
        when = self._loop.time() + seconds
        if self._alarm is None or when < self._when:
            self.stop()
            self._when = when
            self._alarm = self._loop.call_at(when, self._look)

    def stop(self) -> None:
        """Stop looking for runs that take too long."""
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _end(self, worker: Worker, job: Job) -> None:
        try:
            self._run_over(worker, job)
        except Exception:  # the limits of the other calls hold nevertheless
            _logger.exception("%s ran over its timeout and could not be ended", job.packed.title)

    def _look(self) -> None:
        self._alarm = None
        try:
            self._look_at_all()
        except BaseException:
            _logger.exception("timeouts could not be looked at; they are looked at again")
            self.watch(_AGAIN_SECONDS)

    def _look_at_all(self) -> None:
        now = perf_counter()
        for worker in list(self._supervisor.workers):
            if worker.held is not None:
                continue  # when it is not any more, it is looked again
            for job in list(worker.running.values()):
                if job.timeout is None or job.started_at is None or job.ending is not None:
                    continue
                remaining = job.started_at + job.timeout - now
                if remaining > 0:
                    self.watch(remaining)
                else:
                    self._end(worker, job)
                    if worker.killed:
                        break
