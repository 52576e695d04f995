# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is counted of every call: outcomes, durations, reasons, and the last errors."""

from __future__ import annotations

import asyncio
import os
import signal
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
    BUCKETS,
    OUTCOMES,
    Histogram,
    PoolMetrics,
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
        await pool.options(timeout=0.2).submit(hold, gate.path)
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


@given(st.lists(st.floats(0, 1000), min_size=1, max_size=200), st.floats(0.01, 1))
def test_a_quantile_lies_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    assert histogram.count == len(values)
    assert histogram.total == pytest.approx(sum(values))
    found = quantile(histogram.counts, share)
    assert found is not None
    true = sorted(values)[max(0, -(-share * len(values) // 1).__int__() - 1)]
    bounds = (0.0, *BUCKETS)
    index = next((i for i, bound in enumerate(BUCKETS) if true <= bound), None)
    if index is None:
        assert found == BUCKETS[-1]
    else:
        assert bounds[index] <= found <= bounds[index + 1] + 1e-12


def test_there_is_no_quantile_of_nothing() -> None:
    assert quantile(Histogram().counts, 0.5) is None


def test_counters_balance() -> None:
    counters = PoolMetrics()
    counters.submitted = 5
    for outcome in ("failed", "rejected", "crashed"):
        counters.count("a/b", outcome)
    assert counters.pending == 2
