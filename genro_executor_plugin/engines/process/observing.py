# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The memory and the state of the workers of a pool, read from outside of them.

It reads ``/proc`` (or asks psutil) and the workers' attributes, and changes no worker but for
the memory that is noted on it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter

from ...metrics.worker_state import WorkerState
from .supervisor import Supervisor
from .worker import Worker

__all__ = ["Observer", "resident_memory"]

_logger = logging.getLogger("genro_executor_plugin")

_EVERY_SECONDS = 1.0
"""How often the memory of busy workers is read: the error of one that is killed tells it."""

_LIMITED_EVERY_SECONDS = 0.05
"""The same where there is a limit: memory can be filled at gigabytes a second."""

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_memory(pid: int) -> int | None:
    """The resident memory of process ``pid`` in bytes, ``None`` if it cannot be read."""
    with suppress(OSError), open(f"/proc/{pid}/statm", "rb", buffering=0) as file:
        return int(file.read().split()[1]) * _PAGE
    return _with_psutil(pid)


def peak_memory(pid: int) -> int | None:
    """The most memory that process ``pid`` has held so far, ``None`` if it cannot be read."""
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def _with_psutil(pid: int) -> int | None:
    import psutil  # where there is no /proc

    with suppress(psutil.Error):
        memory: int = psutil.Process(pid).memory_info().rss
        return memory
    return None


class Observer:
    """Reads the memory of the workers of one pool, and tells of those that hold too much."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        supervisor: Supervisor,
        limit: int | None,
        over_limit: Callable[[Worker, int], None],
    ) -> None:
        """Observe the workers of ``supervisor``.

        Args:
            limit: how many bytes a worker may hold while it runs calls, ``None`` for no limit.
            over_limit: is called with a worker that holds more, and with its peak.
        """
        self._loop = loop
        self._supervisor = supervisor
        self._limit = limit
        self._over_limit = over_limit
        self._every = _EVERY_SECONDS if limit is None else _LIMITED_EVERY_SECONDS
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Read the memory of busy workers regularly, until there is no worker."""
        if self._timer is None:
            self._timer = self._loop.call_later(self._every, self._look)

    def stop(self) -> None:
        """Stop reading the memory of workers."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        try:
            self._look_at_all()
        except BaseException:
            _logger.exception("the memory of workers could not be looked at")
        if self._supervisor.workers:
            self.start()

    def _look_at_all(self) -> None:
        for worker in list(self._supervisor.workers):
            if worker.killed or not (worker.running or self._limit is not None):
                continue
            memory = _measure(worker)
            if self._limit is None or memory is None or memory <= self._limit:
                continue
            if worker.running:
                assert worker.pid is not None
                self._over_limit(worker, max(memory, peak_memory(worker.pid) or 0))
            else:  # the next call would be ended for what it has not done
                self._supervisor.replace(worker, "max_memory", at_once=True)

    def states(self) -> list[WorkerState]:
        """Every worker as it is now, the oldest first."""
        return [
            _state(worker) for worker in sorted(self._supervisor.workers, key=lambda w: w.born_at)
        ]


def _measure(worker: Worker) -> int | None:
    if worker.pid is not None:
        worker.memory = resident_memory(worker.pid) or worker.memory
    return worker.memory


def _state(worker: Worker) -> WorkerState:
    oldest = next(iter(worker.running.values()), None)
    if worker.leaving:
        state = "leaving"
    elif not worker.ready:
        state = "starting"
    else:
        state = "busy" if oldest is not None else "idle"
    if oldest is None:
        return WorkerState(worker.pid, state, memory_bytes=_measure(worker), calls=worker.calls)
    return WorkerState(
        worker.pid,
        state,
        oldest.route,
        oldest.packed.title,
        perf_counter() - oldest.started_at if oldest.started_at is not None else 0.0,
        len(worker.running),
        _measure(worker),
        worker.calls,
    )
