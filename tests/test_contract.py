"""One contract for every kind of pool."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import worker_functions as wf

from genro_executor_plugin import (
    BaseExecutor,
    ExecutorClosedError,
    InlineExecutor,
    ProcessExecutor,
    ThreadExecutor,
)

KINDS = {
    "process": lambda **options: ProcessExecutor("pool", **options),
    "spawn": lambda **options: ProcessExecutor("pool", start_method="spawn", **options),
    "thread": lambda **options: ThreadExecutor("pool", **options),
    "inline": lambda **options: InlineExecutor("pool", **options),
}


@pytest.fixture(params=KINDS)
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    made: list[BaseExecutor] = []

    def make(**options: Any) -> BaseExecutor:
        made.append(KINDS[request.param](**options))
        return made[-1]

    yield make
    for executor in made:
        await executor.shutdown()


async def test_a_call_returns_what_the_function_returns(make: Any) -> None:
    pool = make(max_workers=2)
    assert await pool.submit(wf.add, 40, right=2) == 42


async def test_a_function_that_raises_raises_here(make: Any) -> None:
    pool = make(max_workers=1)
    with pytest.raises(ValueError, match="no good") as caught:
        await pool.submit(wf.fail, ValueError("no good", 3))
    assert caught.value.args == ("no good", 3)
    assert pool.metrics["failed"] == 1


async def test_after_shutdown_calls_are_refused(make: Any) -> None:
    pool = make(max_workers=1)
    await pool.submit(wf.answer)
    await pool.shutdown()
    with pytest.raises(ExecutorClosedError):
        await pool.submit(wf.answer)
