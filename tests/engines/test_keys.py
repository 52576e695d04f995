# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls with a key: they meet the same worker, one after the other if that is asked for."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from waiting import until

from genro_executor_plugin import (
    BaseExecutor,
    ExecutorClosedError,
    ExecutorConfigError,
    ExecutorOverloadError,
    ExecutorTimeoutError,
    InlineExecutor,
    ProcessExecutor,
    ThreadExecutor,
    WorkerCrashedError,
)
from genro_executor_plugin.options.keys import key_of, place_of

WORKERS = 3


def pid_of(name: object = None) -> int:
    return os.getpid()


def pids() -> Iterator[int]:
    yield os.getpid()


def mark(path: str, name: str) -> int:
    """Write begin and end of a run of ``name`` into ``path``, some time apart."""
    with open(path, "a") as file:
        file.write(f"begin {name}\n")
    time.sleep(0.01)
    with open(path, "a") as file:
        file.write(f"end {name}\n")
    return os.getpid()


async def mark_stubborn(path: str, name: str) -> None:
    """As ``mark``, by a coroutine that takes a while to end when it is told to."""
    with open(path, "a") as file:
        file.write(f"begin {name}\n")
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.1)
        with open(path, "a") as file:
            file.write(f"end {name}\n")


def hold(path: str) -> int:
    """Run until there is a file ``path``."""
    while not os.path.exists(path):
        time.sleep(0.002)
    return os.getpid()


def crash() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def of_place(place: int, places: int = WORKERS, begin: int = 0) -> str:
    """A key that leads to ``place``, another one for each ``begin``."""
    names = (f"{begin}-{number}" for number in range(10_000))
    return next(name for name in names if place_of(key_of(name), places) == place)


@pytest.fixture
async def pool() -> AsyncIterator[ProcessExecutor]:
    async with ProcessExecutor("keyed", max_workers=WORKERS, max_pending=12) as pool:
        yield pool


async def leave(pool: BaseExecutor) -> None:
    """Nothing is kept of keys when their calls have ended."""
    await until(lambda: not pool.metrics["pending"])
    turns: Any = pool._admission._turns
    assert (turns._shares, turns._admitted, turns.waiting) == ({}, {}, 0)


def test_a_key_leads_to_one_of_the_places_and_moves_only_where_it_must() -> None:
    """Keys are spread evenly; with one place more, the keys that move go there."""
    keys = [key_of(f"user-{number}") for number in range(4000)]
    before = [place_of(key, 8) for key in keys]
    after = [place_of(key, 9) for key in keys]
    assert all(400 < before.count(place) < 600 for place in range(8))
    assert all(old == new or new == 8 for old, new in zip(before, after, strict=True))
    assert {place_of(key, 1) for key in keys} == {0}


def test_a_key_is_its_text() -> None:
    number = uuid.uuid4()
    assert key_of(7) == key_of("7") == key_of(b"7")
    assert key_of(number) == key_of(str(number))
    assert key_of("\ud800") != key_of("\ud801")  # what no UTF-8 has


@pytest.mark.parametrize("value", [[1], {}, 1.5, object(), "x" * 5000, b"x" * 5000, 10**3000])
async def test_what_cannot_be_a_key_is_refused(pool: ProcessExecutor, value: Any) -> None:
    with pytest.raises(ExecutorConfigError, match=r"pool 'keyed': key=.* is not a text"):
        pool.options(key=value)


@pytest.mark.parametrize("kind", [ThreadExecutor, InlineExecutor])
async def test_other_kinds_refuse_keys(kind: Any) -> None:
    async with kind("other") as pool:
        for options in {"key": "ann"}, {"key": "ann", "key_serial": True}:
            with pytest.raises(ExecutorConfigError, match=r"'other'.*process pool"):
                pool.options(**options)


async def test_serial_needs_a_key(pool: ProcessExecutor) -> None:
    with pytest.raises(ExecutorConfigError, match="key_serial=True without a key"):
        pool.options(key_serial=True)
    keyed = pool.options(key="ann").options(key_serial=True)
    assert "ann" not in repr(keyed)
    assert await keyed.submit(pid_of)


async def test_calls_with_the_same_key_meet_the_same_worker(pool: ProcessExecutor) -> None:
    """Whatever else runs: plain calls, streams, other keys."""
    names = [of_place(place) for place in range(WORKERS)] + ["ann", "bob"]
    found: dict[str, set[int]] = {name: set() for name in names}
    for _ in range(3):
        others = [pool.submit(pid_of) for _ in range(20)]
        keyed = [pool.options(key=name).submit(pid_of) for name in names]
        answers = await asyncio.gather(*keyed, *others)
        for name, pid in zip(names, answers, strict=False):
            found[name].add(pid)
        async for pid in pool.options(key="ann").stream(pids):
            found["ann"].add(pid)
    assert all(len(pids) == 1 for pids in found.values())
    assert len(set.union(*found.values())) == WORKERS
    await leave(pool)


async def test_another_worker_comes_to_the_place_of_one_that_ended(pool: ProcessExecutor) -> None:
    """A crash, a restart, a resize: the keys meet the worker that comes, all of them the same."""
    here = of_place(0), of_place(0, begin=1)
    first = await pool.options(key=here[0]).submit(pid_of)
    other = await pool.options(key=of_place(1)).submit(pid_of)
    with pytest.raises(WorkerCrashedError):
        await pool.options(key=here[0]).submit(crash)
    second = await pool.options(key=here[0]).submit(pid_of)
    assert second not in (first, other)
    assert await pool.options(key=here[1]).submit(pid_of) == second
    assert await pool.options(key=of_place(1)).submit(pid_of) == other
    await pool.restart()
    third = await pool.options(key=here[0]).submit(pid_of)
    assert third not in (second, other)
    assert await pool.options(key=here[1]).submit(pid_of) == third
    pool.resize(1)
    pids = {await pool.options(key=f"any {n}").submit(pid_of) for n in range(8)}
    assert len(pids) == 1


async def test_recycled_workers_lose_no_call() -> None:
    async with ProcessExecutor("recycled", max_workers=2, max_tasks_per_child=4) as pool:
        calls = [pool.options(key=f"k{n % 5}").submit(pid_of, n) for n in range(13)]
        assert len(set(await asyncio.gather(*calls))) >= 4


async def test_a_call_waits_for_the_worker_of_its_key(
    pool: ProcessExecutor, tmp_path: Path
) -> None:
    """It waits at most as long as it may, its cancelled neighbour leaves, and others pass."""
    gate = tmp_path / "gate"
    key = pool.options(key=of_place(0))
    held = asyncio.create_task(key.submit(hold, str(gate)))
    await until(lambda: pool.metrics["running"] == 1)
    with pytest.raises(ExecutorOverloadError, match="queue_timeout"):
        await key.options(queue_timeout=0.02).submit(pid_of)
    left = asyncio.create_task(key.submit(pid_of))
    after = asyncio.create_task(key.submit(pid_of))
    await until(lambda: pool.metrics["queued"] == 2)
    left.cancel()
    others = [pool.options(key=of_place(1)).submit(pid_of), pool.submit(pid_of)]
    assert len(await asyncio.gather(*others)) == 2
    assert not after.done()
    gate.touch()
    await held
    assert await after == await key.submit(pid_of)
    with pytest.raises(asyncio.CancelledError):
        await left
    await leave(pool)


async def test_a_busy_key_leaves_the_other_workers_to_others(
    pool: ProcessExecutor, tmp_path: Path
) -> None:
    """It has its share of the places, and of those that wait; the rest are refused."""
    gate, busy = tmp_path / "gate", of_place(0)
    hot = [
        asyncio.create_task(pool.options(key=busy).submit(hold, str(gate))) for _ in range(40)
    ]  # 4 are admitted, and 20 of those that wait may have one key
    await until(lambda: sum(task.done() for task in hot) == 40 - 4 - 20)
    assert pool.metrics["waiting"] == 20
    refused = [task for task in hot if task.done()]
    assert all("that key" in str(task.exception()) for task in refused)
    with pytest.raises(ExecutorOverloadError):
        await pool.options(key=busy, on_overload="fail").submit(pid_of)
    other = await asyncio.gather(
        *(pool.options(key=of_place(1)).submit(pid_of) for _ in range(20)),
        *(pool.submit(pid_of) for _ in range(20)),
    )
    assert len(other) == 40
    # Another key of the same worker waits for its turn, and not behind all of them.
    neighbour = asyncio.create_task(pool.options(key=of_place(0, begin=1)).submit(pid_of))
    await until(lambda: pool.metrics["waiting"] == 21)
    gate.touch()
    await neighbour
    assert not all(task.done() for task in hot)
    await asyncio.gather(*hot, return_exceptions=True)
    await leave(pool)


async def test_calls_that_wait_for_their_key_go_on_after_resizes(
    pool: ProcessExecutor, tmp_path: Path
) -> None:
    """They were counted with another worker than the one that their key leads to now."""
    gate = tmp_path / "gate"
    name = next(name for name in map(str, range(999)) if place_of(key_of(name), 3) == 2)
    serial = pool.options(key=name, key_serial=True)
    calls = [asyncio.create_task(serial.submit(hold, str(gate)))]
    await until(lambda: pool.metrics["running"] == 1)
    for workers in 1, 4, 2:
        pool.resize(workers)
        calls.append(asyncio.create_task(serial.submit(hold, str(gate))))
        await until(lambda: pool.metrics["waiting"] == len(calls) - 1)
    gate.touch()
    async with asyncio.timeout(20):
        await asyncio.gather(*calls)
    await leave(pool)


async def test_a_resize_lets_go_on_what_leads_to_an_idle_worker_now(
    pool: ProcessExecutor, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    first = await pool.options(key=of_place(0)).submit(pid_of)
    names = map(str, range(999))
    moves = next(n for n in names if (place_of(key_of(n), 3), place_of(key_of(n), 2)) == (2, 0))
    held = asyncio.create_task(pool.options(key=moves).submit(hold, str(gate)))
    await until(lambda: pool.metrics["running"] == 1)
    waits = asyncio.create_task(pool.options(key=moves).submit(pid_of))
    await until(lambda: pool.metrics["queued"] == 1)
    pool.resize(2)
    async with asyncio.timeout(20):
        assert await waits == first
    gate.touch()
    await held


async def test_a_restart_that_fails_leaves_the_workers_to_their_keys(tmp_path: Path) -> None:
    """Also to keys that had none of them yet."""
    there = tmp_path / "there"
    there.touch()
    async with ProcessExecutor(
        "failing", max_workers=2, warm=True, initializer=os.stat, initargs=(str(there),)
    ) as pool:
        await pool.warm()
        there.unlink()
        with pytest.raises(WorkerCrashedError):
            await pool.restart()
        async with asyncio.timeout(20):
            pids = {await pool.options(key=of_place(n, 2)).submit(pid_of) for n in range(2)}
        assert len(pids) == 2


async def test_other_calls_and_those_with_a_key_take_turns(pool: ProcessExecutor) -> None:
    """Short calls that are sent ahead to a worker all the time do not starve its keys."""
    going = True

    async def flood() -> None:
        while going:
            await pool.submit(pid_of)

    floods = [asyncio.create_task(flood()) for _ in range(11)]
    await until(lambda: pool.counters.run.count > 300)
    for place in range(WORKERS):
        async with asyncio.timeout(40):
            await pool.options(key=of_place(place)).submit(pid_of)
    going = False
    await asyncio.gather(*floods)


@pytest.mark.parametrize("bypass", [False, True])
async def test_serial_calls_of_a_key_never_overlap(tmp_path: Path, bypass: bool) -> None:
    """Not on threads of one worker, not when a run is ended, not when its worker is killed."""
    log = tmp_path / "log"
    log.touch()
    options: dict[str, Any] = {"max_workers": 2, "threads_per_worker": 4, "bypass": bypass}
    async with ProcessExecutor("serial", **options) as pool:
        serial = pool.options(key="ann", key_serial=True)
        calls = [serial.submit(mark, str(log), f"{n}") for n in range(6)]
        if not bypass:
            ended = serial.options(timeout=0.05).submit(mark_stubborn, str(log), "ended")
            calls[2:2] = [ended, serial.submit(crash)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
    failed = [one for one in answers if isinstance(one, Exception)]
    expected = () if bypass else (ExecutorTimeoutError, WorkerCrashedError)
    assert len(failed) == len(expected), failed
    assert all(map(isinstance, failed, expected))
    lines = log.read_text().splitlines()
    assert len(lines) == 12 + 2 * (not bypass)
    for begin, end in zip(lines[::2], lines[1::2], strict=True):
        assert (begin.split()[0], end.split()[0]) == ("begin", "end"), lines
        assert begin.split()[1] == end.split()[1], lines


async def test_calls_that_wait_for_their_key_end_with_the_pool(tmp_path: Path) -> None:
    """A drain waits for them; a shutdown refuses those that were not admitted."""
    gate = tmp_path / "gate"
    async with ProcessExecutor("ending", max_workers=1, max_pending=2) as pool:
        serial = pool.options(key="ann", key_serial=True)
        calls = [asyncio.create_task(serial.submit(hold, str(gate))) for _ in range(3)]
        await until(lambda: pool.metrics["running"] == 1 and pool.metrics["waiting"] == 2)
        drained = asyncio.create_task(pool.drain())
        await asyncio.sleep(0)
        with pytest.raises(ExecutorOverloadError, match="drained"):
            await serial.submit(pid_of)
        gate.touch()
        await drained
        assert all(call.done() and call.exception() is None for call in calls)
        pool.resume()
        gate.unlink()
        calls = [asyncio.create_task(serial.submit(hold, str(gate))) for _ in range(3)]
        await until(lambda: pool.metrics["running"] == 1 and pool.metrics["waiting"] == 2)
        ending = asyncio.ensure_future(pool.shutdown())
        await until(lambda: calls[1].done() and calls[2].done())
        assert isinstance(calls[1].exception(), ExecutorClosedError)
        gate.touch()
        assert await calls[0]
        await ending
