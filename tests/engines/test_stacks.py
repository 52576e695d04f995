# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where a running call is: its stack, whatever it is stuck in, and what being asked does to it."""

from __future__ import annotations

import asyncio
import importlib
import logging
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import stuck_functions as stuck
from waiting import PATIENCE_SECONDS, until
from worker_functions import answer, hold, pid_async

from genro_executor_plugin import (
    ExecutorTimeoutError,
    MemoryLimitError,
    ProcessExecutor,
    ThreadExecutor,
    WorkerCrashedError,
)
from genro_executor_plugin.engines.process import asking

CATALOGUE = (
    stuck.sleeps,
    stuck.computes,
    stuck.matches,
    stuck.computes_in_c,
    stuck.waits_for_a_lock,
    stuck.waits_for_a_program,
    stuck.awaits,
    stuck.computes_on_the_loop,
    stuck.holds_the_gil_on_the_loop,
)

PROCESSES = [("forkserver", 1), ("spawn", 1), ("forkserver", 2)]


@pytest.fixture(autouse=True)
def workers_have_time_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a worker may tell later than a call that is to end waits for it."""
    monkeypatch.setattr(asking, "KILL_SECONDS", PATIENCE_SECONDS)


async def stack_in(pool: Any, name: str) -> str:
    """The stack of the only call of ``pool`` that has ``name`` in it."""
    while True:
        for found in await pool.stacks():
            if name in found.stack:
                return str(found.stack)
        await asyncio.sleep(0.01)


async def ended_by_kill(pool: Any, call: asyncio.Task[Any]) -> WorkerCrashedError:
    for worker in pool.worker_states():
        pool.kill_worker(worker.pid)
    with pytest.raises(WorkerCrashedError) as caught:
        await call
    return caught.value


@pytest.mark.parametrize(("start_method", "threads"), PROCESSES)
async def test_a_call_tells_where_it_is_whatever_it_is_stuck_in(
    start_method: str, threads: int
) -> None:
    """Also a regular expression without end, and native code that holds the interpreter."""
    async with ProcessExecutor(
        "stuck", max_workers=1, start_method=start_method, threads_per_worker=threads
    ) as pool:
        for func in CATALOGUE if start_method != "spawn" else CATALOGUE[:3]:
            call = asyncio.create_task(pool.submit(func))
            async with asyncio.timeout(30):
                stack = await stack_in(pool, f"in {func.__name__}")
            # Nothing of this package stands above the function.
            assert "genro_executor_plugin" not in stack, stack
            assert stack.splitlines()[0].endswith(f"in {func.__name__}"), stack
            error = await ended_by_kill(pool, call)
            assert f"in {func.__name__}" in error.stack, (func, error.__notes__)


async def test_native_code_that_a_signal_wakes_tells_before_it_goes_on(make: Any) -> None:
    """What it returns then does not count where its time is up."""
    pool = make(max_workers=1)
    await pool.submit(stuck.comes_back)
    with pytest.raises(ExecutorTimeoutError) as caught:
        await pool.options(timeout=1.0).submit(stuck.holds_the_gil)
    assert caught.value.stack.endswith("in holds_the_gil")
    assert await pool.submit(answer) == 42


async def test_a_coroutine_tells_what_it_awaits(make: Any) -> None:
    pool = make(max_workers=1)
    call = asyncio.create_task(pool.submit(stuck.awaits))
    stack = await stack_in(pool, "in sleep")
    assert "task 'by name', which is awaited here:" in stack
    assert stack.count("in _inner") == 2
    await ended_by_kill(pool, call)


async def test_a_call_whose_module_is_being_imported_tells_so(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has not begun by the worker's count, and may hang all the same."""
    (tmp_path / "slow_to_import.py").write_text(
        "import os, time\n"
        "if os.environ.get('GENRO_TEST_SERVER') != str(os.getpid()):\n"
        "    time.sleep(60)\n"
        "def done() -> None: ...\n"
    )
    monkeypatch.setenv("GENRO_TEST_SERVER", str(os.getpid()))
    monkeypatch.syspath_prepend(str(tmp_path))
    pool = make(max_workers=1, start_method="spawn")
    call = asyncio.create_task(pool.submit(importlib.import_module("slow_to_import").done))
    async with asyncio.timeout(30):
        stack = await stack_in(pool, "slow_to_import.py")
    assert "genro_executor_plugin" not in stack
    await ended_by_kill(pool, call)


async def test_a_deep_stack_is_bounded(make: Any) -> None:
    pool = make(max_workers=1)
    call = asyncio.create_task(pool.submit(stuck.goes_deep))
    stack = await stack_in(pool, "in goes_deep")
    assert "[Previous line repeated" in stack
    assert len(stack) < 1000
    await ended_by_kill(pool, call)


LIMITED: list[tuple[Callable[..., Any], int]] = [
    (stuck.computes, 1),
    (stuck.sleeps, 3),
    (stuck.awaits, 1),
    (stuck.awaits, 3),
]


@pytest.mark.parametrize(("func", "threads"), LIMITED)
async def test_a_call_over_its_limit_says_where_it_was(
    make: Any, caplog: pytest.LogCaptureFixture, func: Callable[..., Any], threads: int
) -> None:
    """In the error, as an attribute and a note, in the log, and in what the pool remembers."""
    pool = make(max_workers=1, threads_per_worker=threads)
    await pool.submit(pid_async)
    await pool.submit(stuck.comes_back)
    with caplog.at_level(logging.WARNING), pytest.raises(ExecutorTimeoutError) as caught:
        await pool.options(timeout=0.6).submit(func)
    where = f"in {func.__name__}"
    assert where in caught.value.stack
    assert any(where in note for note in caught.value.__notes__)
    assert where in caplog.text
    assert where in pool.counters.incidents.latest_first[0].traceback


async def test_a_call_over_its_memory_says_where_it_was(make: Any, gate: Any) -> None:
    pool = make(max_workers=1, memory_limit="250MB")
    with pytest.raises(MemoryLimitError) as caught:
        await pool.submit(stuck.fills_memory, gate.path)
    assert "in fills_memory" in caught.value.stack


async def test_neighbours_of_a_killed_call_say_where_they_were(make: Any, gate: Any) -> None:
    pool = make(max_workers=1, threads_per_worker=2)
    calls = [asyncio.create_task(pool.submit(hold, gate.path)) for _ in range(2)]
    pids = {await gate.entered() for _ in calls}
    assert pool.kill_worker(pids.pop())
    for error in await asyncio.gather(*calls, return_exceptions=True):
        assert isinstance(error, WorkerCrashedError)
        assert "in hold" in error.stack


async def test_a_stopped_worker_is_not_waited_for(make: Any, gate: Any) -> None:
    """Its signal would come when it goes on, and its timeout is not late for it."""
    pool = make(max_workers=1)
    call = asyncio.create_task(pool.options(timeout=1.0).submit(hold, gate.path))
    pid = await gate.entered()
    os.kill(pid, signal.SIGSTOP)
    await until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)
    (found,) = await pool.stacks(pid)
    assert "stopped" in found.stack
    with pytest.raises(ExecutorTimeoutError) as caught:
        await call
    assert caught.value.stack == ""
    assert "stopped" in caught.value.__notes__[0]


@pytest.mark.parametrize("func", [stuck.replaces_handlers, stuck.holds_back_signals])
async def test_a_worker_whose_handlers_are_gone_is_not_signalled(
    make: Any, gate: Any, func: Any
) -> None:
    """The signal would end it, or come when nobody waits for it any more."""
    pool = make(max_workers=1)
    call = asyncio.create_task(pool.submit(func, gate.path))
    await gate.entered()
    (found,) = await pool.stacks()
    assert "code in it" in found.stack
    assert not call.done()
    error = await ended_by_kill(pool, call)
    assert "code in it" in error.__notes__[0]


async def test_being_asked_all_the_time_changes_no_result(make: Any, gate: Any) -> None:
    """System calls of Python go on, and so do those of native code that the system restarts."""
    pool = make(max_workers=2)
    reads = asyncio.create_task(pool.submit(stuck.counts_interruptions, gate.path))
    pid = await gate.entered()
    works = asyncio.create_task(pool.submit(sum, range(10**7)))
    while not works.done():
        await pool.stacks()
    assert any(found.pid == pid for found in await pool.stacks())
    gate.release()
    assert await reads == (0, b"done")
    assert await works == sum(range(10**7))
    assert pool.restarts == {}


async def test_a_worker_that_ends_while_it_is_asked_keeps_nobody_waiting(make: Any) -> None:
    pool = make(max_workers=1)
    for _ in range(5):
        call = asyncio.create_task(pool.submit(stuck.computes))
        await stack_in(pool, "in computes")
        (worker,) = pool.worker_states()
        os.kill(worker.pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            await pool.stacks()
        with pytest.raises(WorkerCrashedError):
            await call


async def test_what_a_crash_wrote_is_not_what_it_had_told(make: Any, gate: Any) -> None:
    """Both stand in the same file."""
    pool = make(max_workers=1)
    call = asyncio.create_task(pool.submit(hold, gate.path))
    pid = await gate.entered()
    for _ in range(3):
        await stack_in(pool, "in hold")
    os.kill(pid, signal.SIGSEGV)
    with pytest.raises(WorkerCrashedError) as caught:
        await call
    (note,) = caught.value.__notes__
    assert note.startswith("What the worker's faulthandler wrote:\nFatal Python error")


async def test_threads_of_the_server_tell_where_they_are() -> None:
    """Also what is over its limit, and goes on."""
    released = threading.Event()

    def waits() -> None:
        released.wait()

    async def awaits() -> None:
        await asyncio.to_thread(released.wait)

    async def blocks() -> None:
        released.wait()

    async with ThreadExecutor("threads", max_workers=4, abandon_on_timeout=True) as pool:
        calls = []
        for func in (waits, awaits, blocks):
            calls.append(asyncio.create_task(pool.submit(func)))
            async with asyncio.timeout(30):
                stack = await stack_in(pool, f"in {func.__qualname__}")
            assert "genro_executor_plugin" not in stack
        with pytest.raises(ExecutorTimeoutError) as caught:
            await pool.options(timeout=0.05).submit(waits)
        assert f"in {waits.__qualname__}" in caught.value.stack
        assert await pool.stacks(os.getpid())
        assert not await pool.stacks(1)
        released.set()
        await asyncio.gather(*calls)
