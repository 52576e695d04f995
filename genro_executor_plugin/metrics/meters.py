# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The metrics of pools and of long jobs for OpenTelemetry, where its metrics are loaded.

Nothing here imports it unless it is loaded already. What a pool has counted is read when it is
collected, on the pool's own event loop, because collecting happens on a thread of the SDK.
Only the durations are recorded call by call: OpenTelemetry has no histogram that is observed.
Without a provider of meters nothing is collected, and recording does nothing.
"""

from __future__ import annotations

import asyncio
import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from functools import cache, partial
from typing import Any, TypeVar
from weakref import WeakSet

from ..errors import ExecutorError
from .counters import BUCKETS, OUTCOMES

__all__ = ["Meters", "loaded_meters"]

_MODULE = "opentelemetry.metrics"

_PATIENCE_SECONDS = 1.0
"""How long a collection waits for an event loop; what that does not tell is left out."""

_KEPT_SECONDS = 0.5
"""A collection asks each instrument for itself; one reading is the answer to all of them."""

_COUNTERS = {
    "executor.calls": ("{call}", "Calls that ended, by how they ended."),
    "executor.rejections": ("{call}", "Calls that were refused, by reason."),
    "executor.worker.restarts": ("{restart}", "Workers that were replaced, by reason."),
    "executor.job.accepted": ("{job}", "Long jobs that were accepted."),
    "executor.job.rejected": ("{job}", "Long jobs that were refused."),
}
_CURRENT = {
    "executor.active_calls": ("{call}", "Calls that run."),
    "executor.queue.length": ("{call}", "Calls that wait for their run."),
    "executor.queue.limit": ("{call}", "Calls a pool admits, running ones included."),
    "executor.worker.count": ("{worker}", "Workers, by what they do."),
    "executor.worker.limit": ("{worker}", "Workers that the pool may have."),
    "executor.worker.memory": ("By", "Resident memory of a pool's workers together."),
    "executor.job.count": ("{job}", "Long jobs that are kept, by state."),
}
_GAUGES = {
    "executor.pool.healthy": ("1", "1 if the pool can serve calls, else 0."),
    "executor.job.oldest_wait": ("s", "How long the oldest job has waited that may begin."),
    "executor.job.schedule_lag": ("s", "How late the latest job is that waits for its time."),
}

_DURATIONS = {
    "executor.wait.duration": "How long calls waited before their run began.",
    "executor.run.duration": "How long calls ran.",
}

_Attributes = tuple[tuple[str, str], ...]
_Row = tuple[str, _Attributes, float]
_Reading = dict[tuple[str, _Attributes], float]

T = TypeVar("T")


def loaded_meters() -> Meters | None:
    """The instruments of this process; ``None`` if the metrics of OpenTelemetry are not loaded."""
    return _meters() if _MODULE in sys.modules else None


@cache
def _meters() -> Meters:
    return Meters()


class Meters:
    """The instruments, and what they read: pools and jobs, as long as those are in use."""

    def __init__(self) -> None:
        from opentelemetry import metrics

        meter = metrics.get_meter("genro_executor_plugin")
        self._observation = metrics.Observation
        self._pools: WeakSet[Any] = WeakSet()
        self._jobs: WeakSet[Any] = WeakSet()
        self._lock = threading.Lock()
        self._reading: tuple[float, _Reading] = (-_KEPT_SECONDS, {})
        for create, instruments in (
            (meter.create_observable_counter, _COUNTERS),
            (meter.create_observable_up_down_counter, _CURRENT),
            (meter.create_observable_gauge, _GAUGES),
        ):
            for name, (unit, description) in instruments.items():
                observe = partial(self._observe, name)
                create(name, callbacks=[observe], unit=unit, description=description)
        self._waited, self._ran = (
            meter.create_histogram(
                name,
                unit="s",
                description=description,
                explicit_bucket_boundaries_advisory=BUCKETS,
            )
            for name, description in _DURATIONS.items()
        )

    # -- what is measured -------------------------------------------------------------------------

    def watch_pool(self, pool: Any) -> None:
        """Tell of ``pool`` from now on."""
        with self._lock:
            self._pools.add(pool)

    def watch_jobs(self, jobs: Any) -> None:
        """Tell of the long jobs of a server from now on."""
        with self._lock:
            self._jobs.add(jobs)

    def ran(self, pool: str, route: str, waited: Any, ran: Any) -> None:
        """Record how long a call waited and ran; what an engine has said that is none is not."""
        attributes = {"executor.pool": pool}
        if _is_duration(waited) and _is_duration(ran):
            self._waited.record(waited, attributes)
            self._ran.record(ran, {**attributes, "executor.route": route})

    # -- what is collected ------------------------------------------------------------------------

    def _observe(self, name: str, _options: Any) -> Iterator[Any]:
        for (instrument, attributes), value in self._read().items():
            if instrument == name:
                yield self._observation(value, dict(attributes))

    def _read(self) -> _Reading:
        read_at, found = self._reading
        if time.monotonic() - read_at < _KEPT_SECONDS:
            return found
        with self._lock:
            pools, jobs = list(self._pools), list(self._jobs)
        rows = [row for pool in pools for row in _asked(pool.home.loop, partial(_of_pool, pool))]
        rows += [row for one in jobs for row in _of_jobs(one)]
        # Servers of one process may have pools of the same name: together they are one series.
        found = {}
        for name, attributes, value in rows:
            found[name, attributes] = found.get((name, attributes), 0) + value
        self._reading = (time.monotonic(), found)
        return found


def _is_duration(value: Any) -> bool:
    return isinstance(value, int | float) and 0.0 <= value < math.inf


def _asked(
    loop: asyncio.AbstractEventLoop | None, read: Callable[[], list[_Row]]
) -> Iterable[_Row]:
    """What ``read`` returns, run on ``loop`` if that runs; nothing if it does not come to it."""
    if loop is None or not loop.is_running() or loop is _here():
        return read()
    answer: Future[list[_Row]] = Future()

    def there() -> None:
        if answer.set_running_or_notify_cancel():
            try:
                answer.set_result(read())
            except Exception as error:
                answer.set_exception(error)

    try:
        loop.call_soon_threadsafe(there)
        return answer.result(_PATIENCE_SECONDS)
    except (TimeoutError, RuntimeError):  # it is busy, or was closed at this moment
        answer.cancel()
        return ()


def _here() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _of_pool(pool: Any) -> list[_Row]:
    metrics, counters, workers = pool.metrics, pool.counters, pool.worker_states()
    of_pool = (("executor.pool", pool.name),)
    states = Counter(worker.state for worker in workers)
    rows: list[_Row] = [
        ("executor.active_calls", of_pool, metrics["running"]),
        ("executor.queue.length", of_pool, metrics["queued"]),
        ("executor.queue.limit", of_pool, metrics["max_pending"]),
        ("executor.worker.limit", of_pool, metrics["max_workers"]),
        ("executor.worker.memory", of_pool, sum(worker.memory_bytes or 0 for worker in workers)),
        ("executor.pool.healthy", of_pool, int(pool.unhealthy is None)),
    ]
    rows += [
        ("executor.worker.count", (*of_pool, ("executor.worker.state", state)), states[state])
        for state in ("starting", "idle", "busy", "leaving")
    ]
    for route, found in counters.routes.items():
        of_route = (*of_pool, ("executor.route", route))
        for outcome in OUTCOMES:
            attributes = (*of_route, ("executor.outcome", outcome))
            rows.append(("executor.calls", attributes, getattr(found, outcome)))
    for name, counted in (
        ("executor.rejections", counters.rejections),
        ("executor.worker.restarts", pool.restarts),
    ):
        rows += [(name, (*of_pool, ("executor.reason", why)), n) for why, n in counted.items()]
    return rows


def _of_jobs(jobs: Any) -> list[_Row]:
    limits = jobs.limits
    rows: list[_Row] = [
        (name, (("executor.pool", pool),), count)
        for name, counts in (
            ("executor.job.accepted", limits.accepted),
            ("executor.job.rejected", limits.rejected),
        )
        for pool, count in list(counts.items())
    ]
    loop = jobs.loop
    if loop is None or not loop.is_running() or loop is _here():
        return rows  # the store is read by a coroutine, which nobody would wait for here
    asking = asyncio.run_coroutine_threadsafe(jobs.totals(), loop)
    try:
        totals = asking.result(_PATIENCE_SECONDS)
    except (TimeoutError, ExecutorError):
        asking.cancel()
        return rows
    if totals is not None:
        rows += [
            ("executor.job.count", (("executor.pool", pool), ("executor.job.state", state)), count)
            for (pool, state), count in totals.jobs.items()
        ]
        for name, seconds in (
            ("executor.job.oldest_wait", totals.oldest),
            ("executor.job.schedule_lag", totals.late),
        ):
            rows += [(name, (("executor.pool", pool),), value) for pool, value in seconds.items()]
    return rows
