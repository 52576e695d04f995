# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How a worker ends: what its code has left comes to an end, too, while the server is there."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
import worker_functions as wf
from apps import leaving
from grace import give_workers_time_to_end
from waiting import until

from genro_executor_plugin import ProcessExecutor, WorkerCrashedError

METHODS = ("forkserver", "spawn")

EVERYTHING = ["atexit", "executor", "finalize", "thread"]

HAS_A_FOLDER = """
import tempfile, atexit
FOLDER = tempfile.TemporaryDirectory()
def write(text):
    with open(FOLDER.name + "/text", "w") as file: file.write(text)
    return FOLDER.name
def read():
    with open(FOLDER.name + "/text") as file: return file.read()
"""


@pytest.fixture(params=METHODS)
def pool(make: Any, request: pytest.FixtureRequest) -> ProcessExecutor:
    executor: ProcessExecutor = make(max_workers=1, start_method=request.param)
    return executor


async def test_everything_ends_at_the_shutdown(
    pool: ProcessExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_workers_time_to_end(monkeypatch.setattr)
    file = str(tmp_path / "log")
    await pool.submit(leaving.leave_everything, file)
    await pool.submit(leaving.leave_tasks, file)
    await pool.shutdown()
    assert leaving.noted(file) == sorted([*EVERYTHING, "generator", "task"])


@pytest.mark.parametrize("start_method", METHODS)
async def test_everything_ends_when_a_worker_is_replaced(
    make: Any, tmp_path: Path, start_method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_workers_time_to_end(monkeypatch.setattr)
    file = str(tmp_path / "log")
    pool = make(max_workers=1, max_tasks_per_child=1, start_method=start_method)
    await pool.submit(leaving.leave_everything, file)
    await until(lambda: leaving.noted(file) == EVERYTHING)


async def test_what_does_not_end_is_killed(pool: ProcessExecutor, tmp_path: Path) -> None:
    """A hook of the handler's that blocks holds up nobody for longer than the grace."""
    await pool.submit(leaving.leave_a_blocking_hook)
    (pid,) = pool.pids
    await asyncio.wait_for(pool.shutdown(), 40)
    assert not psutil.pid_exists(pid)


async def test_a_worker_leaves_the_templates_hooks_alone(make: Any, tmp_path: Path) -> None:
    """The folder that a preloaded module has made is there until the pool ends."""
    (tmp_path / "has_a_folder.py").write_text(HAS_A_FOLDER)
    sys.path.insert(0, str(tmp_path))
    try:
        import has_a_folder  # type: ignore[import-not-found] # it was written just now

        pool = make(max_workers=1, max_tasks_per_child=1, preload=["has_a_folder"])
        folder = await pool.submit(has_a_folder.write, "kept")
        assert await pool.submit(has_a_folder.read) == "kept"
        await pool.shutdown()
        assert await asyncio.to_thread(Path(folder).exists) is False
    finally:
        sys.path.remove(str(tmp_path))
        has_a_folder.FOLDER.cleanup()


# -- coroutines that break their event loop -------------------------------------------------------


async def test_a_coroutine_that_stops_the_loop_stops_no_other(pool: ProcessExecutor) -> None:
    neighbour = asyncio.create_task(pool.submit(leaving.wait_for, 0.3))
    await pool.submit(wf.pid_async)
    pids = pool.pids
    assert await asyncio.wait_for(pool.submit(leaving.stop_the_loop), 40) == "stopped"
    assert await neighbour == "waited"
    assert await pool.submit(wf.pid_async) == pids[0]


@pytest.mark.parametrize(
    "handler",
    [
        leaving.close_the_epoll,
        leaving.close_all_descriptors,
        leaving.close_all_descriptors_sync,
    ],
)
async def test_a_worker_whose_descriptors_are_closed_ends(
    pool: ProcessExecutor, handler: Any
) -> None:
    """Its neighbours are told, instead of waiting for ever."""
    neighbour = asyncio.create_task(pool.submit(leaving.wait_for, 600))
    await asyncio.sleep(0)  # it is sent first, and has begun when the next coroutine has ended
    await pool.submit(wf.pid_async)
    for call in (pool.submit(handler), neighbour):
        with pytest.raises(WorkerCrashedError):
            await asyncio.wait_for(call, 40)
    assert await pool.submit(wf.answer) == 42
