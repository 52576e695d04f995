# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools of processes on uvloop, which treats sockets in its own way."""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop
import worker_functions as wf
from conftest import Gate
from waiting import until

from genro_executor_plugin import ExecutorTimeoutError, ProcessExecutor, WorkerCrashedError

Scenario = Callable[[ProcessExecutor], Coroutine[Any, Any, None]]


async def many_short_calls(pool: ProcessExecutor) -> None:
    for _ in range(5):
        assert await asyncio.gather(*(pool.submit(wf.echo, n) for n in range(200))) == [*range(200)]


async def large_values(pool: ProcessExecutor) -> None:
    values = [os.urandom(3_000_000) for _ in range(4)]
    for _ in range(3):
        assert await asyncio.gather(*(pool.submit(wf.echo, value) for value in values)) == values


async def more_than_a_socket_takes_at_once(pool: ProcessExecutor) -> None:
    values = [os.urandom(200_000) for _ in range(40)]
    assert await asyncio.gather(*(pool.submit(wf.echo_async, value) for value in values)) == values


async def a_timeout(pool: ProcessExecutor) -> None:
    with pytest.raises(ExecutorTimeoutError):
        await pool.options(timeout=0.1).submit(wf.spin)
    assert await pool.submit(wf.answer) == 42


async def limits_so_near_that_the_loop_sets_no_timer(pool: ProcessExecutor) -> None:
    await pool.submit(wf.answer)
    hurried = pool.options(timeout=0.0002)
    calls = (hurried.submit(wf.echo_async, n) for n in range(20))
    for n, outcome in enumerate(await asyncio.gather(*calls, return_exceptions=True)):
        assert outcome == n or isinstance(outcome, ExecutorTimeoutError | WorkerCrashedError)
    assert await pool.submit(wf.answer) == 42


async def a_cancelled_call(pool: ProcessExecutor) -> None:
    call = asyncio.create_task(pool.submit(wf.spin))
    await until(lambda: pool.metrics["running"])
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert await pool.submit(wf.answer) == 42


async def a_killed_worker(pool: ProcessExecutor) -> None:
    with tempfile.TemporaryDirectory() as folder:
        gate = Gate(f"{folder}/gate")
        await gate.open()
        call = asyncio.create_task(pool.submit(wf.hold, gate.path))
        # A call that has not begun would be made again, by another worker.
        os.kill(await gate.entered(), signal.SIGKILL)
        with pytest.raises(WorkerCrashedError):
            await call
        await gate.close()
    assert await pool.submit(wf.answer) == 42


async def a_stream(pool: ProcessExecutor) -> None:
    assert [n async for n in pool.stream(wf.numbers, 100)] == [*range(100)]


async def a_restart(pool: ProcessExecutor) -> None:
    before = await pool.submit(wf.pid)
    await pool.restart()
    assert await pool.submit(wf.pid) != before


SCENARIOS: tuple[Scenario, ...] = (
    many_short_calls,
    large_values,
    more_than_a_socket_takes_at_once,
    a_timeout,
    limits_so_near_that_the_loop_sets_no_timer,
    a_cancelled_call,
    a_killed_worker,
    a_stream,
    a_restart,
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_pool_works_on_uvloop(scenario: Scenario) -> None:
    async def main() -> None:
        pool = ProcessExecutor("pool", max_workers=1)
        try:
            await scenario(pool)
        finally:
            await pool.shutdown()
        counted = pool.metrics
        assert counted["pending"] == 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
