# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The public executors, each in its plainest use: a call, a failure, and the end."""

from __future__ import annotations

import asyncio
import gc
import operator
import threading
import warnings

import pytest

from genro_executor_plugin import (
    BaseExecutor,
    ExecutorClosedError,
    ExecutorRegistry,
    InlineExecutor,
    LocalExecutor,
    ProcessExecutor,
    ThreadExecutor,
)


@pytest.mark.parametrize("kind", [InlineExecutor, ThreadExecutor, ProcessExecutor, LocalExecutor])
async def test_an_executor_answers_fails_and_ends(kind: type[BaseExecutor]) -> None:
    executor = kind("plain", max_workers=1)
    assert await executor.submit(pow, 2, 10) == 1024
    with pytest.raises(ZeroDivisionError):
        await executor.submit(operator.truediv, 1, 0)
    assert await executor.submit(pow, 2, 11) == 2048
    await executor.shutdown()
    with pytest.raises(ExecutorClosedError):
        await executor.submit(pow, 2, 10)


@pytest.mark.parametrize("kind", [InlineExecutor, ThreadExecutor, ProcessExecutor])
async def test_a_pool_ends_with_its_block(kind: type[BaseExecutor]) -> None:
    async with kind(max_workers=1) as executor:
        assert executor.name == "default"
        assert await executor.submit(pow, 2, 10) == 1024
        assert "closed" not in repr(executor)
    assert executor.closed
    assert repr(executor) == f"<{kind.__name__} 'default' closed mode={executor.mode}>"


def test_a_pool_with_options_says_which() -> None:
    bound = ProcessExecutor("pdf").options(timeout=5, retries=1)
    assert repr(bound) == "<<ProcessExecutor 'pdf' mode=process> options(timeout=5.0, retries=1)>"


@pytest.mark.parametrize("kind", [InlineExecutor, ThreadExecutor, ProcessExecutor])
async def test_a_shutdown_that_nobody_awaits_comes_all_the_same(kind: type[BaseExecutor]) -> None:
    executor = kind(max_workers=1)
    running = asyncio.create_task(executor.submit(pow, 2, 10))
    await asyncio.sleep(0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        executor.shutdown()
        gc.collect()
    assert await running == 1024  # what is admitted is finished
    with pytest.raises(ExecutorClosedError):
        await executor.submit(pow, 2, 11)
    await executor.shutdown(wait=False)
    await executor.shutdown()
    assert executor.metrics["workers"] == 0


def test_a_shutdown_without_an_event_loop_refuses_calls_and_ends_when_it_is_awaited() -> None:
    executor = ThreadExecutor()
    end = executor.shutdown()
    assert executor.closed
    asyncio.run(end)


async def test_a_shutdown_that_does_not_wait_is_done_at_once() -> None:
    executor = ThreadExecutor(max_workers=1)
    may_end = threading.Event()
    running = asyncio.create_task(executor.submit(may_end.wait))
    await asyncio.sleep(0)
    await executor.shutdown(wait=False)
    assert not running.done()
    may_end.set()
    assert await running is True
    await executor.shutdown()


async def test_a_registry_ends_all_of_its_pools_awaited_or_not() -> None:
    registry = ExecutorRegistry({"db": {"executor_type": "thread"}})
    assert repr(registry) == "<ExecutorRegistry pools=['blocking', 'cpu', 'db']>"
    pool = registry.get_or_create("db", "thread")
    assert await pool.submit(pow, 2, 10) == 1024
    registry.shutdown_all(wait=False)
    assert pool.closed
    await registry.shutdown_all()
    assert "closed" in repr(registry)
