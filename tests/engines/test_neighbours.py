# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls that share a worker: the end of one of them is no end of another one.

Every scenario runs on asyncio's event loop, and one of each sort on uvloop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import sharing_functions as sf
import uvloop
import worker_functions as wf
from conftest import Gate
from waiting import is_dead, until

from genro_executor_plugin import ExecutorTimeoutError, ProcessExecutor, WorkerCrashedError

THREADS = {"threads_per_worker": 6}


class Place:
    """A pool with one worker that calls share, a gate for its neighbours, and one for the guilty.

    Args:
        on_threads: whether its calls run on threads; coroutines otherwise.
    """

    def __init__(self, pool: ProcessExecutor, folder: Path, on_threads: bool) -> None:
        self.pool = pool
        self.folder = folder
        self.note = folder / "note"
        self.neighbours, self.guilty = Gate(f"{folder}/neighbours"), Gate(f"{folder}/guilty")
        self.well_behaved = sf.held_pid if on_threads else sf.held_pid_async
        self.calls: list[asyncio.Task[int]] = []

    async def settle_in(self, count: int = 3) -> int:
        """Have ``count`` calls run in the worker; its pid."""
        for _ in range(count):
            call = self.pool.submit(self.well_behaved, self.neighbours.path)
            self.calls.append(asyncio.create_task(call))
        (pid,) = {await self.neighbours.entered() for _ in range(count)}
        return pid

    async def all_answer(self, pid: int) -> None:
        """The neighbours are still there, and answer."""
        self.neighbours.release()
        assert await asyncio.gather(*self.calls) == [pid] * len(self.calls)

    async def was_noted(self, name: str) -> None:
        await until(lambda: self.note.exists() and self.note.read_text() == name)


@asynccontextmanager
async def shared_place(folder: Path, on_threads: bool) -> AsyncIterator[Place]:
    options: dict[str, Any] = {"max_workers": 1, "shutdown_timeout": 1.0}
    if on_threads:
        options |= THREADS
    place = Place(ProcessExecutor("shared", **options), folder, on_threads)
    await place.neighbours.open()
    await place.guilty.open()
    try:
        yield place
    finally:
        await place.pool.shutdown()
        await place.neighbours.close()
        await place.guilty.close()


Scenario = Callable[[Path], Coroutine[Any, Any, None]]
Guilty = Callable[..., Any]


async def of_each(
    scenario: Callable[..., Coroutine[Any, Any, None]], folder: Path, cases: Iterable[Any]
) -> None:
    """Have ``scenario`` run with each of ``cases``, all at a time: most of it is waiting."""
    async with asyncio.TaskGroup() as group:
        for number, case in enumerate(cases):
            own = folder / str(number)
            own.mkdir()
            group.create_task(scenario(own, *case))


KINDS = [
    (False, sf.cancellable, "CancelledError"),
    (False, sf.holding_up_the_loop, "_HeldUpError"),
    (True, sf.interruptible, "CallEndedError"),
    (True, sf.cancellable, "CancelledError"),
]


async def a_limit(folder: Path) -> None:
    await of_each(a_limit_of, folder, KINDS)


async def a_limit_of(folder: Path, on_threads: bool, guilty: Guilty, raised: str) -> None:
    async with shared_place(folder, on_threads) as place:
        pid = await place.settle_in()
        late = place.pool.options(timeout=1.5).submit(guilty, place.guilty.path, str(place.note))
        call = asyncio.create_task(late)
        assert await place.guilty.entered() == pid
        place.guilty.release()
        with pytest.raises(ExecutorTimeoutError, match=rf"pid {pid}\) was told to end"):
            await call
        await place.was_noted(raised)
        await place.all_answer(pid)
        assert place.pool.pids == [pid]
        assert place.pool.metrics["restarts"] == 0
        place.note.unlink()


async def a_cancel(folder: Path) -> None:
    await of_each(a_cancel_of, folder, KINDS)


async def a_cancel_of(folder: Path, on_threads: bool, guilty: Guilty, raised: str) -> None:
    async with shared_place(folder, on_threads) as place:
        pid = await place.settle_in()
        guilty_call = place.pool.submit(guilty, place.guilty.path, str(place.note))
        call = asyncio.create_task(guilty_call)
        assert await place.guilty.entered() == pid
        place.guilty.release()
        await place.was_noted(sf.PAST)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await place.was_noted(raised)
        await place.all_answer(pid)
        assert place.pool.metrics["restarts"] == 0
        assert await place.pool.submit(wf.pid_async) == pid
        place.note.unlink()


async def a_cancel_before_its_thread_has_it(folder: Path) -> None:
    async with shared_place(folder, True) as place:
        pid = await place.settle_in()
        for _ in range(50):
            call = asyncio.create_task(place.pool.submit(wf.spin_gently, 3600))
            await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
        await until(lambda: place.pool.metrics["running"] == 3)
        await place.all_answer(pid)
        assert place.pool.metrics["restarts"] == 0


async def a_stream_whose_reader_leaves(folder: Path) -> None:
    """Before it has its first chunk, or in the midst."""
    async with shared_place(folder, False) as place:
        pid = await place.settle_in()
        stream = place.pool.options(timeout=1.5).stream(
            sf.chunks, place.guilty.path, str(place.note)
        )
        assert await anext(stream) == 1
        await place.guilty.entered()
        with pytest.raises(ExecutorTimeoutError):
            await anext(stream)
        await place.was_noted("CancelledError")
        await place.all_answer(pid)
        assert place.pool.metrics["restarts"] == 0


async def a_call_that_does_not_end(folder: Path) -> None:
    """Its worker takes no more calls, and goes when the neighbours have ended, not before."""
    await of_each(
        a_call_that_does_not_end_of,
        folder,
        ((True, sf.deaf), (False, sf.deaf_async), (False, sf.deaf)),
    )


async def a_call_that_does_not_end_of(folder: Path, on_threads: bool, guilty: Guilty) -> None:
    async with shared_place(folder, on_threads) as place:
        pid = await place.settle_in()
        late = place.pool.options(timeout=1.5).submit(guilty, place.guilty.path, 3600)
        call = asyncio.create_task(late)
        await place.guilty.entered()
        place.guilty.release()
        with pytest.raises(ExecutorTimeoutError):
            await call
        await until(lambda: "leaving" in states(place.pool))
        other = await asyncio.wait_for(place.pool.submit(os.getpid), 40)
        assert other != pid
        await place.all_answer(pid)
        await until(lambda: is_dead(pid))
        await until(lambda: place.pool.pids == [other])
        assert place.pool.metrics["restarts"] == 1


async def a_call_that_ends_late(folder: Path) -> None:
    """Its worker was given up; it ends by itself, and with it the worker."""
    async with shared_place(folder, False) as place:
        pid = await place.settle_in(1)
        guilty = place.pool.options(timeout=1.0).submit(sf.deaf, place.guilty.path, 3.0)
        call = asyncio.create_task(guilty)
        await place.guilty.entered()
        place.guilty.release()
        with pytest.raises(ExecutorTimeoutError):
            await call
        await place.all_answer(pid)
        await until(lambda: is_dead(pid))


async def a_crash(folder: Path) -> None:
    """It is told to all that had begun there that any of them may be the reason."""
    async with shared_place(folder, True) as place:
        await place.settle_in(2)
        with pytest.raises(WorkerCrashedError, match="2 other calls ran in it") as caught:
            await place.pool.submit(wf.exit_with, 3)
        assert caught.value.exit_code == 3
        for outcome in await asyncio.gather(*place.calls, return_exceptions=True):
            assert isinstance(outcome, WorkerCrashedError)
            assert "2 other calls ran in it" in str(outcome)


async def calls_are_spread(folder: Path) -> None:
    """A worker that has a call is joined by another one, and the one with the fewest is next."""
    for on_threads in (False, True):
        options: dict[str, Any] = THREADS if on_threads else {}
        pool = ProcessExecutor("spread", max_workers=3, **options)
        gate = Gate(f"{folder}/spread")
        await gate.open()
        held = sf.held_pid if on_threads else sf.held_pid_async
        calls = []
        for count, workers in ((1, 1), (1, 2), (2, 3), (5, 3)):
            calls += [asyncio.create_task(pool.submit(held, gate.path)) for _ in range(count)]
            for _ in range(count):
                await gate.entered()
            await until(lambda: len(pool.pids) == workers)  # noqa: B023
        gate.release()
        pids = await asyncio.gather(*calls)
        assert sorted(map(pids.count, pool.pids)) == [3, 3, 3]
        await pool.shutdown()
        await gate.close()


def states(pool: ProcessExecutor) -> list[str]:
    return [state.state for state in pool.worker_states()]


SCENARIOS: list[Scenario] = [
    a_limit,
    a_cancel,
    a_cancel_before_its_thread_has_it,
    a_stream_whose_reader_leaves,
    a_call_that_does_not_end,
    a_call_that_ends_late,
    a_crash,
    calls_are_spread,
]


ON_UVLOOP: list[Scenario] = [a_cancel, a_stream_whose_reader_leaves, a_crash, calls_are_spread]
"""What the server's loop itself sees: a task is cancelled, a stream left, a socket closed."""


@pytest.mark.parametrize(
    ("scenario", "loop"),
    [(scenario, "asyncio") for scenario in SCENARIOS]
    + [(scenario, "uvloop") for scenario in ON_UVLOOP],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_neighbours_go_on_after(scenario: Scenario, loop: str, tmp_path: Path) -> None:
    factory = uvloop.new_event_loop if loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(scenario(tmp_path), 150))
