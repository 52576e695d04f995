# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a pool counts and measures, in the server: nothing here depends on what a call does.

Every call is counted, which costs a few additions: plain numbers, a bisection into fixed buckets,
no locks (all of it happens on the event loop's thread). Displays read the numbers when they need
them; there is no notification when they change.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from .incidents import Incidents
from .sentry import Reports

__all__ = [
    "BOUNDS",
    "BUCKETS",
    "OUTCOMES",
    "Histogram",
    "PoolMetrics",
    "RouteMetrics",
    "folded",
    "percentiles_ms",
    "quantile",
    "quantile_of",
]

BUCKETS = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
    0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
"""The upper bounds of the buckets that Prometheus is told, in seconds; one more is above them."""

_RATIO = 1.1
_SHORTEST, _LONGEST = 1e-5, 7 * 86400.0


def _fine_bounds() -> tuple[float, ...]:
    """Bounds that grow by a tenth at most, those of ``BUCKETS`` among them."""
    found = [_SHORTEST]
    for bound in (*BUCKETS, _LONGEST):
        steps = math.ceil(math.log(bound / found[-1]) / math.log(_RATIO))
        growth = (bound / found[-1]) ** (1 / steps)
        last = found[-1]
        found += [last * growth**step for step in range(1, steps)] + [bound]
    return tuple(found)


BOUNDS = _fine_bounds()
"""The upper bounds of the buckets that durations are counted in: from 10 microseconds to a week,
so that a quantile is right within 5 %. One more bucket is above them."""

_FOLDED = tuple(BOUNDS.index(bound) + 1 for bound in BUCKETS)

OUTCOMES = ("completed", "failed", "rejected", "timed_out", "crashed", "cancelled")
"""How a call may end; each call ends in exactly one of these ways."""

_KEPT = 1024
"""How many of the last durations percentiles are computed from."""


class Histogram:
    """How many durations fell into each bucket of ``BOUNDS``, and their sum."""

    __slots__ = ("counts", "total")

    def __init__(self) -> None:
        self.counts: list[int] = [0] * (len(BOUNDS) + 1)
        self.total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count a duration."""
        self.counts[bisect_left(BOUNDS, seconds)] += 1
        self.total += seconds

    def add_all(self, other: Histogram) -> None:
        """Add the durations that ``other`` has counted."""
        self.counts = [own + more for own, more in zip(self.counts, other.counts, strict=True)]
        self.total += other.total

    @property
    def count(self) -> int:
        """How many durations there were."""
        return sum(self.counts)

    @property
    def mean(self) -> float:
        """The average in seconds; 0.0 when there is no duration."""
        return self.total / self.count if self.total else 0.0


def percentiles_ms(prefix: str, last: Iterable[float]) -> dict[str, float]:
    """``{prefix}_p50_ms``, ``_p95_ms`` and ``_p99_ms`` of ``last``; 0.0 when there is nothing."""
    ordered = sorted(last)
    end = len(ordered) - 1
    return {
        f"{prefix}_p{percent}_ms": (
            round(ordered[round(end * percent / 100)] * 1000, 3) if ordered else 0.0
        )
        for percent in (50, 95, 99)
    }


def quantile(counts: Sequence[int], share: float) -> float | None:
    """Seconds below which ``share`` of the durations in ``counts`` lie, ``None`` without any.

    It is the middle of the bucket that they end in; above the last bound nothing is known, and
    the bound is the answer.
    """
    return quantile_of([pair for pair in enumerate(counts) if pair[1]], share)


def quantile_of(counts: Sequence[tuple[int, int]], share: float) -> float | None:
    """As ``quantile``, where ``counts`` has the buckets that are not empty: (number, count)."""
    wanted = share * sum(count for _, count in counts)
    if not wanted:
        return None
    below = 0
    for index, count in counts:
        below += count
        if below >= wanted:
            if index >= len(BOUNDS):
                break
            return math.sqrt(BOUNDS[index - 1] * BOUNDS[index]) if index else BOUNDS[0] / 2
    return BOUNDS[-1]


def folded(counts: Sequence[int]) -> list[int]:
    """``counts``, which are by ``BOUNDS``, by ``BUCKETS``, with one more above the last."""
    ends = (0, *_FOLDED, len(counts))
    return [sum(counts[begin:end]) for begin, end in pairwise(ends)]


@dataclass(slots=True)
class RouteMetrics:
    """How the calls of one route ended in one pool, and how long they ran."""

    completed: int = 0
    failed: int = 0
    rejected: int = 0
    timed_out: int = 0
    crashed: int = 0
    cancelled: int = 0
    run: Histogram = field(default_factory=Histogram)


def _last() -> deque[float]:
    return deque(maxlen=_KEPT)


@dataclass(slots=True)
class PoolMetrics:
    """The counters of a pool. Outcomes and run times are kept by route, and added up when asked.

    At every moment ``submitted`` is the sum of ``completed``, ``failed``, ``rejected``,
    ``timed_out``, ``crashed``, ``cancelled`` and the calls that are pending.

    Attributes:
        submitted: how many calls there were.
        routes: outcomes and run times by route; ``""`` is for calls that came from no route.
        wait: how long calls waited.
        last_waits: the last waiting times, in seconds.
        last_runs: the last run times, in seconds.
        rejections: how many calls were refused, by reason.
        incidents: the last errors.
        reports: what reports them to Sentry; ``None`` where somebody else does.
    """

    submitted: int = 0
    routes: dict[str, RouteMetrics] = field(default_factory=dict)
    wait: Histogram = field(default_factory=Histogram)
    last_waits: deque[float] = field(default_factory=_last)
    last_runs: deque[float] = field(default_factory=_last)
    rejections: dict[str, int] = field(default_factory=dict)
    incidents: Incidents = field(default_factory=Incidents)
    reports: Reports | None = field(default_factory=Reports)

    def route(self, path: str) -> RouteMetrics:
        """The counters of one route."""
        metrics = self.routes.get(path)
        if metrics is None:
            metrics = self.routes[path] = RouteMetrics()
        return metrics

    def ran(self, path: str, waited: Any, ran: Any) -> None:
        """Count how long a call of the route ``path`` waited and ran.

        An engine from outside may have said anything; what is no duration is left out.

        Raises:
            TypeError: one of them is no number.
        """
        if not (0.0 <= waited < math.inf and 0.0 <= ran < math.inf):
            return
        # Spelled out instead of a call of Histogram.add: every call of the pool gets here.
        wait, run = self.wait, (self.routes.get(path) or self.route(path)).run
        wait.counts[bisect_left(BOUNDS, waited)] += 1
        wait.total += waited
        self.last_waits.append(waited)
        run.counts[bisect_left(BOUNDS, ran)] += 1
        run.total += ran
        self.last_runs.append(ran)

    def count(self, path: str, outcome: str) -> None:
        """Count a call of the route ``path`` that did not complete."""
        route = self.route(path)
        setattr(route, outcome, getattr(route, outcome) + 1)

    def count_rejection(self, reason: str) -> None:
        """Count why a call was refused."""
        self.rejections[reason] = self.rejections.get(reason, 0) + 1

    @property
    def run(self) -> Histogram:
        """How long the calls of all routes ran."""
        together = Histogram()
        for route in self.routes.values():
            together.add_all(route.run)
        return together

    @property
    def mean_run(self) -> float:
        """How long the calls of all routes ran on average, in seconds; 0.0 without any."""
        count = sum(route.run.count for route in self.routes.values())
        return sum(route.run.total for route in self.routes.values()) / count if count else 0.0

    @property
    def outcomes(self) -> dict[str, int]:
        """How many calls ended in each way, all routes together."""
        return {
            outcome: sum(getattr(route, outcome) for route in self.routes.values())
            for outcome in OUTCOMES
        }

    @property
    def pending(self) -> int:
        """Calls that were submitted and have no outcome yet."""
        return self.submitted - sum(self.outcomes.values())
