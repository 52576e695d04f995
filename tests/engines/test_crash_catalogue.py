# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Every way to fail, at every place, in every kind of pool: what it costs, and whom.

``crash_table.TABLE`` says what each combination ends with. Around the guilty call the pool is
full: neighbours run in every other place of it and others wait in the queue. Only those that were
in a process that died go with it.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import strikes
import worker_functions as wf
from conftest import Gate
from crash_table import HERE, KINDS, SHARED, TABLE, Fails, Not, Outcome, Served, combinations
from hooked import Hooked
from strikes import MODULE, PRELOADED, WAYS
from waiting import is_dead, until

from genro_executor_plugin import (
    BaseExecutor,
    InlineExecutor,
    ProcessExecutor,
    ThreadExecutor,
    WorkerCrashedError,
)

QUEUED = 3
"""How many calls wait in the queue while the guilty one strikes."""

HANG_SECONDS = 0.2
"""The limit of a call that hangs. It counts from the run's start, before its neighbours came."""

STARTS: dict[str, dict[str, float]] = {"hang": {"start_timeout": 5.0}}
"""For each way the limit of a start, if it is not the default; a busy machine starts slowly."""

BOUND_SECONDS = 60.0
"""Longer than this nothing may hold a pool up, on a machine that has other things to do."""

OUTCOMES = ("completed", "failed", "rejected", "timed_out", "crashed", "cancelled")

MAKE: dict[str, Callable[..., BaseExecutor]] = {
    "forkserver": lambda **options: ProcessExecutor("pool", **options),
    "spawn": lambda **options: ProcessExecutor("pool", start_method="spawn", **options),
    "threads in workers": lambda **options: ProcessExecutor(
        "pool", threads_per_worker=2, **options
    ),
    "coroutines in workers": lambda **options: ProcessExecutor("pool", **options),
    "thread": lambda **options: ThreadExecutor("pool", abandon_on_timeout=True, **options),
    "inline": lambda **options: InlineExecutor("pool", abandon_on_timeout=True, **options),
    "bypass": lambda **options: ProcessExecutor("pool", bypass=True, **options),
}


class Setting:
    """Pools of one kind, two gates, and a folder that their workers import from."""

    def __init__(self, kind: str, folder: Path, gate: Gate, neighbours: Gate) -> None:
        self.kind = kind
        self.folder = self.modules = folder
        self.gate = gate
        self.neighbours = neighbours
        self.orders = folder / "orders"
        self.pools: list[BaseExecutor] = []

    @property
    def is_here(self) -> bool:
        return self.kind in HERE

    @property
    def is_async(self) -> bool:
        return self.kind == "coroutines in workers"

    def pool(self, **options: Any) -> Any:
        self.pools.append(MAKE[self.kind](**{"max_workers": 2, "max_pending": 50, **options}))
        return self.pools[-1]

    def order(self, way: str) -> None:
        """Have what obeys ``self.orders`` strike this way from now on."""
        self.orders.with_suffix(".new").write_text(f"{self.gate.path}\n{way}")
        self.orders.with_suffix(".new").rename(self.orders)

    async def hold(self, pool: BaseExecutor, func: Any = wf.hold) -> tuple[int, Any]:
        """A neighbour that is inside: its pid, and the call."""
        call = asyncio.create_task(pool.submit(func, self.neighbours.path, "held"))
        return await self.neighbours.entered(), call

    async def strike(self) -> int:
        """Let go what is about to strike; its pid."""
        pid = await self.gate.entered()
        self.gate.release()
        return pid


@pytest.fixture
async def setting(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Setting]:
    monkeypatch.syspath_prepend(tmp_path)
    async with a_setting(kind, tmp_path) as setting:
        yield setting


@asynccontextmanager
async def a_setting(kind: str, folder: Path) -> AsyncIterator[Setting]:
    setting = Setting(kind, folder, Gate(str(folder / "gate")), Gate(str(folder / "neighbours")))
    gates = setting.gate, setting.neighbours
    for gate in gates:
        await gate.open()
    try:
        yield setting
    finally:
        setting.neighbours.release()
        if setting.is_here:
            setting.gate.release()  # a thread cannot be killed
        async with asyncio.timeout(BOUND_SECONDS):
            await asyncio.gather(*[pool.shutdown() for pool in setting.pools])
        for gate in gates:
            await gate.close()
    for pool in setting.pools:
        assert_adds_up(pool)


def assert_adds_up(pool: BaseExecutor) -> None:
    metrics = pool.metrics
    assert metrics["submitted"] == sum(metrics[o] for o in OUTCOMES) + metrics["pending"], metrics
    assert not metrics["pending"], metrics


def assert_fails(outcome: Any, expected: Fails) -> None:
    assert isinstance(outcome, expected.error), repr(outcome)
    shown = f"{type(outcome).__name__}: {outcome}"
    assert re.search(expected.text, shown, re.DOTALL), shown
    assert getattr(outcome, "exit_code", None) == expected.exit_code, shown


async def settled(*calls: Any) -> list[Any]:
    async with asyncio.timeout(BOUND_SECONDS):
        return await asyncio.gather(*calls, return_exceptions=True)


async def answers(pool: BaseExecutor) -> None:
    """The pool works; one that could not start a worker may pause before it does."""

    async def answered() -> bool:
        (outcome,) = await asyncio.gather(pool.submit(wf.answer), return_exceptions=True)
        assert outcome == 42 or "cannot start a worker" in str(outcome), outcome
        return bool(outcome == 42)

    async with asyncio.timeout(BOUND_SECONDS):
        while not await answered():  # noqa: ASYNC110 - nobody says that the pause is over
            await asyncio.sleep(0.02)


# -- one call among others --------------------------------------------------------------------


def guilty_call(setting: Setting, place: str, way: str) -> tuple[Any, ...]:
    """The function and the arguments of a call that strikes at ``place``."""
    gate = setting.gate.path
    if place == "unpickling of arguments":
        if setting.is_here:  # on the event loop: it cannot wait there for anybody
            return wf.echo, strikes.StruckWhenUnpickled("", way)
        echo = wf.echo_async if setting.is_async else wf.echo
        return echo, strikes.StruckWhenUnpickled(gate, way)
    if place == "import":
        name = f"struck_{re.sub('[^a-z]', '_', way.lower())}_{setting.kind.split()[0]}"
        text = MODULE.format(server=os.getpid(), gate=gate, way=way)
        (setting.folder / f"{name}.py").write_text(text)
        module = __import__(name)
        return (module.struck_async if setting.is_async else module.struck,)
    name, arguments = {
        "run": ("strike", (gate, way)),
        "pickling of the result": ("give_struck_when_pickled", (gate, way)),
        "unpickling of the result": ("give_struck_when_unpickled", (way,)),
        "half a frame": ("send_a_part_and_strike", (gate, way)),
    }[place]
    return getattr(strikes, f"{name}_async" if setting.is_async else name), *arguments


async def neighbours_of(setting: Setting, pool: BaseExecutor) -> list[tuple[int, Any]]:
    """Running calls in every place of ``pool`` but one."""
    if setting.is_async:
        return [await setting.hold(pool), await setting.hold(pool, wf.hold_async)]
    places = 4 if setting.kind == "threads in workers" else 2
    return [await setting.hold(pool) for _ in range(places - 1)]


async def play_a_call(setting: Setting, pool: Any, place: str, way: str, expected: Fails) -> None:
    if way == "hang" and setting.kind in SHARED:
        # It is told to end, and does when it is let go; what never does is in test_neighbours.
        expected = replace(expected, kills=False)
    before = pool.metrics
    around = await neighbours_of(setting, pool)
    func, *arguments = guilty_call(setting, place, way)
    limited = pool.options(timeout=HANG_SECONDS) if way == "hang" else pool
    waits_at_the_gate = place != "unpickling of the result" and not (
        setting.is_here and place == "unpickling of arguments"
    )
    guilty = asyncio.create_task(limited.submit(func, *arguments))
    pid = await setting.gate.entered() if waits_at_the_gate else None
    if setting.is_async and place not in ("import", "unpickling of arguments"):
        # Its main thread is free, and would take what is to wait in the queue.
        around.append(await setting.hold(pool))
    behind = 0 if setting.is_async and len(around) == 2 else QUEUED
    queued = [asyncio.create_task(pool.submit(wf.echo, number)) for number in range(behind)]
    await asyncio.sleep(0)
    setting.gate.release()
    (outcome,) = await settled(guilty)
    assert_fails(outcome, expected)
    hangs_on = way == "hang" and not expected.kills
    place_is_free = expected.kills or not (setting.is_async or hangs_on)
    if place_is_free:
        assert await settled(*queued) == [*range(behind)]
    setting.gate.release()
    setting.neighbours.release()
    assert await settled(*queued) == [*range(behind)]
    lost = 0
    for where, call in around:
        (found,) = await settled(call)
        if expected.kills and where == pid:
            assert_fails(found, Fails(WorkerCrashedError, exit_code=found.exit_code))
            lost += 1
        else:
            assert found == "held", found
    await answers(pool)
    counted = Counter({expected.counted: 1})
    counted.update(crashed=lost, completed=behind + len(around) - lost + 1)
    assert {o: pool.metrics[o] - before[o] for o in OUTCOMES if pool.metrics[o] - before[o]} == {
        outcome: count for outcome, count in counted.items() if count
    }
    assert pool.metrics["pending"] == 0
    if pid is not None and expected.kills:
        await until(lambda: is_dead(pid) and pid not in pool.pids)


async def play_a_message(setting: Setting, pool: Any, way: str) -> None:
    """A message that cannot be rebuilt costs neither its call nor the frames behind it."""
    send = strikes.send_struck_when_unpickled
    if setting.is_async:
        send = strikes.send_struck_when_unpickled_async
    calls = [pool.submit(send, way) for _ in range(QUEUED)]
    assert await settled(*calls) == ["sent"] * QUEUED
    await answers(pool)


# -- what concerns a worker and no call -------------------------------------------------------


async def play_the_initializer(setting: Setting, way: str, expected: Outcome) -> None:
    """A worker that cannot start costs calls only where there is no other one."""
    assert isinstance(expected, Fails)
    if setting.is_here:
        await play_the_initializer_here(setting, way, expected)
        return
    pool = setting.pool(
        initializer=strikes.initialize, initargs=(str(setting.orders),), **STARTS.get(way, {})
    )
    setting.order(way)
    guilty = asyncio.create_task(pool.submit(wf.answer))
    await setting.strike()
    assert_fails((await settled(guilty))[0], expected)
    setting.orders.unlink()
    await answers(pool)

    where, neighbour = await setting.hold(pool)
    setting.order(way)
    queued = [asyncio.create_task(pool.submit(wf.echo, number)) for number in range(QUEUED)]
    assert await setting.strike() != where
    if way != "hang":
        await until(lambda: pool.start_error is not None)
    setting.neighbours.release()
    assert await settled(neighbour, *queued) == ["held", *range(QUEUED)]
    setting.orders.unlink()
    assert pool.metrics[expected.counted] >= 1
    assert pool.metrics["failed"] == 0


async def play_the_initializer_here(setting: Setting, way: str, expected: Fails) -> None:
    """It runs in a thread with the first call there, and again with the next one if it failed."""
    pool = setting.pool(initializer=strikes.initialize, initargs=(str(setting.orders),))
    _, neighbour = await setting.hold(pool)
    setting.order(way)
    limited = pool.options(timeout=HANG_SECONDS) if way == "hang" else pool
    guilty = asyncio.create_task(limited.submit(wf.answer))
    await setting.strike()
    assert_fails((await settled(guilty))[0], expected)
    setting.orders.unlink()
    if way != "hang":  # its place is taken until it is done
        await answers(pool)
    setting.neighbours.release()
    assert await settled(neighbour) == ["held"]
    await answers(pool)
    assert pool.metrics[expected.counted] == 1


async def play_the_preload(setting: Setting, way: str, expected: Outcome) -> None:
    """What the template imports may fail; what ends the template is told, and can be mended."""
    name = f"preloaded_{WAYS.index(way)}"
    (setting.modules / f"{name}.py").write_text(PRELOADED.format(orders=str(setting.orders)))
    setting.order(way)
    pool = setting.pool(preload=[name], **STARTS.get(way, {}))
    calls = [asyncio.create_task(pool.submit(wf.answer)) for _ in range(QUEUED)]
    await setting.strike()
    outcomes = await settled(*calls)
    if isinstance(expected, Served):
        assert outcomes == [42] * QUEUED
        return
    assert isinstance(expected, Fails)
    for outcome in outcomes:
        assert_fails(outcome, expected)
    setting.orders.unlink()
    await answers(pool)
    assert pool.metrics[expected.counted] >= QUEUED


async def play_the_hook(setting: Setting, pool: Any, way: str) -> None:
    """A worker that fails at its own end fails nobody."""
    _, neighbour = await setting.hold(pool)
    if setting.kind == "threads in workers":
        setting.neighbours.release()  # it would share its worker with the call that is to end it
        await settled(neighbour)
    pid = await pool.submit(hooked_call(setting, way))
    queued = [asyncio.create_task(pool.submit(wf.echo, number)) for number in range(QUEUED)]
    assert await setting.strike() == pid
    assert await settled(*queued) == [*range(QUEUED)]
    setting.neighbours.release()
    assert await settled(neighbour) == ["held"]
    await until(lambda: is_dead(pid))


def hooked_call(setting: Setting, way: str) -> Any:
    """What tells the pid of a worker whose end strikes, once this has run in it."""
    hooked = Hooked(setting.gate.path, way)
    return hooked.pid_async if setting.is_async else hooked.pid


# -- the table --------------------------------------------------------------------------------


ONE_POOL_EACH: dict[str, Callable[..., Coroutine[Any, Any, None]]] = {
    "initializer": play_the_initializer,
    "preload": play_the_preload,
}
"""Where each way has a pool of its own; all are tried at a time but the one that is timed."""


@pytest.mark.parametrize(("kind", "place"), combinations())
async def test_only_the_guilty_call_fails(setting: Setting, kind: str, place: str) -> None:
    ways = {way: end for way, end in TABLE[place][kind].items() if not isinstance(end, Not)}
    if place in ONE_POOL_EACH:
        async with asyncio.TaskGroup() as group:
            for way, expected in ways.items():
                if way not in STARTS:
                    group.create_task(play_alone(setting, place, way, expected))
        for way in STARTS.keys() & ways.keys():
            await play_alone(setting, place, way, ways[way])
        return
    pool = None
    for way, expected in ways.items():
        with noted(way, place, kind):
            if place == "worker shutdown hook":
                limits = {"max_tasks_per_child": 1, "shutdown_timeout": 0, "preload": ["hooked"]}
                pool = pool or setting.pool(**limits)
                await play_the_hook(setting, pool, way)
            elif place == "unpickling of a message":
                pool = pool or setting.pool()
                await play_a_message(setting, pool, way)
            else:
                pool = pool or setting.pool()
                assert isinstance(expected, Fails)
                await play_a_call(setting, pool, place, way, expected)


async def play_alone(around: Setting, place: str, way: str, expected: Outcome) -> None:
    """In a setting of its own, whose modules are found with those ``around`` it."""
    folder = around.folder / str(WAYS.index(way))
    folder.mkdir()
    with noted(way, place, around.kind):
        async with a_setting(around.kind, folder) as setting:
            setting.modules = around.modules
            await ONE_POOL_EACH[place](setting, way, expected)


@contextmanager
def noted(way: str, place: str, kind: str) -> Iterator[None]:
    """What is raised says where in the table it was."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"the way: {way}, at the place: {place}, in the kind: {kind}")
        raise


@pytest.mark.parametrize("kind", ["forkserver", "coroutines in workers"])
async def test_the_hooks_of_all_workers_hold_no_shutdown(setting: Setting) -> None:
    """A pool's end waits for no hook for long, whatever all of them do at the same time."""
    pool = setting.pool(max_workers=len(WAYS), preload=["hooked"])
    pids = []
    for way in WAYS:
        pids.append(await pool.submit(hooked_call(setting, way)))
        await setting.hold(pool)  # the next one needs another worker
    setting.neighbours.release()
    await until(lambda: not pool.metrics["pending"])
    assert len(set(pids)) == len(WAYS)
    ending = asyncio.create_task(pool.shutdown())
    for _ in WAYS:
        await setting.gate.entered()
    setting.gate.release()
    await settled(ending)
    await until(lambda: all(map(is_dead, pids)))


def test_every_combination_is_in_the_table() -> None:
    for place, kinds in TABLE.items():
        assert set(kinds) == set(KINDS), place
        for kind, ways in kinds.items():
            assert set(ways) == set(WAYS), (place, kind)
            for outcome in ways.values():
                assert not isinstance(outcome, Not) or outcome.reason
