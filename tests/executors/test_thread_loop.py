# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Coroutines in a pool of threads share one loop; calls from inside run where they are."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
import worker_functions as wf
from waiting import until

from genro_executor_plugin import ExecutorTimeoutError, ProcessExecutor, ThreadExecutor

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id")


@pytest.fixture
async def make() -> AsyncIterator[Any]:
    made: list[ThreadExecutor] = []

    def make(**options: Any) -> ThreadExecutor:
        made.append(ThreadExecutor("db", **options))
        return made[-1]

    yield make
    for executor in made:
        await executor.shutdown()


async def where() -> tuple[asyncio.AbstractEventLoop, str]:
    return asyncio.get_running_loop(), threading.current_thread().name


async def test_every_coroutine_of_a_pool_runs_on_one_loop_that_lasts(make: Any) -> None:
    pool = make(max_workers=2)
    loops = {await pool.submit(where) for _ in range(3)}
    assert len(loops) == 1
    loop, thread = loops.pop()
    assert loop is not asyncio.get_running_loop()
    assert thread == "genro-executor-db-loop"


async def test_a_function_that_returns_a_coroutine_has_it_awaited_on_the_same_loop(
    make: Any,
) -> None:
    pool = make(max_workers=1)
    assert await pool.submit(lambda: where()) == await pool.submit(where)


async def test_a_task_that_a_coroutine_leaves_behind_goes_on(make: Any) -> None:
    pool = make(max_workers=1)
    done = threading.Event()

    async def leave_a_task() -> Any:
        async def later() -> None:
            await asyncio.sleep(0.01)
            done.set()

        return asyncio.create_task(later())  # whoever has it keeps it alive

    task = await pool.submit(leave_a_task)
    assert await asyncio.to_thread(done.wait, 10)
    del task


async def test_a_coroutine_that_waits_is_woken_from_the_servers_loop(make: Any) -> None:
    """As where a handler in the server and one in the pool share a lock."""
    pool = make(max_workers=2)
    lock = asyncio.Semaphore(1)

    async def use() -> str:
        async with lock:
            return "had it"

    async with lock:
        call = asyncio.create_task(pool.submit(use))
        await until(lambda: bool(lock._waiters))
    assert await asyncio.wait_for(call, 40) == "had it"


async def test_coroutines_have_the_context_of_their_callers(make: Any) -> None:
    pool = make(max_workers=2)

    async def read() -> str:
        await asyncio.sleep(0)
        return request_id.get()

    async def call(name: str) -> Any:
        request_id.set(name)
        return await pool.submit(read)

    assert await asyncio.gather(call("a"), call("b")) == ["a", "b"]


async def test_no_more_than_max_workers_coroutines_run_at_a_time(make: Any) -> None:
    pool = make(max_workers=2)
    running = 0
    most = 0

    async def count() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1

    await asyncio.gather(*(pool.submit(count) for _ in range(6)))
    assert most == 2


async def test_the_initializer_and_the_finalizer_run_on_the_loop_too() -> None:
    seen = []

    async def initialize(what: str) -> None:
        seen.append((what, (await where())[1]))

    async def finalize() -> None:
        seen.append(("finalize", (await where())[1]))

    pool = ThreadExecutor("db", initializer=initialize, initargs=("open",), finalizer=finalize)
    await pool.submit(where)
    await pool.submit(where)
    await pool.shutdown()
    assert seen == [("open", "genro-executor-db-loop"), ("finalize", "genro-executor-db-loop")]


@pytest.mark.parametrize("ended", ["timeout", "cancel"])
async def test_a_coroutine_that_nobody_waits_for_is_cancelled(make: Any, ended: str) -> None:
    limit = {"timeout": 0.05, "abandon_on_timeout": True} if ended == "timeout" else {}
    pool = make(max_workers=1, **limit)
    begun, cancelled = threading.Event(), threading.Event()

    async def wait_for_ever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    call = asyncio.create_task(pool.submit(wait_for_ever))
    if ended == "timeout":
        with pytest.raises(ExecutorTimeoutError, match="it was cancelled"):
            await call
    else:
        assert await asyncio.to_thread(begun.wait, 10)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert await asyncio.to_thread(cancelled.wait, 10)
    await until(lambda: pool.metrics["running"] == 0)
    assert await pool.submit(wf.answer) == 42


async def test_the_loop_ends_with_its_pool_whatever_goes_on_in_a_thread(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make(max_workers=2, abandon_on_timeout=True)
    await pool.submit(where)
    released = threading.Event()
    with pytest.raises(ExecutorTimeoutError):
        await pool.options(timeout=0.05).submit(released.wait)
    (loop,) = [one for one in threading.enumerate() if one.name == "genro-executor-db-loop"]
    try:
        await pool.shutdown(wait=False)
        await until(lambda: not loop.is_alive())
    finally:
        released.set()
    gc.collect()
    assert "never retrieved" not in caplog.text


async def test_a_coroutine_that_exits_ends_its_call_and_not_the_loop(make: Any) -> None:
    pool = make(max_workers=1)

    async def leave() -> None:
        raise SystemExit(3)

    before = await pool.submit(where)
    with pytest.raises(RuntimeError, match=r"SystemExit\(3\)"):
        await pool.submit(leave)
    assert await pool.submit(where) == before


async def test_a_call_from_a_thread_of_the_pool_runs_there(make: Any) -> None:
    """Waiting for a place, it would wait for its own caller."""
    pool = make(max_workers=1)

    def outer() -> tuple[str, str]:
        return wf.thread_name(), asyncio.run(pool.submit(wf.thread_name))

    async with asyncio.timeout(30):
        first, second = await pool.submit(outer)
    assert first == second == "genro-executor-db-0"


@pytest.mark.parametrize("depth", [1, 3])
async def test_a_call_from_a_coroutine_of_the_pool_needs_no_place(make: Any, depth: int) -> None:
    pool = make(max_workers=2)

    async def outer(left: int) -> list[str]:
        names = [await pool.submit(wf.thread_name), (await pool.submit(where))[1]]
        return names + (await pool.submit(outer, left - 1) if left > 1 else [])

    async with asyncio.timeout(30):
        everything = await asyncio.gather(*(pool.submit(outer, depth) for _ in range(4)))
    for names in everything:
        assert names == ["genro-executor-db-nested", "genro-executor-db-loop"] * depth


async def test_a_stream_from_a_thread_of_the_pool_runs_there(make: Any) -> None:
    pool = make(max_workers=1)

    async def collected() -> list[Any]:
        return [value async for value in pool.stream(range, 3)]

    async with asyncio.timeout(30):
        assert await pool.submit(collected) == [0, 1, 2]


async def test_a_bypassed_pool_keeps_one_loop_as_well() -> None:
    pool = ProcessExecutor("pdf", bypass=True)
    try:
        assert await pool.submit(loop_name) == await pool.submit(loop_name)
    finally:
        await pool.shutdown()


async def loop_name() -> int:
    return id(asyncio.get_running_loop())


async def quick() -> int:
    return 1


goes_on = threading.Event()
"""Lets what hangs end behind a test."""


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def leave_a_task_that_hangs() -> Any:
    async def hang() -> None:
        try:
            await wait_for_ever()
        finally:
            goes_on.wait()

    task = asyncio.create_task(hang())
    await asyncio.sleep(0)
    return task


async def leave_a_generator_that_hangs() -> Any:
    async def generate() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            goes_on.wait()

    generator = generate()
    await anext(generator)
    return generator


@pytest.mark.parametrize(
    ("leave", "options"),
    [
        (quick, {"finalizer": goes_on.wait}),
        (quick, {"finalizer": wait_for_ever}),
        (leave_a_task_that_hangs, {}),
        (leave_a_generator_that_hangs, {}),
    ],
    ids=["a finalizer that blocks", "a finalizer that waits", "a task", "a generator"],
)
async def test_what_hangs_at_the_pools_end_is_left_behind(
    make: Any, caplog: Any, leave: Any, options: dict[str, Any]
) -> None:
    """The event loop does not wait for it at all, and the shutdown as long as the pool allows."""
    pool = make(max_workers=1, shutdown_timeout=0.2, **options)
    goes_on.clear()
    left = await pool.submit(leave)
    began = time.monotonic()
    try:
        await asyncio.wait_for(pool.shutdown(), 40)
    finally:
        goes_on.set()
    assert time.monotonic() - began < 25
    assert "has not ended after 0.2 s, its shutdown_timeout" in caplog.text
    del left
