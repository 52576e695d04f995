# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Which calls a pool admits, which wait and which are refused: the real counters without a pool."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from genro_executor_plugin import ExecutorClosedError, ExecutorOverloadError
from genro_executor_plugin.engines.call import Call
from genro_executor_plugin.executors.admission import Admission
from genro_executor_plugin.metrics.counters import PoolMetrics
from genro_executor_plugin.options.call import CallOptions
from genro_executor_plugin.options.keys import key_of, place_of
from genro_executor_plugin.options.pool import PoolOptions


def admission(**options: Any) -> Admission:
    chosen = {"max_workers": 1, "max_pending": 2, "max_waiting": 2, **options}
    return Admission("p", PoolOptions(**chosen), PoolMetrics())


def call(**options: Any) -> Call:
    return Call(len, (), {}, CallOptions(**options))


def reason(door: Admission, one: Call) -> str:
    with pytest.raises(ExecutorOverloadError) as caught:
        door.admit(one)
    assert caught.value.pool == "p"
    return str(caught.value.reason)


async def waiting(door: Admission, one: Call) -> asyncio.Task[None]:
    assert not door.admit(one)
    task = asyncio.create_task(door.wait(one))
    await asyncio.sleep(0)
    return task


async def test_max_pending_calls_are_admitted_some_wait_and_the_others_are_refused() -> None:
    door = admission()
    assert door.admit(call())
    assert door.admit(call())
    assert not door.take()
    assert (door.admitted, door.waiting) == (2, 0)
    tasks = [await waiting(door, call()) for _ in range(2)]
    assert (door.admitted, door.waiting) == (2, 2)
    assert reason(door, call()) == "waiting"
    words = "has 2 calls, its max_pending, and 2 more wait; max_waiting is 2; try again in 1 s"
    with pytest.raises(ExecutorOverloadError, match=words):
        door.admit(call())
    door.leave()
    await tasks[0]
    assert (door.admitted, door.waiting) == (2, 1)
    assert not tasks[1].done()
    door.leave()
    await tasks[1]
    door.leave()
    assert (door.admitted, door.waiting) == (1, 0)
    assert door.take()
    assert door.admitted == 2


async def test_nobody_takes_the_place_of_one_who_waits() -> None:
    door = admission()
    assert door.take()
    assert door.take()
    task = await waiting(door, call())
    door.admitted -= 1  # as while a place is handed on
    assert not door.take()
    second = await waiting(door, call())
    door.admitted += 1
    door.leave()
    await task
    door.leave()
    await second


async def test_a_call_or_its_pool_may_say_that_it_does_not_wait() -> None:
    door = admission(on_overload="fail", max_pending=1)
    assert door.admit(call())
    assert reason(door, call()) == "full"
    with pytest.raises(ExecutorOverloadError, match="has 1 calls, its max_pending; try again"):
        door.admit(call())
    (await waiting(door, call(on_overload="wait"))).cancel()
    door = admission(max_pending=1)
    assert door.admit(call())
    assert reason(door, call(on_overload="fail")) == "full"
    assert reason(door, call(max_waiting=0)) == "waiting"
    task = await waiting(door, call(max_waiting=1))
    assert reason(door, call(max_waiting=1)) == "waiting"
    task.cancel()


async def test_whoever_waits_too_long_is_told_so_and_takes_no_place() -> None:
    door = admission(max_pending=1, queue_timeout=0.01)
    assert door.admit(call())
    with pytest.raises(
        ExecutorOverloadError, match=r"within its queue_timeout of 0\.01 s"
    ) as caught:
        await (await waiting(door, call()))
    assert caught.value.reason == "queue_timeout"
    assert door.waiting == 0
    own = call(queue_timeout=0.005)
    with pytest.raises(ExecutorOverloadError, match=r"within its queue_timeout of 0\.005 s"):
        await (await waiting(door, own))
    door.leave()
    assert door.admitted == 0
    assert "did not begin the call in time" in str(admission().waited_too_long(call()))


async def test_the_deadline_of_a_call_is_its_own_or_that_of_its_pool() -> None:
    loop = asyncio.get_running_loop()
    door = admission(queue_timeout=50.0)
    of_pool, own = call(), call(queue_timeout=7.0)
    before = loop.time()
    door.admit(of_pool)
    door.admit(own)
    after = loop.time()
    assert of_pool.deadline is not None
    assert own.deadline is not None
    assert before + 50 <= of_pool.deadline <= after + 50
    assert before + 7 <= own.deadline <= after + 7
    unlimited = call()
    admission().admit(unlimited)
    assert unlimited.deadline is None


async def test_a_place_that_came_too_late_is_handed_on() -> None:
    door = admission(max_pending=1)
    assert door.admit(call())
    first, second = await waiting(door, call()), await waiting(door, call())
    door.leave()
    first.cancel()  # it has been given the place, and does not know it yet
    await second
    assert first.cancelled() or ((await asyncio.wait([first])) and first.cancelled())
    assert (door.admitted, door.waiting) == (1, 0)


async def test_one_who_gives_up_waits_no_more() -> None:
    door = admission(max_pending=1)
    assert door.admit(call())
    first, second = await waiting(door, call()), await waiting(door, call())
    first.cancel()
    await asyncio.wait([first])
    assert door.waiting == 1
    door.leave()
    await second


async def test_a_pool_that_is_drained_or_closed_admits_nobody() -> None:
    door = admission(max_pending=1)
    door.draining = True
    assert reason(door, call()) == "draining"
    door.draining = False
    assert door.admit(call())
    task = await waiting(door, call())
    door.close()
    with pytest.raises(ExecutorClosedError, match="pool 'p' is shut down"):
        await task
    door.draining = True
    with pytest.raises(ExecutorClosedError):
        door.admit(call())
    with pytest.raises(ExecutorClosedError):
        await door.wait(call())
    door.leave()
    assert door.admitted == 0
    assert not door.take()
    assert door.admitted == 0


async def test_who_waits_for_an_empty_pool_is_told_when_it_is() -> None:
    door = admission(max_pending=1)
    await door.empty()
    assert door.admit(call())
    task = await waiting(door, call())
    seen = asyncio.create_task(door.empty())
    await asyncio.sleep(0)
    door.leave()
    await task
    await asyncio.sleep(0)
    assert not seen.done()
    door.leave()
    await asyncio.wait_for(seen, 5)
    door = admission(max_pending=1)
    assert door.admit(call())
    task = await waiting(door, call())
    door.admitted = 0  # only the one who waits is left
    seen = asyncio.create_task(door.empty())
    await asyncio.sleep(0)
    assert not seen.done()
    task.cancel()
    await asyncio.wait_for(seen, 5)


async def test_a_closed_pool_is_empty_when_nobody_is_admitted() -> None:
    door = admission(max_pending=1)
    assert door.admit(call())
    task = await waiting(door, call())
    seen = asyncio.create_task(door.empty())
    await asyncio.sleep(0)
    door.close()
    door.leave()
    await asyncio.wait_for(seen, 5)
    with pytest.raises(ExecutorClosedError):
        await task


async def test_those_who_look_are_told_to_look_again() -> None:
    door = admission()
    door.look()
    assert door.admit(call())
    seen = asyncio.create_task(door.empty())
    await asyncio.sleep(0)
    door.admitted = 0
    await asyncio.sleep(0)
    assert not seen.done()
    door.look()
    await asyncio.wait_for(seen, 5)


async def test_the_turn_of_a_key_must_be_allowed_to_wait() -> None:
    door = admission(queue_timeout=50.0)
    one = call()
    door.must_wait(one, 1, lambda: "has calls of that key")
    assert one.deadline is not None
    assert one.deadline > asyncio.get_running_loop().time() + 40
    for room, options, words in ((0, {}, "waiting"), (1, {"on_overload": "fail"}, "full")):
        with pytest.raises(ExecutorOverloadError, match="has calls of that key") as caught:
            door.must_wait(call(**options), room, lambda: "has calls of that key")
        assert caught.value.reason == words
    door.draining = True
    with pytest.raises(ExecutorOverloadError, match="is drained") as caught:
        door.must_wait(call(on_overload="fail"), 1, lambda: "has calls of that key")
    assert caught.value.reason == "draining"
    door.close()
    with pytest.raises(ExecutorClosedError):
        door.must_wait(call(on_overload="fail"), 1, lambda: "has calls of that key")


async def test_calls_with_a_key_are_admitted_by_the_turn_of_their_key() -> None:
    door = admission(max_workers=2, max_pending=4)
    # Which worker a key leads to is drawn anew in each process.
    places = {place_of(key_of(number), 2): key_of(number) for number in range(100)}
    for key in places.values():
        one = call(key=key)
        assert door.of_key(one).admit(one)
    assert (door.admitted, door.waiting) == (2, 0)
    again = [call(key=places[0]) for _ in range(2)]
    assert [door.of_key(one).admit(one) for one in again] == [True, False]
    task = asyncio.create_task(door.of_key(again[1]).wait(again[1]))
    await asyncio.sleep(0)
    assert (door.admitted, door.waiting) == (3, 1)
    door.close()
    with pytest.raises(ExecutorClosedError):
        await task


async def test_when_to_come_again_follows_from_the_queue_and_the_mean_run() -> None:
    counters = PoolMetrics()
    door = Admission("p", PoolOptions(max_workers=2), counters)
    assert door.retry_after == 1
    counters.submitted = 10
    counters.route("").run.add(3.0)
    assert door.retry_after == 15
    counters.submitted = 9
    assert door.retry_after == 14
