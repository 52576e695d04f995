# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Waiting is bounded: a number of calls, and nothing large of those that wait."""

from __future__ import annotations

import asyncio
import os
import resource
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy
import pytest
from agents import shared_pool
from rays import ray_pool
from waiting import until
from worker_functions import hold

from genro_executor_plugin import (
    ExecutorConfigError,
    ExecutorOverloadError,
    ProcessExecutor,
    ThreadExecutor,
)

KINDS: dict[str, Any] = {
    "process": ProcessExecutor,
    "thread": ThreadExecutor,
    "nats": shared_pool,
    "ray": ray_pool,
}


@pytest.fixture(params=KINDS)
async def make_pool(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    made: list[Any] = []

    def make(**options: Any) -> Any:
        made.append(KINDS[request.param]("p", **options))
        return made[-1]

    yield make
    for pool in made:
        await pool.shutdown()


def size_of(value: bytes) -> int:
    return len(value)


def segments() -> int:
    """How many descriptors of shared memory this process has."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += "memfd:genro-executor" in os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            continue
    return found


@pytest.mark.parametrize(("options", "places"), [({}, 20), ({"max_waiting": 3}, 3)])
async def test_a_bounded_number_of_calls_waits_and_the_others_are_refused(
    make_pool: Any, gate: Any, options: dict[str, Any], places: int
) -> None:
    pool = make_pool(max_workers=1, max_pending=2, **options)
    calls = [asyncio.create_task(pool.submit(hold, gate.path)) for _ in range(2)]
    await gate.entered()
    calls += [asyncio.create_task(pool.submit(size_of, b"x")) for _ in range(places)]
    await asyncio.sleep(0)
    refused = [pool.submit(size_of, b"x") for _ in range(5)]
    for error in await asyncio.gather(*refused, return_exceptions=True):
        assert isinstance(error, ExecutorOverloadError)
        assert f"max_waiting is {places}" in str(error)
        assert error.reason == "waiting"
        assert error.retry_after
    metrics = pool.metrics
    assert (metrics["waiting"], metrics["max_waiting"]) == (places, places)
    assert (metrics["pending"], metrics["rejected"]) == (2 + places, 5)
    gate.release()
    await gate.entered()
    gate.release()
    await asyncio.gather(*calls)
    assert pool.metrics["waiting"] == 0


async def test_a_call_says_for_itself_how_many_may_wait(make_pool: Any, gate: Any) -> None:
    pool = make_pool(max_workers=1, max_pending=1)
    held = asyncio.create_task(pool.submit(hold, gate.path))
    await gate.entered()
    with pytest.raises(ExecutorOverloadError, match="max_waiting is 0"):
        await pool.options(max_waiting=0).submit(size_of, b"x")
    waiting = asyncio.create_task(pool.options(max_waiting=1).submit(size_of, b"x"))
    await until(lambda: pool.metrics["waiting"] == 1)
    with pytest.raises(ExecutorConfigError, match="max_waiting=-1"):
        pool.options(max_waiting=-1)
    gate.release()
    assert await waiting == 1
    await held


async def test_large_arguments_of_calls_that_wait_are_in_no_shared_memory(
    make: Any, gate: Any
) -> None:
    pool = make(max_workers=1, max_pending=2)
    held = asyncio.create_task(pool.submit(hold, gate.path))
    await gate.entered()
    before = segments()
    large = b"x" * 300_000
    calls = [asyncio.create_task(pool.submit(size_of, large)) for _ in range(15)]
    await until(lambda: pool.metrics["waiting"] == 14)
    assert segments() - before <= 2
    gate.release()
    assert await asyncio.gather(*calls) == [300_000] * 15
    await held


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """As many open files as are allowed for half of them to be in use already."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = [os.open("/dev/null", os.O_RDONLY) for _ in range(64)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * (opened[-1] - 8), limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for fd in opened:
        os.close(fd)


async def test_where_many_files_are_open_large_values_go_over_the_socket(
    make: Any, few_descriptors: None
) -> None:
    pool = make(max_workers=1)
    assert await pool.submit(size_of, b"x" * 1_000_000) == 1_000_000
    assert segments() == 0


async def test_a_finalizer_that_hangs_ends_nothing_else() -> None:
    """Neither the event loop nor the shutdown waits for it longer than the pool allows."""
    goes_on = threading.Event()
    pool = ThreadExecutor("p", max_workers=2, finalizer=goes_on.wait, shutdown_timeout=0.2)
    await pool.submit(size_of, b"x")
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    counting = asyncio.create_task(count())
    began = time.monotonic()
    await pool.shutdown()
    assert time.monotonic() - began < 25
    assert turns > 2
    counting.cancel()
    goes_on.set()


def count_of(value: list[Any]) -> int:
    return len(value)


NESTED: dict[str, Any] = {
    "bytes in a dict in a list": lambda: [{"a": b"x" * 2_000_000}],
    "many numbers": lambda: list(range(500_000)),
    "an array in a list": lambda: [numpy.zeros(1_000_000)],
}


@pytest.mark.parametrize("value", NESTED.values(), ids=NESTED)
async def test_what_is_large_inside_of_an_argument_is_not_packed_while_it_waits(
    make: Any, gate: Any, value: Any
) -> None:
    pool = make(max_workers=1, max_pending=1)
    held = asyncio.create_task(pool.submit(hold, gate.path))
    await gate.entered()
    before = segments()
    large = value()
    calls = [asyncio.create_task(pool.submit(count_of, large)) for _ in range(8)]
    await until(lambda: pool.metrics["waiting"] == 8)
    assert segments() == before
    gate.release()
    assert await asyncio.gather(*calls) == [len(large)] * 8
    await held
