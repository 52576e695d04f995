# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The last minutes of every pool, as samples that are taken while the server runs.

A sample is the difference between two readings of a pool's counters: how many calls ended per
second in between, and the quantiles of their durations. A bounded number of samples is kept, and a
call costs nothing more because of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..executors import BaseExecutor
from ..executors.registry import ExecutorRegistry
from ..metrics.counters import quantile

__all__ = ["SAMPLE_SECONDS", "History"]

SAMPLE_SECONDS = 2.0
"""How often a sample is taken."""

_KEPT = 150
"""How many samples of a pool are kept: those of five minutes."""


@dataclass(frozen=True, slots=True)
class _Reading:
    """The counters of a pool as they were at the time ``at``."""

    at: float
    completed: int
    errors: int
    rejected: int
    run: tuple[int, ...]
    wait: tuple[int, ...]


@dataclass(slots=True)
class _Load:
    """The sums of some samples."""

    samples: int = 0
    busy: int = 0
    queued: int = 0
    queued_most: int = 0

    def add(self, sample: Mapping[str, Any]) -> None:
        self.samples += 1
        self.busy += sample["busy"]
        self.queued += sample["queued"]
        self.queued_most = max(self.queued_most, sample["queued"])


class History:
    """Samples of the pools of one registry, taken on the event loop it is started on.

    Attributes:
        began_at: when the server was made, in seconds since the epoch.
    """

    def __init__(self, registry: ExecutorRegistry) -> None:
        self._registry = registry
        self._readings: dict[str, _Reading] = {}
        self._samples: dict[str, deque[dict[str, Any]]] = {}
        self._loads: dict[str, _Load] = {}
        self._timer: asyncio.TimerHandle | None = None
        self.began_at: float = round(time.time(), 3)

    def start(self) -> None:
        """Take a sample now, and another one every ``SAMPLE_SECONDS``."""
        self.sample()
        self._timer = asyncio.get_running_loop().call_later(SAMPLE_SECONDS, self.start)

    def stop(self) -> None:
        """Stop taking samples."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def sample(self) -> None:
        """Take one sample of every pool that has been used."""
        for name, executor in self._registry.used.items():
            reading = _read(executor)
            before = self._readings.get(name)
            self._readings[name] = reading
            if before is not None and reading.at > before.at:
                samples = self._samples.setdefault(name, deque(maxlen=_KEPT))
                samples.append(_sample(executor.metrics, before, reading))
                self._loads.setdefault(name, _Load()).add(samples[-1])

    def take_load(self, executor: BaseExecutor) -> tuple[float, float, int]:
        """Busy workers, waiting calls, and the most that waited, since this was last asked.

        The first two are means over the samples; all are of the moment, if there was none.
        """
        load = self._loads.pop(executor.name, None)
        if load is None:
            load = _Load()
            load.add(executor.metrics)
        return load.busy / load.samples, load.queued / load.samples, load.queued_most

    def of(self, name: str) -> list[dict[str, Any]]:
        """Return the samples of pool ``name``, the oldest first."""
        return list(self._samples.get(name, ()))


def _read(executor: BaseExecutor) -> _Reading:
    counters = executor.counters
    outcomes = counters.outcomes
    return _Reading(
        time.time(),
        outcomes["completed"],
        outcomes["failed"] + outcomes["timed_out"] + outcomes["crashed"],
        outcomes["rejected"],
        tuple(counters.run.counts),
        tuple(counters.wait.counts),
    )


def _sample(metrics: Mapping[str, Any], before: _Reading, now: _Reading) -> dict[str, Any]:
    seconds = now.at - before.at
    return {
        "at": round(now.at, 3),
        "completed_per_second": round((now.completed - before.completed) / seconds, 3),
        "errors_per_second": round((now.errors - before.errors) / seconds, 3),
        "rejected_per_second": round((now.rejected - before.rejected) / seconds, 3),
        "run_p50_ms": _between(before.run, now.run, 0.5),
        "run_p95_ms": _between(before.run, now.run, 0.95),
        "wait_p95_ms": _between(before.wait, now.wait, 0.95),
        "busy": metrics["busy"],
        "queued": metrics["queued"],
    }


def _between(before: Sequence[int], now: Sequence[int], share: float) -> float | None:
    seconds = quantile([b - a for a, b in zip(before, now, strict=True)], share)
    return None if seconds is None else round(seconds * 1000, 3)
