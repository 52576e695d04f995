# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Messages between a running call and the server's side of it, wherever the call runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import worker_functions as wf
from agents import shared_pool
from rays import ray_pool
from waiting import until

from genro_executor_plugin import (
    BaseExecutor,
    InlineExecutor,
    ProcessExecutor,
    ThreadExecutor,
)
from genro_executor_plugin.executors import Call, Message
from genro_executor_plugin.options.call import CallOptions
from genro_executor_plugin.worker.running import current

KINDS: dict[str, Callable[[], BaseExecutor]] = {
    "process": lambda: ProcessExecutor("pool", max_workers=1),
    "threads in a process": lambda: ProcessExecutor("pool", max_workers=1, threads_per_worker=2),
    "thread": lambda: ThreadExecutor("pool", max_workers=1),
    "inline": lambda: InlineExecutor("pool", max_workers=1),
    "nats": lambda: shared_pool(max_workers=1),
    "ray": lambda: ray_pool(max_workers=1),
}


@pytest.fixture(params=KINDS)
async def pool(request: pytest.FixtureRequest) -> AsyncIterator[BaseExecutor]:
    executor = KINDS[request.param]()
    yield executor
    await executor.shutdown()


def call_of(func: Callable[..., Any], *args: Any) -> tuple[Call, list[Any]]:
    heard: list[Any] = []
    call = Call(func, args, {}, CallOptions())
    call.on_message = lambda channel, value: heard.append((channel, value))
    return call, heard


@pytest.mark.parametrize("func", [wf.count_aloud, wf.count_aloud_async])
async def test_what_a_call_sends_arrives_in_order_before_its_result(
    pool: BaseExecutor, func: Any
) -> None:
    call, heard = call_of(func, 100)
    assert await pool.run(call) == 100
    assert heard == [("count", n) for n in range(100)]


@pytest.mark.parametrize("func", [wf.repeat_until_end, wf.repeat_until_end_async])
async def test_a_call_reads_what_it_is_told_while_it_runs(pool: BaseExecutor, func: Any) -> None:
    call, heard = call_of(func)
    run = asyncio.create_task(pool.run(call))
    await until(lambda: heard == [("ready", None)])
    assert pool.tell(call, "other", "passed over")
    for word in ("one", "two", "end"):
        assert pool.tell(call, "words", word)
    assert await run == ["one", "two", "end"]
    assert not pool.tell(call, "words", "too late")


async def test_a_call_in_the_line_cannot_be_told_anything(pool: BaseExecutor, gate: Any) -> None:
    held = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for _ in range(2)]
    await gate.entered()
    if pool.metrics["running"] == 2:
        await gate.entered()
    waiting, _ = call_of(wf.answer)
    run = asyncio.create_task(pool.run(waiting))
    await asyncio.sleep(0)
    assert not pool.tell(waiting, "words", "nobody hears this")
    gate.release()
    if pool.metrics["running"] < 2:
        await gate.entered()
    await until(lambda: (gate.release(), all(task.done() for task in held))[1])
    assert await run == 42


async def test_who_listens_to_a_pool_hears_every_call(pool: BaseExecutor) -> None:
    heard: list[Message] = []
    pool.listen("count", heard.append)
    call, own = call_of(wf.count_aloud, 2)
    await pool.run(call)
    await pool.submit(wf.count_aloud, 1)
    assert [(m.channel, m.value, m.pool) for m in heard] == [
        ("count", 0, "pool"),
        ("count", 1, "pool"),
        ("count", 0, "pool"),
    ]
    assert heard[0].call is call
    assert heard[0].pid == await pool.submit(wf.pid)
    assert own == []


async def test_a_listener_that_fails_fails_nobody_else(
    pool: BaseExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    def listener(message: Message) -> None:
        raise LookupError("deaf")

    pool.listen("count", listener)
    assert await pool.submit(wf.count_aloud, 1) == 1
    assert "a message of channel 'count' was lost" in caplog.text


async def test_what_outlives_its_call_sends_to_nobody(pool: BaseExecutor) -> None:
    call, heard = call_of(wf.leave_a_thread_that_sends)
    await pool.run(call)
    later, _ = call_of(wf.join_the_thread_that_sends)
    assert await pool.run(later) == "sent"
    assert heard == []


async def test_a_message_that_does_not_pickle_is_the_senders_error(pool: BaseExecutor) -> None:
    call, heard = call_of(wf.send_what_does_not_pickle)
    if pool.kind in ("thread", "inline"):
        await pool.run(call)
        assert len(heard) == 1
    else:
        with pytest.raises(Exception, match="pickle"):
            await pool.run(call)
        assert heard == []
    assert await pool.submit(wf.answer) == 42


def test_outside_of_a_call_there_is_none() -> None:
    assert current() is None
