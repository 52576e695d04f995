# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.
"""Runs that are over their timeout."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter

from .crew import Crew
from .job import Job
from .worker import Worker

__all__ = ["Overdue"]


class Overdue:
    """One alarm for all runs of a pool, set to the earliest limit."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        crew: Crew,
        run_over: Callable[[Worker, Job], None],
    ) -> None:
        self._loop = loop
        self._crew = crew
        self._run_over = run_over
        self._alarm: asyncio.TimerHandle | None = None

    def watch(self, seconds: float) -> None:
        """Look for overdue calls in ``seconds``, or earlier if that is arranged already."""
        when = self._loop.time() + seconds
        if self._alarm is None or when < self._alarm.when():
            self.stop()
            self._alarm = self._loop.call_at(when, self._look)

    def stop(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _look(self) -> None:
        self._alarm = None
        now = perf_counter()
        for worker in list(self._crew.workers):
            for job in list(worker.running.values()):
                if job.timeout is None or job.started_at is None:
                    continue
                remaining = job.started_at + job.timeout - now
                if remaining > 0:
                    self.watch(remaining)
                else:
                    self._run_over(worker, job)
                    if worker.killed:
                        break
