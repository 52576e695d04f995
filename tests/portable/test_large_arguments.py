# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Arguments that take long to be pickled: the event loop goes on, and they arrive whole."""

from __future__ import annotations

import asyncio
import sys
import time
from types import ModuleType
from typing import Any

import pytest

from genro_executor_plugin import SerializationError


class Slow:
    """Takes a while to be pickled."""

    def __reduce__(self) -> Any:
        time.sleep(0.3)
        return Slow, ()


def count_of(value: Any) -> int:
    return len(value)


@pytest.mark.parametrize(
    "make_value",
    [
        lambda: list(range(5_000_000)),
        lambda: {str(number): [number] for number in range(500_000)},
        lambda: {"rows": [{"a": number, "b": str(number)} for number in range(300_000)]},
        lambda: [bytearray(150_000_000)],
    ],
    ids=["a list", "a dict", "nested", "a buffer inside"],
)
async def test_the_event_loop_goes_on_while_large_arguments_are_pickled(
    make: Any, make_value: Any
) -> None:
    pool = make(max_workers=1)
    value = make_value()
    assert await pool.submit(count_of, value) == len(value)


async def test_what_is_pickled_slowly_is_pickled_on_a_thread_from_then_on(make: Any) -> None:
    pool = make(max_workers=1)
    await pool.submit(count_of, [Slow()])
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.01)
            turns += 1

    counting = asyncio.create_task(count())
    await asyncio.sleep(0)
    await pool.submit(count_of, [Slow()])
    assert turns > 2
    counting.cancel()


async def test_a_dict_that_changes_while_it_is_pickled_arrives_whole(make: Any) -> None:
    pool = make(max_workers=1)
    value = dict.fromkeys(range(1_000_000))
    calls = [asyncio.create_task(pool.submit(count_of, value)) for _ in range(2)]
    while not all(call.done() for call in calls):
        value[len(value)] = None
        await asyncio.sleep(0.001)
    for call in calls:
        assert 1_000_000 <= await call <= len(value)


async def test_an_argument_that_cannot_travel_is_named_in_a_large_call_too(make: Any) -> None:
    pool = make(max_workers=1)
    with pytest.raises(SerializationError, match=r"argument 'value' \(value\['lock'\]\)"):
        await pool.submit(count_of, {"data": b"x" * 1_000_000, "lock": sys._getframe()})


async def test_a_caller_that_is_cancelled_while_its_call_is_packed_leaves_nothing(
    make: Any,
) -> None:
    pool = make(max_workers=1)
    await pool.submit(count_of, b"")
    call = asyncio.create_task(pool.submit(count_of, list(range(2_000_000))))
    await asyncio.sleep(0.02)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert pool.metrics["pending"] == 0
    assert await pool.submit(count_of, b"xx") == 2


class Sentinel:
    """Compared by identity, as what a module has under a name."""


SENTINEL = Sentinel()


def is_sentinel(value: Any) -> bool:
    return value is SENTINEL


async def test_looking_for_a_name_in_many_modules_does_not_hold_up_the_loop(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {f"name_{number}": Slow() for number in range(400)}
    for number in range(1000):
        module = ModuleType(f"one_of_many_{number}")
        vars(module).update(names)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    pool = make(max_workers=1)
    assert await pool.submit(is_sentinel, SENTINEL)
    # An object that no module has is looked for everywhere.
    with pytest.raises(SerializationError, match="no module has this one"):
        await pool.submit(is_sentinel, object())
