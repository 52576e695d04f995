# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Spreads calls that may share a worker, coroutines and calls on threads, over the workers.

The worker with the fewest calls gets the next one. As long as there may be more workers, one that
has a call already is joined by a new worker; a call does not wait for that one, except for a
moment where the running workers have several calls each and others are about to come up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from time import perf_counter

from .supervisor import Supervisor
from .waiting import WaitingQueue
from .worker import Worker

__all__ = ["Spreading"]

_logger = logging.getLogger("genro_executor_plugin")

_MOMENT_SECONDS = 0.25
"""How far, at most, a start may be from its expected end for a call to wait for it."""

_FEW = 2
"""With fewer calls than this, a worker gets another one without any wait."""


class Spreading:
    """Chooses the worker for calls of one pool that may share it."""

    def __init__(
        self,
        supervisor: Supervisor,
        queue: WaitingQueue,
        dispatch: Callable[[], None],
    ) -> None:
        self._supervisor = supervisor
        self._queue = queue
        self._loop = asyncio.get_running_loop()
        self._dispatch = dispatch
        self._timer: asyncio.TimerHandle | None = None

    def choose(self) -> Worker | None:
        """The free worker with the fewest calls; ``None`` if the call waits for a moment.

        There must be a free one.
        """
        supervisor = self._supervisor
        chosen = min(supervisor.free, key=_load)
        load = len(chosen.running)
        if not load:
            return chosen
        supervisor.add_one()
        if load < _FEW or load < self._share() or not self._one_is_about_to_come_up():
            return chosen
        if self._timer is None:
            self._timer = self._loop.call_later(_MOMENT_SECONDS, self._time_is_up)
        return None

    def _share(self) -> float:
        """How many calls each worker has when all are up and every call is in one."""
        staying = self._supervisor.staying
        calls = len(self._queue) + sum(len(worker.running) for worker in staying)
        return (calls + 1) / len(staying)  # the call that is sent now is in neither

    def _one_is_about_to_come_up(self) -> bool:
        """Whether a worker that starts has come to where the last one was up, more or less."""
        expected = perf_counter() - self._supervisor.start_seconds
        return any(
            not worker.ready and abs(worker.born_at - expected) < _MOMENT_SECONDS
            for worker in self._supervisor.staying
        )

    def _time_is_up(self) -> None:
        try:
            self._timer = None
            self._dispatch()
        except Exception:
            _logger.exception("calls that wait could not be sent to a worker; this is tried again")
            self._timer = self._loop.call_later(_MOMENT_SECONDS, self._time_is_up)

    def stop(self) -> None:
        """Make no call go on that waits."""
        if self._timer is not None:
            self._timer.cancel()


def _load(worker: Worker) -> int:
    return len(worker.running)
