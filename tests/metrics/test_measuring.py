# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is counted of every call: outcomes, durations, reasons, and the last errors."""

from __future__ import annotations

import asyncio
import math
import os
import signal
from itertools import accumulate
from typing import Any

import pytest
from apps.desk import Desk
from hypothesis import given
from hypothesis import strategies as st
from servers import serving
from worker_functions import answer, fail, hold

from genro_executor_plugin import (
    ExecutorOverloadError,
    ExecutorTimeoutError,
    ProcessExecutor,
    ThreadExecutor,
    WorkerCrashedError,
)
from genro_executor_plugin.metrics.counters import (
    BOUNDS,
    BUCKETS,
    OUTCOMES,
    Histogram,
    PoolMetrics,
    folded,
    quantile,
)
from genro_executor_plugin.metrics.incidents import Incidents


async def test_every_outcome_is_counted_with_its_reason(make: Any, gate: Any) -> None:
    """completed, failed, rejected, timed_out, crashed, cancelled: each once, in its place."""
    pool = make(max_workers=1, max_pending=2)
    await pool.submit(answer)
    with pytest.raises(ValueError, match="no such thing"):
        await pool.submit(fail, ValueError("no such thing"))
    with pytest.raises(ExecutorTimeoutError):
        await pool.options(timeout=1.0).submit(hold, gate.path)
    await gate.entered()

    held = asyncio.create_task(pool.submit(hold, gate.path))
    pid = await gate.entered()
    with pytest.raises(ExecutorOverloadError):
        await pool.options(queue_timeout=0.05).submit(answer)
    waiting = asyncio.create_task(pool.submit(answer))
    await asyncio.sleep(0)
    with pytest.raises(ExecutorOverloadError):
        await pool.options(on_overload="fail").submit(answer)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerCrashedError):
        await held

    counters = pool.counters
    expected = dict.fromkeys(OUTCOMES, 1) | {"rejected": 2}
    assert counters.outcomes == expected
    assert {outcome: getattr(counters.routes[""], outcome) for outcome in OUTCOMES} == expected
    assert counters.rejections == {"queue_timeout": 1, "full": 1}
    assert pool.restarts == {"timeout": 1, "crash": 1}
    assert sum(counters.run.counts) == counters.run.count == counters.routes[""].run.count
    assert sum(counters.wait.counts) == counters.wait.count


async def test_what_a_closed_pool_refuses_is_counted(make: Any) -> None:
    pool = make(max_workers=1)
    await pool.shutdown()
    for _ in range(2):
        with pytest.raises(Exception, match="is shut down"):
            await pool.submit(answer)
    assert pool.counters.rejections == {"closed": 2}


async def test_restarts_are_still_known_when_the_pool_is_gone(make: Any, gate: Any) -> None:
    pool = make(max_workers=1)
    held = asyncio.create_task(pool.submit(hold, gate.path))
    os.kill(await gate.entered(), signal.SIGKILL)
    with pytest.raises(WorkerCrashedError):
        await held
    await pool.shutdown()
    assert pool.restarts == {"crash": 1}
    assert pool.metrics["restarts"] == 1


async def test_the_calls_of_a_route_are_counted_under_its_path() -> None:
    async with serving(Desk, executors={"pdf": {"max_workers": 1}}) as site:
        for path in ("report", "drawer/papers", "drawer/box/deep", "attic/trunk"):
            await site.json(f"/desk/{path}")
            metrics = site.server.get_executor("pdf").counters.routes[f"desk/{path}"]
            assert metrics.completed == metrics.run.count == 1


@pytest.mark.parametrize("kind", [ProcessExecutor, ThreadExecutor])
async def test_an_error_is_remembered_with_its_traceback(kind: Any) -> None:
    pool = kind("pool", max_workers=1)
    try:
        for _ in range(3):
            with pytest.raises(ValueError, match="no such thing"):
                await pool.submit(fail, ValueError("no such thing"))
    finally:
        await pool.shutdown()
    (incident,) = pool.counters.incidents.latest_first
    assert (incident.outcome, incident.type_name, incident.count) == ("failed", "ValueError", 3)
    assert "fail" in incident.function
    assert "worker_functions.py" in incident.traceback
    assert "raise error" in incident.traceback
    assert incident.first_at <= incident.last_at


def test_incidents_are_bounded_and_the_latest_come_first() -> None:
    incidents = Incidents()
    for number in range(500):
        incidents.add("failed", "app/route", "f", ValueError(chr(0x4E00 + number) * 10_000))
    assert len(incidents) == 50
    latest, *_, oldest = incidents.latest_first
    assert latest.message.endswith(chr(0x4E00 + 499))
    assert oldest.message.endswith(chr(0x4E00 + 450))
    assert len(latest.message) <= 2_000


def test_errors_that_differ_in_numbers_only_are_one() -> None:
    incidents = Incidents()
    for pid in (17, 4711):
        incidents.add("crashed", "app/route", "f", WorkerCrashedError(f"worker {pid} died"))
    (incident,) = incidents.latest_first
    assert (incident.type_name, incident.message, incident.count) == (
        "WorkerCrashedError",
        "worker 4711 died",
        2,
    )


def test_an_incident_keeps_no_exception_alive() -> None:
    import weakref

    class Kept(Exception):
        pass

    incidents, error = Incidents(), Kept("once")
    gone = weakref.ref(error)
    incidents.add("failed", "", "f", error)
    del error
    assert gone() is None


def test_an_error_without_a_text_is_remembered_all_the_same() -> None:
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no words")

    incidents = Incidents()
    incidents.add("failed", "", "f", Mute())
    assert incidents.latest_first[0].message == "(its message cannot be read: RuntimeError)"


DURATIONS = st.floats(2e-5, 86400.0)


@given(st.lists(DURATIONS, min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_quantile_is_right_within_5_percent(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    assert histogram.count == len(values)
    assert histogram.total == pytest.approx(sum(values))
    true = sorted(values)[max(0, math.ceil(share * len(values)) - 1)]
    assert quantile(histogram.counts, share) == pytest.approx(true, rel=0.05)


@pytest.mark.parametrize("seconds", [0.0, 1e-7, 0.006, 0.026, 0.51, 3600.0, 1e7])
def test_a_quantile_of_equal_runs_is_their_duration(seconds: float) -> None:
    """A median of 510 ms is none of 750, and an hour is no 300 s."""
    histogram = Histogram()
    for _ in range(16):
        histogram.add(seconds)
    for share in (0.5, 0.95, 0.99):
        shown = quantile(histogram.counts, share)
        if 2e-5 <= seconds < BOUNDS[-1]:
            assert shown == pytest.approx(seconds, rel=0.05)
        else:
            assert shown in (BOUNDS[0] / 2, BOUNDS[-1])


@given(st.lists(st.one_of(DURATIONS, st.sampled_from(BUCKETS)), max_size=100))
def test_what_prometheus_is_told_counts_each_duration_once(values: list[float]) -> None:
    """Also one that is a bound itself: the bound belongs to its bucket."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    told = folded(histogram.counts)
    assert len(told) == len(BUCKETS) + 1
    below = list(accumulate(told))
    assert below[:-1] == [sum(value <= bound for value in values) for bound in BUCKETS]
    assert below[-1] == len(values)


def test_there_is_no_quantile_of_nothing() -> None:
    assert quantile(Histogram().counts, 0.5) is None


def test_counters_balance() -> None:
    counters = PoolMetrics()
    counters.submitted = 5
    for outcome in ("failed", "rejected", "crashed"):
        counters.count("a/b", outcome)
    assert counters.pending == 2
