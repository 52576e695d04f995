# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the process engine does beyond one call after the other."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import psutil
import pytest
import worker_functions as wf
from waiting import until

from genro_executor_plugin import (
    ExecutorConfigError,
    ExecutorRegistry,
    ExecutorTimeoutError,
    SoftTimeoutError,
    WorkerCrashedError,
)


async def test_coroutines_run_many_at_a_time_in_one_worker(make: Any, gate: Any) -> None:
    pool = make(max_workers=1)
    calls = [asyncio.create_task(pool.submit(wf.hold_async, gate.path, n)) for n in range(20)]
    pids = {await gate.entered() for _ in calls}
    assert len(pids) == 1
    assert pool.metrics["running"] == 20
    assert pool.metrics["busy"] == 1
    gate.release()
    assert await asyncio.gather(*calls) == list(range(20))


async def test_threads_of_a_worker_run_calls_side_by_side(make: Any, gate: Any) -> None:
    pool = make(max_workers=1, threads_per_worker=3)
    calls = [asyncio.create_task(pool.submit(wf.hold, gate.path, n)) for n in range(4)]
    pids = {await gate.entered() for _ in range(3)}
    assert len(pids) == 1
    assert pool.metrics["running"] == 3
    gate.release()
    await gate.entered()
    gate.release()
    assert await asyncio.gather(*calls) == [0, 1, 2, 3]


async def test_a_crash_accounts_for_every_call_that_was_in_the_worker(make: Any, gate: Any) -> None:
    pool = make(max_workers=1, threads_per_worker=3)
    calls = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for _ in range(3)]
    pids = {await gate.entered() for _ in calls}
    os.kill(pids.pop(), signal.SIGKILL)
    assert not pids
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(outcome).__name__ for outcome in outcomes] == ["WorkerCrashedError"] * 3
    assert pool.metrics["crashed"] == 3
    assert await pool.submit(wf.answer) == 42


@pytest.mark.parametrize("func", [wf.clean_up, wf.clean_up_async])
async def test_a_soft_timeout_lets_the_function_clean_up(make: Any, func: Any) -> None:
    pool = make(max_workers=1, soft_timeout=0.1, timeout=20)
    assert await pool.submit(func) == "cleaned up after 0.1 s"
    pid = pool.pids
    with pytest.raises(SoftTimeoutError):
        await pool.submit(wf.spin)
    assert pool.pids == pid  # nobody was killed
    assert await pool.submit(wf.answer) == 42


async def test_a_function_that_ignores_its_soft_timeout_is_killed(make: Any) -> None:
    pool = make(max_workers=1, soft_timeout=0.1, timeout=0.4)
    with pytest.raises(ExecutorTimeoutError):
        await pool.submit(wf.ignore_the_soft_timeout)


async def test_calls_sent_ahead_survive_the_worker_they_were_sent_to(make: Any, gate: Any) -> None:
    """Only what had begun fails; what never started goes to another worker."""
    pool = make(max_workers=1, max_pending=500)
    for _ in range(50):
        await pool.submit(wf.maybe_hold, None)  # the function shows to be short
    held = asyncio.create_task(pool.submit(wf.maybe_hold, gate.path))
    short = [asyncio.create_task(pool.submit(wf.maybe_hold, None)) for _ in range(100)]
    os.kill(await gate.entered(), signal.SIGKILL)
    with pytest.raises(WorkerCrashedError):
        await held
    assert await asyncio.gather(*short) == ["short"] * 100
    assert pool.metrics["crashed"] == 1


async def test_a_call_sent_ahead_does_not_wait_behind_a_long_one(make: Any, gate: Any) -> None:
    pool = make(max_workers=2, max_pending=500)
    for _ in range(50):
        await asyncio.gather(*(pool.submit(wf.maybe_hold, None) for _ in range(4)))
    held = asyncio.create_task(pool.submit(wf.maybe_hold, gate.path))
    short = [asyncio.create_task(pool.submit(wf.maybe_hold, None)) for _ in range(100)]
    await gate.entered()
    assert await asyncio.wait_for(asyncio.gather(*short), 40) == ["short"] * 100
    assert not held.done()
    gate.release()
    assert await held == "released"


async def test_a_call_sent_ahead_does_not_starve_behind_a_long_one(make: Any, gate: Any) -> None:
    """The other worker is sent calls ahead without end, and never free."""
    pool = make(max_workers=2, max_pending=500)
    for _ in range(5):
        await asyncio.gather(*(pool.submit(wf.slow_result_or_hold, None) for _ in range(4)))
    ends = asyncio.Event()
    under_way: set[asyncio.Task[Any]] = set()

    async def call_on_and_on() -> None:
        while not ends.is_set():
            call = asyncio.create_task(pool.submit(wf.slow_result_or_hold, None))
            under_way.add(call)
            await call
            under_way.discard(call)

    load = [asyncio.create_task(call_on_and_on()) for _ in range(24)]
    await asyncio.sleep(0.05)
    held = asyncio.create_task(pool.submit(wf.slow_result_or_hold, gate.path))
    await gate.entered()
    done, stuck = await asyncio.wait(set(under_way), timeout=30)
    gate.release()
    ends.set()
    await asyncio.gather(held, *load)
    assert not stuck
    assert len(done) == 24


async def test_a_pool_shrinks_to_its_minimum_when_it_is_idle(make: Any, gate: Any) -> None:
    pool = make(max_workers=3, min_workers=1, idle_timeout=0.05)
    calls = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for _ in range(3)]
    for _ in calls:
        await gate.entered()
    gate.release()
    await asyncio.gather(*calls)
    await until(lambda: pool.metrics["workers"] == 1)
    assert await pool.submit(wf.answer) == 42


async def test_a_worker_is_replaced_for_its_age_and_its_memory(make: Any) -> None:
    old = make(max_workers=1, max_lifetime=0.05)
    first = await old.submit(wf.pid)
    await until(lambda: old.metrics["restarts"] > 0)
    assert await old.submit(wf.pid) != first
    large = make(max_workers=1, max_memory_per_child="1MB")
    first = await large.submit(wf.pid)
    await until(lambda: not psutil.pid_exists(first))
    assert await large.submit(wf.answer) == 42


async def test_warm_workers_are_there_before_the_first_call() -> None:
    registry = ExecutorRegistry({"warm": {"max_workers": 2, "warm": True}, "cold": {}})
    await registry.warm()
    warm: Any = registry.get("warm")
    assert len(warm.pids) == 2
    assert registry.get("cold").metrics["workers"] == 0
    await registry.shutdown_all()


async def test_warming_tells_why_a_worker_cannot_start(make: Any) -> None:
    pool = make(max_workers=1, warm=True, initializer=wf.initialize_badly, initargs=("no model",))
    with pytest.raises(WorkerCrashedError, match="no model"):
        await pool.warm()
    assert "no model" in str(pool.start_error)


async def test_resize_changes_how_many_calls_run(make: Any, gate: Any) -> None:
    pool = make(max_workers=1)
    calls = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for _ in range(2)]
    await gate.entered()
    pool.resize(2)
    await gate.entered()
    pool.resize(1)
    assert pool.metrics["running"] == 2  # nothing that runs is ended
    gate.release()
    await asyncio.gather(*calls)
    await until(lambda: pool.metrics["workers"] == 1)
    with pytest.raises(ExecutorConfigError, match="max_workers=0"):
        pool.resize(0)


async def test_workers_have_the_name_the_priority_and_the_processors_asked_for(make: Any) -> None:
    pool = make(max_workers=1, nice=3, cpu_affinity=[min(os.sched_getaffinity(0))])
    worker = psutil.Process(await pool.submit(wf.pid))
    assert worker.name() == "genro:pool"
    assert f"pool pool of server {os.getpid()}" in " ".join(worker.cmdline())
    assert worker.nice() == psutil.Process().nice() + 3
    assert worker.cpu_affinity() == [min(os.sched_getaffinity(0))]


async def test_a_terminals_ctrl_c_does_not_reach_a_template_that_is_starting(make: Any) -> None:
    """It is out of the terminal's session before it has run a line."""
    pool = make(max_workers=1)
    before = set(psutil.Process().children())
    call = asyncio.create_task(pool.submit(os.getpid))
    await until(lambda: set(psutil.Process().children()) - before)
    (template,) = set(psutil.Process().children()) - before
    assert os.getsid(template.pid) == template.pid != os.getsid(0)
    await call
