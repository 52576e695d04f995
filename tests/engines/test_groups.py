# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a handler has started ends with its worker, however the worker ends, and not before."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
import worker_functions as wf
from apps import starting_programs as programs
from programs import TESTS, started
from waiting import is_dead, until

from genro_executor_plugin import ExecutorTimeoutError, ProcessExecutor, WorkerCrashedError

METHODS = ("forkserver", "spawn")

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="subreapers are of Linux")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder for the pids that handlers start; what is left of them is killed at the end."""
    yield tmp_path
    for pid in pids_in(tmp_path):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def pids_in(folder: Path) -> list[int]:
    file = folder / "pids"
    return list(map(int, file.read_text().split())) if file.exists() else []


async def all_are_gone(folder: Path) -> None:
    pids = pids_in(folder)
    assert len(pids) > len(programs.KINDS)
    await until(lambda: all(map(is_dead, pids)))


@pytest.fixture
def start_method() -> str:
    return "forkserver"


started_in_both_ways = pytest.mark.parametrize("start_method", METHODS)
"""For what the start of a worker sets up; what ends it afterwards is one template in both ways."""


@pytest.fixture
def pool(make: Any, start_method: str) -> ProcessExecutor:
    executor: ProcessExecutor = make(max_workers=1, start_method=start_method, shutdown_timeout=0.1)
    return executor


# -- however a worker ends ------------------------------------------------------------------------


@linux_only
@pytest.mark.parametrize(
    ("start_method", "handler"),
    [
        ("forkserver", programs.start_each_in_a_coroutine),
        ("spawn", programs.start_each_and_hold),
    ],
)
async def test_after_a_limit(pool: ProcessExecutor, folder: Path, gate: Any, handler: Any) -> None:
    limited = pool.options(timeout=2.0).submit(handler, str(folder), gate.path)
    with pytest.raises(ExecutorTimeoutError):
        await limited
    await all_are_gone(folder)
    assert await pool.submit(wf.answer) == 42


@linux_only
async def test_after_a_cancel(pool: ProcessExecutor, folder: Path, gate: Any) -> None:
    call = asyncio.create_task(pool.submit(programs.start_each_and_hold, str(folder), gate.path))
    await gate.entered()
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await all_are_gone(folder)


@linux_only
async def test_after_a_crash(pool: ProcessExecutor, folder: Path) -> None:
    with pytest.raises(WorkerCrashedError):
        await pool.submit(programs.start_each_and_crash, str(folder))
    await all_are_gone(folder)


@linux_only
async def test_after_a_kill(pool: ProcessExecutor, folder: Path) -> None:
    await pool.submit(programs.start_each, str(folder))
    assert pool.kill_worker(pool.pids[0])
    await all_are_gone(folder)


@linux_only
@started_in_both_ways
async def test_after_recycling(make: Any, folder: Path, start_method: str) -> None:
    pool = make(max_workers=1, max_tasks_per_child=1, start_method=start_method)
    await pool.submit(programs.start_each, str(folder))
    await all_are_gone(folder)
    assert await pool.submit(wf.answer) == 42


@linux_only
@started_in_both_ways
async def test_after_shutdown(pool: ProcessExecutor, folder: Path, gate: Any) -> None:
    """When ``shutdown`` returns, nothing is left, not even what ignores being asked to end."""
    stubborn = programs.start_stubborn_and_hold
    call = asyncio.create_task(pool.submit(stubborn, str(folder), gate.path))
    await gate.entered()
    await pool.shutdown()
    await asyncio.gather(call, return_exceptions=True)
    assert all(map(is_dead, pids_in(folder)))
    assert pids_in(folder)


@linux_only
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_after_the_server(folder: Path, number: int) -> None:
    with started(TESTS / "apps" / "starting_server.py", str(folder), imported=True) as server:
        await asyncio.to_thread(server.until_it_says, "started")
        server.signal(number)
        await asyncio.to_thread(server.wait_for_itself)
        await all_are_gone(folder)


@linux_only
async def test_after_a_worker_without_its_template(
    pool: ProcessExecutor, folder: Path, gate: Any
) -> None:
    """The template, which ends what workers leave behind, was killed itself."""
    await pool.submit(wf.answer)
    (pid,) = pool.pids
    call = asyncio.create_task(pool.submit(programs.start_each_and_hold, str(folder), gate.path))
    await gate.entered()
    template = psutil.Process(pid).ppid()
    os.kill(template, signal.SIGKILL)
    await until(lambda: is_dead(template))
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await all_are_gone(folder)


# -- and not before -------------------------------------------------------------------------------


@linux_only
async def test_it_goes_on_between_calls(pool: ProcessExecutor, folder: Path) -> None:
    """Also when another call of that worker has failed, or was ended by a soft limit."""
    pids = await pool.submit(programs.start_each, str(folder))
    worker = pool.pids
    with pytest.raises(ZeroDivisionError):
        await pool.submit(wf.fail, ZeroDivisionError())
    with pytest.raises(TimeoutError):
        await pool.options(soft_timeout=0.1).submit(wf.spin)
    await asyncio.gather(*(pool.submit(wf.pid_async) for _ in range(3)))
    assert pool.pids == worker
    assert not any(map(is_dead, pids))


@linux_only
async def test_it_does_not_end_with_another_worker(make: Any, folder: Path, gate: Any) -> None:
    pool = make(max_workers=2)
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    victim = await gate.entered()
    pids = await pool.submit(programs.start_each, str(folder))
    os.kill(victim, signal.SIGKILL)
    with pytest.raises(WorkerCrashedError):
        await held
    assert await pool.submit(wf.answer) == 42
    assert not any(map(is_dead, pids))


@linux_only
async def test_what_a_preloaded_module_has_started_stays(make: Any, tmp_path: Path) -> None:
    """It is the template's: every worker may use it."""
    module = tmp_path / "starts_a_program.py"
    module.write_text("import subprocess\nprocess = subprocess.Popen(['sleep', '600'])\n")
    sys.path.insert(0, str(tmp_path))
    try:
        pool = make(max_workers=1, preload=["starts_a_program"])
        await pool.submit(wf.answer)
        template = psutil.Process(psutil.Process(pool.pids[0]).ppid())
        (program,) = [p for p in template.children() if p.name() == "sleep"]
        assert pool.kill_worker(pool.pids[0])
        await pool.submit(wf.answer)
        assert program.is_running()
        await pool.shutdown()
        program.kill()
    finally:
        sys.path.remove(str(tmp_path))


# -- groups, orphans, descriptors and signals -----------------------------------------------------


@started_in_both_ways
async def test_a_worker_that_signals_its_group_hits_nobody_else(pool: ProcessExecutor) -> None:
    pid, group = await pool.submit(programs.group)
    assert pid == group
    template = psutil.Process(pid).ppid()
    with pytest.raises(WorkerCrashedError):
        await pool.submit(programs.signal_my_group)
    assert await pool.submit(wf.answer) == 42
    assert not is_dead(template)


@linux_only
async def test_orphans_are_reaped(pool: ProcessExecutor, folder: Path) -> None:
    """The template reaps what workers leave behind, so that no zombie stays in a container."""
    await pool.submit(programs.start_each, str(folder))
    template = psutil.Process(psutil.Process(pool.pids[0]).ppid())
    assert pool.kill_worker(pool.pids[0])
    await all_are_gone(folder)
    await until(lambda: not template.children(recursive=True))


@linux_only
@started_in_both_ways
async def test_a_program_inherits_nothing_of_the_worker(pool: ProcessExecutor) -> None:
    assert await pool.submit(wf.echo, b"x" * 1_000_000)  # a segment is open here and there
    for open_there in (
        await pool.submit(programs.descriptors_of_a_program),
        await pool.submit(programs.descriptors_of_a_program_with, b"x" * 1_000_000),
    ):
        ours = [name for name in open_there if name.startswith(("socket:", "/memfd:"))]
        # Standard output and error of that program are pipes of its own.
        pipes = {name for name in open_there if name.startswith("pipe:")}
        assert not ours
        assert len(pipes) <= 4, open_there


@started_in_both_ways
async def test_blocked_and_ignored_signals_do_not_reach_workers(
    pool: ProcessExecutor,
) -> None:
    blocked = {signal.SIGCHLD, signal.SIGALRM, signal.SIGTERM, signal.SIGUSR1}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    handler = signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    try:
        await pool.submit(wf.answer)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        signal.signal(signal.SIGUSR2, handler)
    assert await pool.submit(programs.blocked_signals) == []
    assert await pool.submit(programs.end_a_program) == -signal.SIGTERM
    for _ in range(2):  # the template has noticed the end of the first worker
        with pytest.raises(WorkerCrashedError):
            await pool.submit(wf.raise_signal, int(signal.SIGKILL))
    with pytest.raises(TimeoutError):
        await pool.options(soft_timeout=0.2).submit(wf.spin)
    with pytest.raises(WorkerCrashedError) as crash:
        await pool.submit(wf.raise_signal, int(signal.SIGUSR2))
    assert crash.value.exit_code == -signal.SIGUSR2
