# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The server has the workers of a pool take samples of the calls of one route.

``sampled`` draws how a worker is asked. It ends by itself, or by a 0 in its marks; whatever becomes
of a worker, nobody waits for it longer than for a second behind the end.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from time import perf_counter
from typing import Any

from ...metrics.profiles import WorkerProfile
from .handover import NonsenseError
from .native import status_of
from .sampled import Wanted
from .supervisor import Supervisor
from .worker import Worker

__all__ = ["Profiling"]

_logger = logging.getLogger("genro_executor_plugin")

_GRACE_SECONDS = 1.0
"""How long is waited for what a worker tells at the end."""

_NO_ANSWER = (
    "it has not answered: native code has kept its main thread all the time (genro-executor stack "
    "shows where), or it has just ended"
)


class Profiling:
    """Has the workers of one pool take samples, of one route at a time."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._numbers = itertools.count(1)
        self._running: _Running | None = None

    async def profile(
        self, known_as: tuple[int, int, str], seconds: float, rate: int
    ) -> list[WorkerProfile]:
        """Where the calls of a function are in ``seconds`` from now, for each worker there was.

        Cancelling it ends the samples.

        Args:
            known_as: how workers know the function, as ``CallPacker.known_as`` has it.
            seconds: how long to take samples.
            rate: how many in a second.
        """
        begin = perf_counter()
        wanted = Wanted(*known_as, rate, begin, begin + seconds)
        running = self._running = _Running(next(self._numbers), wanted)
        try:
            for worker in list(self._supervisor.workers):
                if worker.is_there:
                    running.ask(worker)
            await asyncio.sleep(seconds)
            await running.all_have_told()
        finally:
            self._running = None
            running.end()
        return running.profiles

    def started(self, worker: Worker) -> None:
        """Have ``worker``, which is up now, take samples as well."""
        if self._running is not None:
            self._running.ask(worker)

    def arrived(self, worker: Worker, said: Any) -> None:
        """Count what ``worker`` has told."""
        if self._running is not None:
            self._running.told(worker, said)

    def ended(self, worker: Worker) -> None:
        """Wait for ``worker``, which is gone, no longer."""
        if self._running is not None:
            self._running.ended(worker)


class _Running:
    """One profile while it is made."""

    def __init__(self, number: int, wanted: Wanted) -> None:
        self.profiles: list[WorkerProfile] = []
        self._number = number
        self._wanted = wanted
        self._asked: dict[Worker, WorkerProfile] = {}
        self._waiting: set[Worker] = set()
        self._all_told = asyncio.Event()

    def ask(self, worker: Worker) -> None:
        """Have ``worker`` begin."""
        profile = WorkerProfile(worker.pid, self._wanted.rate)
        self.profiles.append(profile)
        profile.why_not = self._why_not(worker)
        if not profile.why_not:
            self._asked[worker] = profile
            self._waiting.add(worker)

    def _why_not(self, worker: Worker) -> str:
        assert worker.pid is not None
        try:
            signal = worker.words.want_profile(self._number, self._wanted.packed())
        except (OSError, NonsenseError):
            signal = 0
        if not signal:
            return "it cannot tell on this system, or has just died"
        if why_not := status_of(worker.pid).why_not(signal):
            return why_not
        return "" if worker.signal(signal) else "the process that has started it is gone"

    def told(self, worker: Worker, said: Any) -> None:
        """Count what ``worker`` has told; code in it may send what makes no sense."""
        profile = self._asked.get(worker)
        if profile is None:
            return
        try:
            number, is_last, counted = said
            if number != self._number:
                return
            profile.add(counted)
        except (LookupError, TypeError, ValueError) as error:
            _logger.warning("worker %s has told of no samples", worker.pid, exc_info=error)
            return
        if is_last:
            self.gone(worker)

    def ended(self, worker: Worker) -> None:
        """Wait no longer for ``worker``, which has ended; what it has told is counted."""
        if worker in self._waiting and not self._asked[worker].looks:
            self._asked[worker].why_not = "it ended before it had told anything"
        self.gone(worker)

    def gone(self, worker: Worker) -> None:
        """Wait no longer for ``worker``."""
        self._waiting.discard(worker)
        if not self._waiting:
            self._all_told.set()

    async def all_have_told(self) -> None:
        """Wait for those that were asked, for a moment."""
        if self._waiting:
            self._all_told.clear()
            try:
                await asyncio.wait_for(self._all_told.wait(), _GRACE_SECONDS)
            except TimeoutError:
                for worker in self._waiting:
                    profile = self._asked[worker]
                    profile.why_not = "" if profile.looks else _NO_ANSWER

    def end(self) -> None:
        """Have those that have not told all take no more samples."""
        for worker in self._waiting:
            if worker.is_there:
                try:
                    worker.words.want_profile(0, b"")
                except (OSError, NonsenseError):
                    continue  # it ends by itself when the time is over
        self._waiting.clear()
