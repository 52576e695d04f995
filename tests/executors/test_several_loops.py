# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools, and the long jobs of a server, are used from other event loops than their own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import worker_functions as wf
from agents import shared_pool
from genro_routes import route
from rays import ray_pool
from servers import built, until

from genro_executor_plugin import (
    ExecutorApplication,
    InlineExecutor,
    ProcessExecutor,
    ThreadExecutor,
)

KINDS: dict[str, Any] = {
    "process": ProcessExecutor,
    "thread": ThreadExecutor,
    "inline": InlineExecutor,
    "nats": shared_pool,
    "ray": ray_pool,
}


async def elsewhere(coroutine: Any) -> Any:
    """What ``coroutine`` returns on an event loop of its own."""
    return await asyncio.to_thread(asyncio.run, coroutine)


@pytest.mark.parametrize("kind", KINDS)
async def test_calls_of_another_loop_run_on_the_loop_of_the_pool(kind: str, gate: Any) -> None:
    pool = KINDS[kind]("pool", max_workers=1, max_pending=1)
    try:
        held = asyncio.create_task(pool.submit(wf.hold, gate.path))
        await gate.entered()
        waiting = asyncio.create_task(elsewhere(pool.submit(wf.add, 1)))
        await until(lambda: pool.metrics["submitted"] == 2)
        gate.release()
        assert await held == "released"
        assert await waiting == 2
        with pytest.raises(wf.Stubborn):
            await elsewhere(pool.submit(wf.fail_stubbornly))

        async def numbers() -> list[int]:
            return [n async for n in pool.stream(wf.numbers, 40)]

        assert await elsewhere(numbers()) == [*range(40)]
        assert await pool.submit(wf.answer) == 42
    finally:
        await pool.shutdown()


@pytest.mark.parametrize("kind", ["process"])
async def test_a_cancellation_on_another_loop_ends_the_call(kind: str, gate: Any) -> None:
    pool = KINDS[kind]("pool", max_workers=1)

    async def hurried() -> None:
        async with asyncio.timeout(0.2):
            await pool.submit(wf.hold, gate.path)

    try:
        await pool.submit(wf.answer)
        with pytest.raises(TimeoutError):
            await elsewhere(hurried())
        await until(lambda: not pool.metrics["pending"])
        assert await pool.submit(wf.answer) == 42
    finally:
        await pool.shutdown()


class Nested(ExecutorApplication):
    mount = "nested"

    @route(executor="th")
    async def report(self, path: str) -> str:
        return await self.executor.run_process(wf.hold, path)

    @route(executor="cpu")
    def innocent(self) -> str:
        return "well"


async def test_a_coroutine_on_a_thread_takes_no_pool_away_from_its_server(gate: Any) -> None:
    pools = {"cpu": {"max_workers": 2}, "th": {"executor_type": "thread", "max_workers": 4}}
    async with built(Nested, executors=pools) as server:
        node = server.applications["nested"].route.node
        report = asyncio.create_task(node("report")(gate.path))
        await gate.entered()
        assert await node("innocent")() == "well"
        gate.release()
        assert await report == "released"
        assert await node("innocent")() == "well"


class Jobs(ExecutorApplication):
    mount = "jobs"


async def test_a_job_is_waited_for_on_another_loop(tmp_path: Path, gate: Any) -> None:
    options = {"executors": {"work": {"max_workers": 1}}}
    settings = {"path": str(tmp_path / "store"), "pool": "work"}
    async with built(Jobs, long_tasks=settings, **options) as server:
        tasks = server.applications["jobs"].tasks
        job = await tasks.submit(wf.hold, gate.path, "done")
        await gate.entered()
        with pytest.raises(TimeoutError):
            await elsewhere(tasks.result(job, 0.2))
        here = asyncio.create_task(tasks.result(job, 20))
        there = asyncio.create_task(elsewhere(tasks.result(job, 20)))
        gate.release()
        assert await here == "done"
        assert await there == "done"
