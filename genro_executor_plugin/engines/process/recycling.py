# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Recycling: when a worker is replaced for its calls, its memory or its age, or ends unused.

It decides between calls only, and asks the supervisor to replace or retire a worker.
"""

from __future__ import annotations

import asyncio
import logging
import random
from math import inf
from time import perf_counter

from ...options.pool import PoolOptions
from .observing import resident_memory
from .supervisor import Supervisor
from .worker import Worker

__all__ = ["Recycling"]

_logger = logging.getLogger("genro_executor_plugin")

LIFETIME_JITTER = 0.1
"""By which share, at most, a worker's lifetime is shortened: not all of them end at once."""

_MEMORY_EVERY_SECONDS = 0.1
"""How often, at most, a worker's memory is read between calls."""


class Recycling:
    """The limits of one pool's workers.

    Attributes:
        watched: whether the pool has a limit that has to be looked at after each call.
    """

    def __init__(
        self, options: PoolOptions, loop: asyncio.AbstractEventLoop, supervisor: Supervisor
    ) -> None:
        self._options = options
        self._loop = loop
        self._supervisor = supervisor
        self._timers: dict[Worker, asyncio.TimerHandle] = {}
        self._memory_read: dict[Worker, float] = {}
        self._lifetimes: dict[Worker, float] = {}
        self._memory_limit: float = options.memory_limit or inf
        self.watched: bool = any(
            limit is not None
            for limit in (
                options.max_tasks_per_child,
                options.max_memory_per_child,
                options.memory_limit,
                options.max_lifetime,
            )
        )

    def started(self, worker: Worker) -> None:
        """Count the lifetime and the idle time of ``worker``, which is up, from now on."""
        if self._options.max_lifetime is not None:
            jitter = 1 - LIFETIME_JITTER * random.random()
            self._lifetimes[worker] = self._options.max_lifetime * jitter
        self._look_again(worker)

    def ended(self, worker: Worker) -> None:
        """Forget ``worker``, which has ended."""
        timer = self._timers.pop(worker, None)
        if timer is not None:
            timer.cancel()
        self._memory_read.pop(worker, None)
        self._lifetimes.pop(worker, None)

    def stop(self) -> None:
        """Stop looking at workers."""
        for worker in list(self._timers):
            self.ended(worker)

    def sent(self, worker: Worker) -> None:
        """Have another worker start if ``worker`` was given the last call that it may run."""
        limit = self._options.max_tasks_per_child
        if limit is not None and worker.calls >= limit:
            self._supervisor.replace(worker, "max_tasks")

    def goes_now(self, worker: Worker) -> bool:
        """Look at ``worker``, which has finished a call; return whether it takes no other one.

        For its age or its memory it does not end before the worker that replaces it is up.
        """
        limit = self._options.max_tasks_per_child
        if limit is not None and worker.calls >= limit:
            self._supervisor.replace(worker, "max_tasks", at_once=True)
        elif self._is_too_old(worker):
            self._supervisor.replace(worker, "max_lifetime")
        elif self._is_too_large(worker):
            # What it has left over is no fault of the next call, which would be killed for it.
            at_once = worker.memory is not None and worker.memory > self._memory_limit
            self._supervisor.replace(worker, "max_memory", at_once=at_once)
        return worker.leaving

    def _is_too_old(self, worker: Worker) -> bool:
        lifetime = self._lifetimes.get(worker)
        return lifetime is not None and perf_counter() - worker.born_at >= lifetime

    def _is_too_large(self, worker: Worker) -> bool:
        limit = min(self._options.max_memory_per_child or inf, self._memory_limit)
        now = perf_counter()
        if limit == inf:
            return False
        if (
            self._memory_limit == inf
            and now - self._memory_read.get(worker, 0.0) < _MEMORY_EVERY_SECONDS
        ):
            return False
        self._memory_read[worker] = now
        assert worker.pid is not None
        worker.memory = resident_memory(worker.pid)
        return worker.memory is not None and worker.memory > limit

    def _look_again(self, worker: Worker) -> None:
        """Look at ``worker`` again when its lifetime or its idle time may be over."""
        now = perf_counter()
        waits = []
        if worker in self._lifetimes and not worker.to_be_replaced:
            waits.append(self._lifetimes[worker] - (now - worker.born_at))
        if self._options.idle_timeout is not None:
            left = self._options.idle_timeout - (now - worker.idle_since)
            waits.append(left if left > 0 else self._options.idle_timeout)
        if waits:
            self._timers[worker] = self._loop.call_later(max(0.01, min(waits)), self._look, worker)

    def _look(self, worker: Worker) -> None:
        del self._timers[worker]
        try:
            self._look_at(worker)
        except BaseException:
            _logger.exception("the age of worker %s could not be looked at", worker.pid)
        if not worker.leaving:
            self._look_again(worker)

    def _look_at(self, worker: Worker) -> None:
        if not worker.running and not worker.ahead and not worker.leaving:
            idle_timeout = self._options.idle_timeout
            if self._is_too_old(worker):
                self._supervisor.replace(worker, "max_lifetime")
            elif (
                idle_timeout is not None
                and perf_counter() - worker.idle_since >= idle_timeout
                and len(self._supervisor.staying) > self._supervisor.kept
            ):
                self._supervisor.retire(worker)
