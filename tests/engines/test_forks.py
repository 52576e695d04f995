# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A forked child, of a handler or of the server, lets go of everything that is ours."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import worker_functions as wf
from apps import forking
from programs import TESTS, started
from waiting import is_dead

from genro_executor_plugin import ProcessExecutor, ThreadExecutor
from genro_executor_plugin.tasks.store.members import Membership

METHODS = ("forkserver", "spawn")


@pytest.fixture(params=METHODS)
def pool(make: Any, request: pytest.FixtureRequest) -> ProcessExecutor:
    executor: ProcessExecutor = make(max_workers=1, start_method=request.param)
    return executor


async def others_go_on(pool: ProcessExecutor) -> None:
    answers = await asyncio.gather(*(pool.submit(wf.echo, (n, "x" * 40_000)) for n in range(30)))
    assert [n for n, _ in answers] == list(range(30))


# -- children of handlers -------------------------------------------------------------------------


@pytest.mark.parametrize("how", forking.CODES)
async def test_a_child_that_comes_back_does_not_answer(pool: ProcessExecutor, how: str) -> None:
    for handler in (forking.sync, forking.coroutine):
        who, code = await pool.submit(handler, how)
        assert who == "parent"
        assert code == forking.CODES[how]
    pids = pool.pids
    await others_go_on(pool)
    assert pool.pids == pids


@pytest.mark.parametrize("how", forking.CODES)
async def test_a_child_on_a_workers_thread_does_not_answer(make: Any, how: str) -> None:
    pool = make(max_workers=1, threads_per_worker=2)
    assert await pool.submit(forking.sync, how) == ("parent", forking.CODES[how])
    await others_go_on(pool)


@pytest.mark.parametrize("how", forking.CODES)
async def test_a_child_on_a_thread_of_the_server_does_not_answer(how: str) -> None:
    pool = ThreadExecutor("threads", max_workers=1)
    assert await pool.submit(forking.sync, how) == ("parent", forking.CODES[how])
    assert await pool.submit(wf.answer) == 42
    await pool.shutdown()


@pytest.mark.parametrize("generator", [forking.stream, forking.async_stream])
async def test_a_child_of_a_stream_sends_no_chunk(pool: ProcessExecutor, generator: Any) -> None:
    chunks = [chunk async for chunk in pool.stream(generator, "return")]
    assert chunks == [("parent", 0), ("parent", 0)]
    await others_go_on(pool)


@pytest.mark.parametrize("how", forking.CODES)
async def test_a_child_of_an_initializer_is_no_worker(make: Any, how: str) -> None:
    pool = make(max_workers=1, initializer=forking.forking_initializer, initargs=(how,))
    await others_go_on(pool)
    assert len(pool.pids) == 1


async def test_a_child_has_nothing_of_its_worker(pool: ProcessExecutor) -> None:
    await pool.submit(wf.echo, b"x" * 1_000_000)
    names = await pool.submit(forking.descriptors)
    assert not [name for name in names if name.startswith(("socket:", "/memfd:"))]


async def test_children_that_log_do_not_tear_the_channel(
    pool: ProcessExecutor, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Their records go to standard error, those of the worker to the server's handlers."""
    assert await pool.submit(forking.logging_children) == [0, 0, 0]
    await others_go_on(pool)
    errors = capfd.readouterr().err
    for number in range(3):
        assert errors.count(f"WARNING:forked:child {number}: ") == 10
    assert sum(record.name == "forked" for record in caplog.records) == 10


@pytest.mark.parametrize("method", ["fork", "spawn"])
async def test_handlers_use_processes_as_elsewhere(make: Any, method: str) -> None:
    pool = make(max_workers=1)
    assert await pool.submit(forking.uses_of_processes, method) == {
        "pool": [0, 1, 4, 9],
        "executor": [0, 1, 4, 9],
        "queue": 7,
        "run": "said\n",
        "spawn": 0,
    }


# -- children of the server -----------------------------------------------------------------------


async def test_a_child_of_a_killed_server_keeps_nothing_alive(tmp_path: Path) -> None:
    """The workers end, and the store of long jobs is free, while the child goes on."""
    with started(TESTS / "apps" / "forking_server.py", str(tmp_path), imported=True) as server:
        said = await asyncio.to_thread(server.until_it_says, r"child (?P<child>\d+)")
        child = int(said["child"])
        ours = {process for process in server.descendants() if process.pid != child}
        assert len(ours) == 3
        try:
            server.signal(signal.SIGKILL)
            await asyncio.to_thread(server.wait_for_itself)
            assert not {p.pid for p in await asyncio.to_thread(server.left)} - {child}
            assert Membership(tmp_path).others() == []
            (ended,) = Membership(tmp_path).ended()
            await asyncio.to_thread(ended.await_workers)
            ended.remove()
            assert not is_dead(child)
        finally:
            with suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)


async def test_a_child_may_use_the_pools_of_its_server(make: Any) -> None:
    """With workers of its own; the server's go on."""
    pool = make(max_workers=1)
    pid = await pool.submit(wf.pid)
    child = os.fork()
    if child == 0:
        code = 1
        with suppress(BaseException):
            asyncio.events._set_running_loop(None)
            other = asyncio.new_event_loop().run_until_complete(pool.submit(wf.pid))
            code = 0 if other != pid else 2
        os._exit(code)
    status = await asyncio.to_thread(os.waitpid, child, 0)
    assert os.waitstatus_to_exitcode(status[1]) == 0
    assert await pool.submit(wf.pid) == pid
