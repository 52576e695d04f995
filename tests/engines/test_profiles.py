# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Samples of the calls of one route: whatever they do, wherever they run, and of no other calls."""

from __future__ import annotations

import asyncio
import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter
from typing import Any

import profiled
import pytest
from agents import pool_options
from waiting import PATIENCE_SECONDS, until

from genro_executor_plugin import (
    ExecutorConfigError,
    NatsExecutor,
    ProcessExecutor,
    RayExecutor,
    ThreadExecutor,
    WorkerCrashedError,
)
from genro_executor_plugin.engines.process import profiling
from genro_executor_plugin.executors import Call
from genro_executor_plugin.metrics.profiles import ProfileTarget, WorkerProfile

PATH = "bench/route"
SECONDS = 0.3


@pytest.fixture(autouse=True)
def workers_have_time_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profiling, "_GRACE_SECONDS", PATIENCE_SECONDS)


def pool_of(kind: str) -> Any:
    if kind == "threads":
        return ThreadExecutor("profiled", max_workers=3)
    if kind == "process with threads":
        return ProcessExecutor("profiled", max_workers=1, threads_per_worker=3)
    return ProcessExecutor("profiled", max_workers=2)


def call_of(pool: Any, func: Callable[..., Any], path: str = PATH) -> Call:
    return Call(func, (), {}, pool.check_call("a test", {}, route="route", path=path))


@asynccontextmanager
async def called_again_and_again(pool: Any, func: Any, path: str = PATH) -> AsyncIterator[None]:
    """Has ``func`` run all the time, as the route at ``path``; what it returns stays the same."""
    stopped = asyncio.Event()
    expected = await pool.run(call_of(pool, func, path))

    async def calls() -> None:
        while not stopped.is_set():
            assert await pool.run(call_of(pool, func, path)) == expected

    calling = asyncio.create_task(calls())
    try:
        yield
    finally:
        stopped.set()
        await calling


def lines_of(profiles: list[WorkerProfile]) -> Counter[tuple[str, ...]]:
    """The functions of each stack, and how many samples found it."""
    found: Counter[tuple[str, ...]] = Counter()
    for profile in profiles:
        for stack, count in profile.stacks.items():
            found[tuple(frame.function for frame in stack)] += count
    return found


KINDS = ("process", "process with threads", "threads")

IN_CHILD_TASKS = sys.version_info >= (3, 12)
"""Whether a task tells which call has started it."""


@pytest.mark.parametrize("kind", KINDS)
async def test_samples_are_where_the_time_goes(kind: str) -> None:
    """Of the calls of the route, also while another one runs in the same workers."""
    async with pool_of(kind) as pool, called_again_and_again(pool, profiled.other, "bench/other"):
        for func, most in (
            (profiled.computes, ("computes", "hot")),
            (profiled.sleeps, ("sleeps",)),
            (profiled.awaits, ("awaits", "inner", "hot") if IN_CHILD_TASKS else ("awaits",)),
            (profiled.awaits_once, ("awaits_once", "sleep")),
        ):
            async with called_again_and_again(pool, func):
                profiles = await pool.profile(ProfileTarget(PATH, func), SECONDS, 100)
            lines = lines_of(profiles)
            assert lines.most_common(1)[0][0] == most, lines
            assert all(stack[0] == func.__name__ for stack in lines), lines
            assert not any(profile.why_not or profile.dropped for profile in profiles)
            assert all(profile.looks + profile.missed <= 100 * SECONDS + 2 for profile in profiles)


@pytest.mark.parametrize("kind", KINDS)
async def test_native_code_that_keeps_the_interpreter_counts_for_its_time(kind: str) -> None:
    """Nobody can look meanwhile; the look behind it finds the line that has called it."""
    async with pool_of(kind) as pool, called_again_and_again(pool, profiled.keeps_the_interpreter):
        profiles = await pool.profile(
            ProfileTarget(PATH, profiled.keeps_the_interpreter), SECONDS, 100
        )
    lines = lines_of(profiles)
    match = re.match.__name__  # Python 3.15 has another one
    assert lines.most_common(1)[0][0] == ("keeps_the_interpreter", "matches", match), lines
    assert sum(profile.missed for profile in profiles) > 3
    assert lines.total() > 5


async def test_native_code_that_does_not_end_is_said_to_be_there() -> None:
    async with ProcessExecutor("profiled", max_workers=1) as pool:
        await pool.run(call_of(pool, profiled.cold))
        call = asyncio.create_task(pool.run(call_of(pool, profiled.never_ends)))
        await until(lambda: pool.metrics["running"] == 1)
        await asyncio.sleep(0.1)  # inside, and not on the way there
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(profiling, "_GRACE_SECONDS", 0.1)
            (profile,) = await pool.profile(ProfileTarget(PATH, profiled.never_ends), 0.2, 100)
        assert "native code" in profile.why_not
        assert not profile.stacks
        assert pool.kill_worker(profile.pid)
        with pytest.raises(WorkerCrashedError):
            await call


async def test_a_deep_stack_keeps_both_ends() -> None:
    async with ProcessExecutor("profiled", max_workers=1) as pool:
        async with called_again_and_again(pool, profiled.deep):
            (profile,) = await pool.profile(ProfileTarget(PATH, profiled.deep), 0.3, 100)
        stack = profile.stacks.most_common(1)[0][0]
        assert 190 < len(stack) <= 200  # less what of this package stands in between
        assert stack[0].line == stack[1].line != stack[-1].line


async def test_workers_that_begin_or_end_meanwhile_tell_what_they_can() -> None:
    """Those that come take samples; those that leave tell before; the killed hold up nobody."""
    target = ProfileTarget(PATH, profiled.computes)
    pool = ProcessExecutor("profiled", max_workers=1, max_tasks_per_child=10)
    async with pool, called_again_and_again(pool, profiled.computes):
        profiles = await pool.profile(target, 1.0, 100)
    assert len(profiles) >= 2, "one for each worker"
    assert profiles[0].stacks, "the first one has left, and told before"
    async with ProcessExecutor("profiled", max_workers=1) as pool:
        await pool.run(call_of(pool, profiled.cold))  # a worker is up
        profiling_ = asyncio.create_task(pool.profile(ProfileTarget(PATH, profiled.dies), 0.6, 100))
        await asyncio.sleep(0)  # it is asked
        while not profiling_.done():
            with pytest.raises(WorkerCrashedError):
                await pool.run(call_of(pool, profiled.dies))
        began = perf_counter()
        assert "ended before" in (await profiling_)[0].why_not
        assert perf_counter() - began < PATIENCE_SECONDS


async def test_a_function_that_travels_by_value_is_found_by_its_name() -> None:
    def made() -> int:
        return profiled.hot()

    pool = ProcessExecutor("profiled", max_workers=1)
    async with pool, called_again_and_again(pool, made):
        profiles = await pool.profile(ProfileTarget(PATH, made), SECONDS, 100)
    assert lines_of(profiles).most_common(1)[0][0] == (made.__qualname__, "hot")


@pytest.mark.parametrize("kind", ["process", "threads"])
async def test_nobody_who_waits_ends_the_samples(kind: str) -> None:
    """And the next one can ask at once; meanwhile a second one is refused."""
    async with pool_of(kind) as pool, called_again_and_again(pool, profiled.computes):
        target = ProfileTarget(PATH, profiled.computes)
        first = asyncio.create_task(pool.profile(target, 60.0, 100))
        await asyncio.sleep(0.05)
        with pytest.raises(ExecutorConfigError, match=f"is being profiled for route '{PATH}'"):
            await pool.profile(target)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        profiles = await pool.profile(target, 0.3, 100)
        assert lines_of(profiles)


@pytest.mark.parametrize(
    ("kind", "options"),
    [(NatsExecutor, pool_options("nats://127.0.0.1:1", "far")), (RayExecutor, {})],
)
async def test_calls_that_run_elsewhere_are_refused_by_capability(
    kind: Any, options: dict[str, Any]
) -> None:
    pool = kind("far", **options)
    with pytest.raises(ExecutorConfigError, match=f"'far' is a {pool.kind} pool: no samples"):
        await pool.profile(ProfileTarget(PATH, profiled.computes))
    await pool.shutdown()


async def test_what_is_too_long_or_too_often_is_refused() -> None:
    async with ProcessExecutor("profiled", max_workers=1) as pool:
        target = ProfileTarget(PATH, profiled.computes)
        for seconds, rate in ((61, 100), (0, 100), (True, 100), (float("nan"), 100), ("1", 100)):
            with pytest.raises(ExecutorConfigError, match=r"from 0\.1 to 60 s"):
                await pool.profile(target, seconds, rate)
        for rate in (0, 251, 1.5, True, "100"):
            with pytest.raises(ExecutorConfigError, match="from 1 to 250"):
                await pool.profile(target, 1.0, rate)
        assert await pool.profile(target, 0.1, 250) == []
