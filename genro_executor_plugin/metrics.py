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

"""What a pool counts and measures, in the server: nothing here depends on what a call does."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

__all__ = ["Durations", "PoolMetrics"]

_KEPT = 1024
"""How many of the last durations percentiles are computed from."""


class Durations:
    """A mean over everything, and percentiles over the last ``1024``."""

    __slots__ = ("_last", "count", "total")

    def __init__(self) -> None:
        self._last: deque[float] = deque(maxlen=_KEPT)
        self.count = 0
        self.total = 0.0

    def add(self, seconds: float) -> None:
        self._last.append(seconds)
        self.count += 1
        self.total += seconds

    @property
    def mean(self) -> float:
        """Seconds on average; 0.0 before there is any."""
        return self.total / self.count if self.count else 0.0

    def percentiles_ms(self, prefix: str) -> dict[str, float]:
        """``{prefix}_p50_ms``, ``_p95_ms`` and ``_p99_ms``; 0.0 before there is any."""
        ordered = sorted(self._last)
        last = len(ordered) - 1
        return {
            f"{prefix}_p{percent}_ms": (
                round(ordered[round(last * percent / 100)] * 1000, 3) if ordered else 0.0
            )
            for percent in (50, 95, 99)
        }


@dataclass(slots=True)
class PoolMetrics:
    """The counters of a pool.

    At every moment ``submitted`` is the sum of ``completed``, ``failed``, ``rejected``,
    ``timed_out``, ``crashed``, ``cancelled`` and the calls that are pending.
    """

    submitted: int = 0
    completed: int = 0
    failed: int = 0
    rejected: int = 0
    timed_out: int = 0
    crashed: int = 0
    cancelled: int = 0
    run: Durations = field(default_factory=Durations)
    wait: Durations = field(default_factory=Durations)

    @property
    def pending(self) -> int:
        """Calls that were submitted and have no outcome yet."""
        return self.submitted - (
            self.completed
            + self.failed
            + self.rejected
            + self.timed_out
            + self.crashed
            + self.cancelled
        )
