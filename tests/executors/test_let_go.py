# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A call that fails keeps nothing it was given: not in the server, and not in its worker.

The collector is off: what is still there is held by a circle that only a collection would end.
"""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from agents import shared_pool
from let_go_functions import (
    Held,
    ends_its_process,
    gives_what_cannot_travel,
    left_here,
    raises,
    raises_async,
    sleeps,
    sleeps_async,
)
from rays import ray_pool
from waiting import until

from genro_executor_plugin import InlineExecutor, ProcessExecutor, ThreadExecutor

KINDS: dict[str, Any] = {
    "process": lambda **more: ProcessExecutor("pool", max_workers=1, **more),
    "threads": lambda **more: ProcessExecutor("pool", max_workers=1, threads_per_worker=2, **more),
    "thread": lambda **more: ThreadExecutor("pool", max_workers=1, **more),
    "inline": lambda **more: InlineExecutor("pool", max_workers=1, **more),
    "nats": lambda **more: shared_pool(max_workers=1, **more),
    "ray": lambda **more: ray_pool(max_workers=1, **more),
    "bypassed": lambda **more: ProcessExecutor("pool", max_workers=1, bypass=True, **more),
}


@pytest.fixture
def no_collection() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def outcome(call: Any) -> str:
    """The name of what ``call`` raises; nothing of the exception is kept."""
    try:
        await call
    except BaseException as error:
        return type(error).__name__
    return "returned"


async def _is_gone(held: list[Held]) -> None:
    ref = weakref.ref(held.pop())
    async with asyncio.timeout(30):
        await until(lambda: ref() is None)


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("function", [raises, raises_async, gives_what_cannot_travel])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_function_that_fails(kind: str, function: Any) -> None:
    pool = KINDS[kind]()
    try:
        held = [Held()]
        failed = await outcome(pool.submit(function, held[0]))
        if function is gives_what_cannot_travel:
            assert failed == ("returned" if kind == "thread" else "SerializationError")
        else:
            assert failed == "ValueError"
        await _is_gone(held)
        if kind in ("process", "threads"):
            async with asyncio.timeout(30):
                while await pool.submit(left_here):
                    pass
    finally:
        await pool.shutdown()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("function", [sleeps, sleeps_async])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_is_cancelled(kind: str, function: Any) -> None:
    pool = KINDS[kind]()
    try:
        held = [Held()]
        call = asyncio.create_task(outcome(pool.submit(function, held[0])))
        await until(lambda: pool.metrics["running"])
        call.cancel()
        assert await call == "CancelledError"
        del call
        await _is_gone(held)
        await until(lambda: not pool.metrics["running"])
    finally:
        await pool.shutdown()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_over_its_timeout(kind: str) -> None:
    more = {"abandon_on_timeout": True} if kind in ("thread", "inline") else {}
    pool = KINDS[kind](timeout=0.1, **more)
    try:
        held = [Held()]
        assert await outcome(pool.submit(sleeps, held[0])) == "ExecutorTimeoutError"
        await _is_gone(held)
        await until(lambda: not pool.metrics["running"])
    finally:
        await pool.shutdown()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("kind", ["process", "threads"])
async def test_a_crash(kind: str) -> None:
    pool = KINDS[kind]()
    try:
        held = [Held()]
        assert await outcome(pool.submit(ends_its_process, held[0])) == "WorkerCrashedError"
        await _is_gone(held)
    finally:
        await pool.shutdown()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "thread"])
async def test_an_argument_that_cannot_travel(kind: str) -> None:
    pool = KINDS[kind]()
    try:
        held = [Held()]
        held[0].refuses = True
        assert await outcome(pool.submit(raises, held[0])) == "SerializationError"
        await _is_gone(held)
    finally:
        await pool.shutdown()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_that_is_refused(kind: str) -> None:
    pool = KINDS[kind](max_pending=1, on_overload="fail")
    try:
        first = asyncio.create_task(outcome(pool.submit(time.sleep, 0.3)))
        await until(lambda: pool.metrics["pending"])
        held = [Held()]
        assert await outcome(pool.submit(raises, held[0])) == "ExecutorOverloadError"
        await _is_gone(held)
        held = [Held()]
        waiting = pool.options(on_overload="wait", queue_timeout=0.05)
        assert await outcome(waiting.submit(raises, held[0])) == "ExecutorOverloadError"
        await _is_gone(held)
        await first
    finally:
        await pool.shutdown()
    held = [Held()]
    assert await outcome(pool.submit(raises, held[0])) == "ExecutorClosedError"
    await _is_gone(held)
