# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What dies, what it takes along, and what goes on: workers, their template, and the start."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import worker_functions as wf
from grace import give_workers_time_to_end
from waiting import PATIENCE_SECONDS, block_until, is_dead, until

from genro_executor_plugin import (
    ExecutorError,
    ExecutorTimeoutError,
    ProcessExecutor,
    WorkerCrashedError,
)

METHODS = ("forkserver", "spawn")


@pytest.fixture(params=METHODS)
async def pool(make: Any, request: pytest.FixtureRequest) -> ProcessExecutor:
    executor: ProcessExecutor = make(max_workers=2, start_method=request.param)
    return executor


def template_of(pid: int) -> int:
    return psutil.Process(pid).ppid()


# -- workers ----------------------------------------------------------------------------------


async def test_a_killed_worker_fails_only_its_own_call(make: Any, gate: Any) -> None:
    """Ten neighbours, some running and some waiting, all answer."""
    pool = make(max_workers=4)
    victim = asyncio.create_task(pool.submit(wf.hold, gate.path))
    pid = await gate.entered()
    others = [asyncio.create_task(pool.submit(wf.hold, gate.path, n)) for n in range(10)]
    for _ in range(3):
        await gate.entered()
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerCrashedError) as caught:
        await victim
    error = caught.value
    assert error.exit_code == -signal.SIGKILL
    assert error.pid == pid
    assert error.pool == "pool"
    assert error.status == 500
    assert "worker_functions.hold" in str(error)
    assert "SIGKILL" in str(error)
    assert "memory" in str(error)
    for _ in range(7):
        gate.release()
        await gate.entered()
    gate.release()
    assert await asyncio.gather(*others) == list(range(10))
    assert pool.metrics["crashed"] == 1
    assert pool.metrics["completed"] == 10
    assert pool.metrics["restarts"] == 1


@pytest.mark.parametrize("code", [0, 1, 77])
async def test_a_function_that_exits_fails_its_call_with_the_code(
    pool: ProcessExecutor, code: int
) -> None:
    with pytest.raises(WorkerCrashedError, match=f"exit code {code}") as caught:
        await pool.submit(wf.exit_with, code)
    assert caught.value.exit_code == code
    assert caught.value.pid is not None
    assert is_dead(caught.value.pid)
    assert await pool.submit(wf.answer) == 42
    assert pool.metrics["crashed"] == 1


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM])
async def test_a_function_that_is_ended_by_a_signal_fails_its_call_with_its_name(
    make: Any, number: signal.Signals
) -> None:
    pool = make(max_workers=1)
    with pytest.raises(WorkerCrashedError, match=number.name) as caught:
        await pool.submit(wf.raise_signal, number)
    assert caught.value.exit_code == -number
    assert await pool.submit(wf.answer) == 42


async def test_an_argument_that_ends_its_worker_fails_its_call(pool: ProcessExecutor) -> None:
    with pytest.raises(WorkerCrashedError, match="exit code 5"):
        await pool.submit(wf.echo, wf.Deadly())
    assert await pool.submit(wf.answer) == 42


async def test_every_worker_at_once(make: Any, gate: Any) -> None:
    """When all of them die, their calls fail, queued ones run, and the pool is whole again."""
    pool = make(max_workers=3)
    victims = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for _ in range(3)]
    pids = [await gate.entered() for _ in range(3)]
    waiting = [asyncio.create_task(pool.submit(wf.echo, n)) for n in range(5)]
    await until(lambda: pool.metrics["pending"] == 8)
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    outcomes = await asyncio.gather(*victims, return_exceptions=True)
    assert all(isinstance(outcome, WorkerCrashedError) for outcome in outcomes)
    assert {outcome.pid for outcome in outcomes} == set(pids)  # type: ignore[union-attr]
    assert await asyncio.gather(*waiting) == list(range(5))
    assert pool.metrics["restarts"] == 3


async def test_crashes_one_after_the_other_wear_nothing_out(make: Any) -> None:
    pool = make(max_workers=1)
    descriptors = None
    for _ in range(10):
        with pytest.raises(WorkerCrashedError):
            await pool.submit(wf.exit_with, 1)
        assert await pool.submit(wf.answer) == 42
        now = psutil.Process().num_fds()
        descriptors = descriptors or now
        assert now <= descriptors
    assert pool.metrics["restarts"] == 10


async def test_an_idle_worker_that_dies_costs_no_call(pool: ProcessExecutor) -> None:
    pid = await pool.submit(wf.pid)
    os.kill(pid, signal.SIGKILL)
    await until(lambda: pid not in pool.pids)
    assert pool.metrics["workers"] == 0
    assert await pool.submit(wf.pid) != pid
    assert pool.metrics["crashed"] == 0
    assert pool.metrics["restarts"] == 1


async def test_a_call_just_after_an_idle_worker_died_is_served(pool: ProcessExecutor) -> None:
    """Before the loop had a chance to learn of it: nothing of the call was started."""
    pid = await pool.submit(wf.pid)
    os.kill(pid, signal.SIGKILL)
    block_until(lambda: is_dead(pid))
    assert await pool.submit(wf.pid) != pid
    assert pool.metrics["crashed"] == 0


async def test_short_calls_around_a_crash_all_answer(make: Any) -> None:
    """Calls that were sent to the worker ahead and never started go to the next one."""
    pool = make(max_workers=1)
    for number in range(30):
        await pool.submit(wf.echo, number)
    before = [asyncio.create_task(pool.submit(wf.echo, n)) for n in range(30)]
    victim = asyncio.create_task(pool.submit(wf.exit_with, 3))
    after = [asyncio.create_task(pool.submit(wf.echo, n)) for n in range(30, 60)]
    with pytest.raises(WorkerCrashedError, match="exit code 3"):
        await victim
    assert await asyncio.gather(*before, *after) == list(range(60))
    assert pool.metrics["crashed"] == 1
    assert pool.metrics["restarts"] == 1


async def test_a_stopped_worker_is_ended_by_the_limit_of_its_call(make: Any, gate: Any) -> None:
    """A worker that does not even handle signals."""
    pool = make(max_workers=1)
    await pool.submit(wf.answer)
    stuck = asyncio.create_task(pool.options(timeout=2.0).submit(wf.hold, gate.path))
    pid = await gate.entered()
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(ExecutorTimeoutError):
        await stuck
    await until(lambda: is_dead(pid))
    assert await pool.submit(wf.answer) == 42


async def test_a_crash_while_the_pool_ends_settles_its_call(make: Any, gate: Any) -> None:
    pool = make(max_workers=1)
    victim = asyncio.create_task(pool.submit(wf.hold, gate.path))
    pid = await gate.entered()
    ending = asyncio.create_task(pool.shutdown())
    await until(lambda: pool.closed)
    os.kill(pid, signal.SIGKILL)
    with pytest.raises(WorkerCrashedError):
        await victim
    async with asyncio.timeout(PATIENCE_SECONDS):
        await ending


# -- retries ----------------------------------------------------------------------------------


async def test_a_call_is_sent_again_as_often_as_it_is_told(make: Any, tmp_path: Path) -> None:
    pool = make(max_workers=1, retries=2)
    assert await pool.submit(wf.crash_until, str(tmp_path / "twice"), 2) == 2
    assert pool.metrics["completed"] == 1
    assert pool.metrics["crashed"] == 0
    assert pool.metrics["restarts"] == 2
    with pytest.raises(WorkerCrashedError, match="exit code 3"):
        await pool.submit(wf.crash_until, str(tmp_path / "ever"), 9)
    assert (tmp_path / "ever").stat().st_size == 3
    with pytest.raises(WorkerCrashedError):
        await pool.options(retries=0).submit(wf.crash_until, str(tmp_path / "once"), 1)
    assert (tmp_path / "once").stat().st_size == 1
    assert pool.metrics["crashed"] == 2


async def test_only_a_crash_is_tried_again(make: Any, tmp_path: Path) -> None:
    """Neither an exception nor a limit is; both would have the same end again."""
    pool = make(max_workers=1, retries=3)
    with pytest.raises(ValueError, match="no"):
        await pool.submit(wf.fail, ValueError("no"))
    trace = tmp_path / "trace"
    await pool.submit(wf.answer)
    with pytest.raises(ExecutorTimeoutError):
        await pool.options(timeout=0.5).submit(wf.record_and_spin, str(trace))
    assert trace.stat().st_size == 1


async def test_a_call_that_was_started_once_is_never_said_not_to_have_been(
    make: Any, gate: Any
) -> None:
    """queue_timeout is for calls that were never started; one that is tried again was."""
    limit = 1.0
    pool = make(max_workers=1, retries=1, start_method="spawn")
    loop = asyncio.get_running_loop()
    first = asyncio.create_task(pool.submit(wf.hold, gate.path))
    await gate.entered()
    began = loop.time()
    call = asyncio.create_task(pool.options(queue_timeout=limit).submit(wf.hold, gate.path))
    await until(lambda: pool.metrics["pending"] == 2)
    gate.release()
    await first
    pid = await gate.entered()
    await asyncio.sleep(began + limit - 0.02 - loop.time())
    os.kill(pid, signal.SIGKILL)  # the limit passes while the next worker starts
    entering = asyncio.create_task(gate.entered())
    await asyncio.wait([entering, call], return_when=asyncio.FIRST_COMPLETED)
    if call.done():
        entering.cancel()
        pytest.fail(f"refused as never started, after it ran in {pid}: {call.exception()!r}")
    gate.release()
    assert await call == "released"


# -- the template process ---------------------------------------------------------------------


async def kill_template_of(worker: int) -> int:
    """Kill the process that forked ``worker``; its pid, once it is gone."""
    template = template_of(worker)
    os.kill(template, signal.SIGKILL)
    await until(lambda: is_dead(template))
    return template


async def test_calls_in_flight_survive_the_template(
    make: Any, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers go on without the process that forked them; new ones get a new template."""
    give_workers_time_to_end(monkeypatch.setattr)  # the end is not to wait for as long as that
    pool = make(max_workers=2)
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    worker = await gate.entered()
    template = await kill_template_of(worker)
    other = await pool.submit(wf.pid)
    assert other != worker
    assert template_of(other) != template
    gate.release()
    assert await held == "released"
    assert worker in pool.pids
    async with asyncio.timeout(PATIENCE_SECONDS / 2):
        await pool.shutdown()
    assert is_dead(other)
    await until(lambda: is_dead(worker))  # whom nobody is told of: its template is gone


async def test_a_template_that_was_stopped_is_replaced(make: Any, gate: Any) -> None:
    """It neither starts nor ends a worker; those that run go on."""
    pool = make(max_workers=2)
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    worker = await gate.entered()
    template = template_of(worker)
    os.kill(template, signal.SIGSTOP)
    other = await asyncio.wait_for(pool.submit(wf.pid), 30)
    assert template_of(other) != template
    await until(lambda: is_dead(template))
    gate.release()
    assert await held == "released"
    assert pool.metrics["restarts"] == 0


async def test_a_stopped_template_does_not_hold_the_place_of_a_worker_that_was_killed(
    make: Any, gate: Any
) -> None:
    pool = make(max_workers=1)
    held = asyncio.create_task(pool.options(timeout=1.0).submit(wf.hold, gate.path))
    worker = await gate.entered()
    os.kill(template_of(worker), signal.SIGSTOP)
    with pytest.raises(ExecutorTimeoutError):
        await held
    assert await asyncio.wait_for(pool.submit(wf.answer), 30) == 42
    assert worker not in pool.pids


async def test_a_call_just_after_the_template_died_is_served(make: Any, gate: Any) -> None:
    """Before the loop had a chance to learn of it."""
    pool = make(max_workers=2)
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    template = template_of(await gate.entered())
    os.kill(template, signal.SIGKILL)
    block_until(lambda: is_dead(template))
    assert await pool.submit(wf.answer) == 42
    gate.release()
    assert await held == "released"


async def test_a_worker_without_its_template_still_crashes_as_any_other(
    make: Any, gate: Any
) -> None:
    pool = make(max_workers=1)
    victim = asyncio.create_task(pool.submit(wf.hold, gate.path))
    worker = await gate.entered()
    await kill_template_of(worker)
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(WorkerCrashedError) as caught:
        async with asyncio.timeout(PATIENCE_SECONDS):
            await victim
    assert caught.value.pid == worker
    assert await pool.submit(wf.answer) == 42


async def test_a_worker_of_an_earlier_template_crashes_as_any_other(make: Any, gate: Any) -> None:
    """The template that came after it does not know it."""
    pool = make(max_workers=2)
    victim = asyncio.create_task(pool.submit(wf.hold, gate.path))
    worker = await gate.entered()
    await kill_template_of(worker)
    assert await pool.submit(wf.pid) != worker
    os.kill(worker, signal.SIGKILL)
    with pytest.raises(WorkerCrashedError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await victim
    await until(lambda: worker not in pool.pids)
    assert pool.metrics["workers"] == 1


async def test_a_worker_of_an_earlier_template_is_ended_by_its_limit(make: Any, gate: Any) -> None:
    pool = make(max_workers=2)
    await asyncio.gather(pool.submit(wf.answer), pool.submit(wf.answer))
    stuck = asyncio.create_task(pool.options(timeout=2.0).submit(wf.hold, gate.path))
    worker = await gate.entered()
    await kill_template_of(worker)
    for pid in pool.pids:
        if pid != worker:
            os.kill(pid, signal.SIGKILL)
    await until(lambda: pool.pids == [worker])
    assert await pool.submit(wf.pid) != worker
    with pytest.raises(ExecutorTimeoutError):
        await stuck
    await until(lambda: is_dead(worker))
    await until(lambda: worker not in pool.pids)
    calls = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for _ in range(2)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await gate.entered()
        await gate.entered()
    gate.release()
    await asyncio.gather(*calls)


async def test_shutdown_without_the_template_leaves_nothing(
    make: Any, gate: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_workers_time_to_end(monkeypatch.setattr)  # the end is not to wait for as long as that
    pool = make(max_workers=1, shutdown_timeout=0.05)
    stuck = asyncio.create_task(pool.submit(wf.hold, gate.path))
    worker = await gate.entered()
    await kill_template_of(worker)
    async with asyncio.timeout(PATIENCE_SECONDS / 2):
        await pool.shutdown()
    with pytest.raises(ExecutorError):
        await stuck
    await until(lambda: is_dead(worker))


# -- when nothing can be started --------------------------------------------------------------


@contextlib.contextmanager
def no_more_descriptors() -> Iterator[None]:
    """As in a server that has reached its limit of open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_a_worker_that_cannot_be_started_fails_its_call_only(
    make: Any, gate: Any, tmp_path: Path
) -> None:
    pool = make(max_workers=2)
    trace = tmp_path / "trace"
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    await gate.entered()
    with no_more_descriptors():
        refused = asyncio.create_task(pool.options(queue_timeout=1).submit(wf.record, str(trace)))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await asyncio.shield(refused)
    gate.release()
    assert await held == "released"
    (outcome,) = await asyncio.gather(refused, return_exceptions=True)
    assert outcome is None or (isinstance(outcome, ExecutorError) and outcome.pool == "pool")
    assert await pool.submit(wf.answer) == 42
    assert (trace.stat().st_size if trace.exists() else 0) == int(outcome is None)
