# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools that are steered while they work: paused, drained, restarted, looked at."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import worker_functions as wf
from agents import shared_pool
from rays import ray_pool
from waiting import is_dead, until

from genro_executor_plugin import (
    BaseExecutor,
    ExecutorOverloadError,
    ExecutorTimeoutError,
    InlineExecutor,
    ProcessExecutor,
    ThreadExecutor,
    WorkerCrashedError,
)

KINDS: dict[str, Callable[..., BaseExecutor]] = {
    "process": lambda **options: ProcessExecutor("pool", **options),
    "thread": lambda **options: ThreadExecutor("pool", **options),
    "inline": lambda **options: InlineExecutor("pool", **options),
    "nats": shared_pool,
    "ray": ray_pool,
}


@pytest.fixture(params=KINDS)
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[BaseExecutor]:
    executor = KINDS[request.param](max_workers=2, max_pending=5)
    yield executor
    await executor.shutdown()


async def turns(count: int = 20) -> None:
    """Let the event loop go round, as it does when something could happen."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_paused_pool_begins_nothing_and_forgets_nothing(
    pool: BaseExecutor, gate: Any
) -> None:
    running = asyncio.create_task(pool.submit(wf.hold, gate.path, "was running"))
    await gate.entered()
    pool.pause()
    assert pool.paused
    assert pool.unhealthy == "it is paused"
    waiting = [asyncio.create_task(pool.submit(wf.echo, n)) for n in range(4)]
    refused = pool.options(on_overload="fail").submit(wf.answer)
    await turns()
    with pytest.raises(ExecutorOverloadError):
        await refused  # those that wait are admitted: max_pending counts them
    gate.release()
    assert await running == "was running"
    await turns()
    assert not any(task.done() for task in waiting)
    pool.resume()
    assert await asyncio.gather(*waiting) == [0, 1, 2, 3]
    assert pool.unhealthy is None


async def test_a_pool_that_is_paused_before_its_first_call(pool: BaseExecutor) -> None:
    pool.pause()
    call = asyncio.create_task(pool.submit(wf.answer))
    await turns()
    assert pool.metrics["running"] == 0
    pool.resume()
    assert await call == 42


async def test_the_queue_timeout_goes_on_while_a_pool_is_paused(pool: BaseExecutor) -> None:
    pool.pause()
    with pytest.raises(ExecutorOverloadError, match="queue_timeout"):
        await pool.options(queue_timeout=0.05).submit(wf.answer)
    pool.resume()


async def test_a_paused_pool_shuts_down(pool: BaseExecutor) -> None:
    assert await pool.submit(wf.answer) == 42
    pool.pause()
    await pool.shutdown()
    assert pool.unhealthy == "it is shut down"


async def test_a_drained_pool_refuses_finishes_and_comes_back(
    pool: BaseExecutor, gate: Any
) -> None:
    calls = [asyncio.create_task(pool.submit(wf.hold, gate.path, n)) for n in range(2)]
    for _ in calls:
        await gate.entered()
    drained = asyncio.create_task(pool.drain())
    await turns()
    assert not drained.done()
    assert pool.draining
    with pytest.raises(ExecutorOverloadError, match="is drained"):
        await pool.submit(wf.answer)
    gate.release()
    await drained
    assert await asyncio.gather(*calls) == [0, 1]
    assert pool.unhealthy == "it is drained and refuses calls"
    pool.resume()
    assert await pool.submit(wf.answer) == 42


async def test_drain_of_an_empty_pool_returns_at_once(pool: BaseExecutor) -> None:
    await pool.drain()
    pool.resume()
    assert await pool.submit(wf.answer) == 42


async def test_who_looks_at_the_workers_sees_what_they_do(make: Any, gate: Any) -> None:
    pool = make(max_workers=2)
    call = asyncio.create_task(pool.submit(wf.hold, gate.path))
    pid = await gate.entered()
    (busy,) = pool.worker_states()
    assert (busy.pid, busy.state, busy.running, busy.calls) == (pid, "busy", 1, 1)
    assert busy.function == "worker_functions.hold"
    assert busy.running_seconds > 0
    assert 2**20 < busy.memory_bytes < 2**33
    gate.release()
    await call
    (idle,) = pool.worker_states()
    assert (idle.pid, idle.state, idle.function) == (pid, "idle", None)


async def test_a_restart_replaces_every_worker_and_loses_no_call(make: Any, gate: Any) -> None:
    pool = make(max_workers=2)
    calls = [asyncio.create_task(pool.submit(wf.hold, gate.path, n)) for n in range(2)]
    before = {await gate.entered() for _ in calls}
    restarting = asyncio.create_task(pool.restart())
    await until(lambda: len(pool.pids) == 4)  # the new ones are up, the old ones still work
    waiting = [asyncio.create_task(pool.submit(wf.pid)) for _ in range(3)]
    assert before.isdisjoint(await asyncio.gather(*waiting))
    assert not restarting.done()
    gate.release()
    assert await asyncio.gather(*calls) == [0, 1]
    await restarting
    assert before.isdisjoint(pool.pids)
    assert pool.restarts == {"restart": 2}
    assert pool.metrics["restarts"] == 2


async def test_a_restart_with_workers_that_cannot_start_keeps_the_old_ones(
    make: Any, tmp_path: Any
) -> None:
    flag = tmp_path / "may start"
    flag.touch()
    pool = make(max_workers=1, initializer=wf.initialize_if_there, initargs=(str(flag),))
    old = await pool.submit(wf.pid)
    flag.unlink()
    with pytest.raises(WorkerCrashedError, match="cannot start a worker"):
        await pool.restart()
    assert "cannot start a worker" in str(pool.start_error)
    assert await pool.submit(wf.pid) == old
    flag.touch()
    await until(lambda: pool.start_error is None)  # it tries again by itself
    assert await pool.submit(wf.pid) != old


async def test_one_worker_is_killed_by_hand(make: Any, gate: Any) -> None:
    pool = make(max_workers=2)
    calls = [asyncio.create_task(pool.submit(wf.hold, gate.path, n)) for n in range(2)]
    pids = [await gate.entered() for _ in calls]
    assert not pool.kill_worker(os.getpid())
    assert pool.kill_worker(pids[0])
    await until(lambda: is_dead(pids[0]))
    gate.release()
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    (killed,) = [outcome for outcome in outcomes if not isinstance(outcome, int)]
    assert isinstance(killed, WorkerCrashedError)
    assert "on request" in str(killed)
    assert pool.restarts == {"killed": 1}
    assert await pool.submit(wf.answer) == 42


async def test_a_warm_pool_is_healthy_while_a_worker_is_up_and_restarts_the_others(
    make: Any,
) -> None:
    pool = make(max_workers=2, warm=True, timeout=0.3)
    assert pool.unhealthy == "none of its workers is up"
    await pool.warm()
    assert pool.unhealthy is None
    first, _ = pool.pids
    assert pool.kill_worker(first)
    assert pool.unhealthy is None, "the other one serves"
    await until(lambda: len(pool.pids) == 2 and first not in pool.pids)
    with pytest.raises(ExecutorTimeoutError):
        await pool.submit(wf.spin)
    await until(lambda: len(pool.pids) == 2)
    assert pool.unhealthy is None
    pool.resize(3)
    await until(lambda: len(pool.pids) == 3)
    assert pool.unhealthy is None
    pool.resize(1)
    await until(lambda: len(pool.pids) == 1)
    assert pool.unhealthy is None
    (only,) = pool.pids
    pool.kill_worker(only)
    assert pool.unhealthy == "none of its workers is up"
    await until(lambda: pool.unhealthy is None)


async def test_a_warm_pool_keeps_its_workers_though_they_are_idle(make: Any) -> None:
    pool = make(max_workers=2, warm=True, idle_timeout=0.05)
    await pool.warm()
    before = sorted(pool.pids)
    await asyncio.sleep(0.5)  # many times as long as a worker may be idle in another pool
    assert sorted(pool.pids) == before
    assert pool.unhealthy is None


async def test_what_the_faulthandler_wrote_is_a_note_of_the_error(make: Any) -> None:
    pool = make(max_workers=1)
    with pytest.raises(WorkerCrashedError, match="SIGSEGV") as caught:
        await pool.submit(wf.raise_signal, signal.SIGSEGV)
    (note,) = caught.value.__notes__
    assert "Fatal Python error: Segmentation fault" in note
    assert "raise_signal" in note


async def test_a_killed_worker_tells_its_memory(make: Any, gate: Any) -> None:
    pool = make(max_workers=1)
    call = asyncio.create_task(pool.submit(wf.hold, gate.path))
    pid = await gate.entered()
    assert pool.worker_states()[0].memory_bytes  # what was seen is remembered
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerCrashedError, match="MB when it was last looked at") as caught:
        await call
    assert 2**20 < caught.value.last_memory < 2**33
    assert 2**20 < caught.value.peak_memory < 2**33


async def test_an_old_worker_works_until_the_new_one_is_up(make: Any, tmp_path: Any) -> None:
    """Age and memory end a worker only when another one can take its calls."""
    flag = tmp_path / "may start"
    flag.touch()
    pool = make(
        max_workers=1,
        max_memory_per_child="1MB",
        initializer=wf.initialize_if_there,
        initargs=(str(flag),),
    )
    old = await pool.submit(wf.pid)
    flag.unlink()
    await until(lambda: pool.start_error is not None)
    assert await pool.submit(wf.pid) == old
    flag.touch()
    await until(lambda: is_dead(old))
    assert pool.restarts["max_memory"] == 1


async def test_a_worker_that_never_gets_ready_is_a_failed_start(make: Any) -> None:
    pool = make(max_workers=1, start_timeout=0.3, initializer=wf.wait_for_ever)
    with pytest.raises(WorkerCrashedError, match="start_timeout"):
        await pool.submit(wf.answer)
    assert "start_timeout" in pool.unhealthy
