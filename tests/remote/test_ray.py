# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools on a Ray that runs on loopback: what the contract of all kinds does not ask."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy
import psutil
import pytest
import worker_functions as wf
from apps.far import Shop, warn
from programs import run_program
from rays import ray_pool, shared_pids
from servers import serving
from waiting import is_dead, until

import genro_executor_plugin
from genro_executor_plugin import (
    ExecutorConfigError,
    ExecutorConsole,
    ExecutorTimeoutError,
    WorkerCrashedError,
    worker_index,
)

pytestmark = [pytest.mark.ray, pytest.mark.once]


@pytest.fixture
async def make() -> AsyncIterator[Any]:
    made: list[Any] = []

    def make(**options: Any) -> Any:
        made.append(ray_pool(**options))
        return made[-1]

    yield make
    for pool in made:
        await pool.shutdown()


async def test_a_worker_that_dies_fails_its_own_call_and_is_replaced(make: Any, gate: Any) -> None:
    pool = make(max_workers=2)
    calls = [asyncio.create_task(pool.submit(wf.hold, gate.path, n)) for n in range(2)]
    victim = await gate.entered()
    await gate.entered()
    os.kill(victim, signal.SIGKILL)
    await until(lambda: any(call.done() for call in calls))
    assert await pool.submit(wf.answer) == 42  # by a worker in its place
    gate.release()
    crashed, other = sorted(
        await asyncio.gather(*calls, return_exceptions=True), key=lambda found: type(found) is int
    )
    assert isinstance(crashed, WorkerCrashedError)
    assert (crashed.pid, crashed.pool) == (victim, "pool")
    assert "worker_functions.hold" in str(crashed)
    assert "common causes" not in str(crashed)
    assert other in (0, 1)
    assert pool.restarts == {"crashed": 1}
    assert pool.metrics["crashed"] == 1


async def test_a_crash_is_repeated_as_often_as_was_asked(make: Any, tmp_path: Path) -> None:
    pool = make(max_workers=1)
    trace = tmp_path / "trace"
    assert await pool.options(retries=2).submit(wf.crash_until, str(trace), 2) == 2
    with pytest.raises(WorkerCrashedError):
        await pool.submit(wf.exit_with, 3)
    assert pool.restarts == {"crashed": 3}


async def test_a_run_over_its_timeout_is_killed_and_so_is_one_whose_caller_left(
    make: Any, gate: Any
) -> None:
    pool = make(max_workers=1)
    held = asyncio.create_task(pool.options(timeout=0.2).submit(wf.hold, gate.path))
    pid = await gate.entered()
    with pytest.raises(ExecutorTimeoutError, match=r"hold ran longer than 0\.2 s"):
        await held
    await until(lambda: is_dead(pid))
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    pid = await gate.entered()
    held.cancel()
    with suppress(asyncio.CancelledError):
        await held
    await until(lambda: is_dead(pid))
    assert pool.restarts == {"timeout": 1, "cancelled": 1}
    assert await pool.submit(wf.answer) == 42


async def test_a_run_that_is_left_alone_keeps_its_worker(make: Any, gate: Any) -> None:
    pool = make(max_workers=1, on_cancel="abandon")
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    pid = await gate.entered()
    held.cancel()
    with suppress(asyncio.CancelledError):
        await held
    next_one = asyncio.create_task(pool.submit(wf.pid))
    gate.release()
    assert await next_one == pid
    assert pool.restarts == {}


def look_at(values: Any) -> tuple[bool, bool, float]:
    return values.flags.owndata, values.flags.writeable, float(values.sum())


async def test_large_arrays_lie_in_the_object_store_and_are_not_copied(make: Any) -> None:
    pool = make(max_workers=1)
    values = numpy.ones(1_000_000)
    assert await pool.submit(look_at, values) == (False, False, 1_000_000.0)
    assert await pool.submit(look_at, values[1:]) == (False, False, 999_999.0)
    found = await pool.submit(wf.echo, values)
    assert look_at(found) == (False, False, 1_000_000.0)
    assert len(await pool.submit(wf.echo, b"x" * 5_000_000)) == 5_000_000
    with pytest.raises(ValueError, match="read-only"):
        await pool.submit(wf.change_in_place, values)
    assert await pool.submit(wf.change_in_place, values[:10].copy()) is not None  # a small one


async def test_workers_are_prepared_kept_and_told_apart(make: Any) -> None:
    pool = make(
        min_workers=1,
        max_workers=2,
        idle_timeout=0.3,
        preload=["colorsys"],
        initializer=wf.initialize,
        initargs=("model", 1),
        runtime_env={"env_vars": {"OF_THE_POOL": "yes"}},
    )
    await pool.warm()
    (worker,) = pool.worker_states()
    assert (worker.state, worker.host, worker.places) == ("idle", socket.gethostname(), 1)
    assert await pool.submit(wf.initialized) == [("model", 1)]
    assert await pool.submit(wf.loaded, "colorsys") == ["colorsys"]
    assert await pool.submit(wf.environment, "OF_THE_POOL") == "yes"
    assert await pool.submit(worker_index) == 0
    pids = await asyncio.gather(*(pool.submit(wf.linger, 0.5, n) for n in range(2)))
    assert pids == [0, 1]
    assert pool.metrics["workers"] == 2
    await until(lambda: pool.metrics["workers"] == 1)
    assert not pool.restarts


async def test_workers_are_replaced_killed_and_made_fewer(make: Any, tmp_path: Path) -> None:
    flag = tmp_path / "may start"
    flag.touch()
    pool = make(max_workers=2, initializer=wf.initialize_if_there, initargs=(str(flag),))
    old = await pool.submit(wf.pid)
    await pool.restart()
    new = await pool.submit(wf.pid)
    assert new != old
    assert pool.restarts == {"restart": 1}
    flag.unlink()
    with pytest.raises(WorkerCrashedError, match="cannot start a worker on Ray"):
        await pool.restart()
    assert await pool.submit(wf.pid) == new
    flag.touch()
    assert not pool.kill_worker(os.getpid())
    assert pool.kill_worker(new)
    await until(lambda: is_dead(new))
    assert await pool.submit(wf.answer) == 42
    pool.resize(1)
    assert await pool.submit(wf.answer) == 42


async def test_a_worker_that_cannot_start_is_told_to_those_who_wait(make: Any) -> None:
    broken = make(max_workers=1, initializer=wf.initialize_badly, initargs=("no model",))
    with pytest.raises(WorkerCrashedError, match=r"cannot start a worker on Ray: .*no model"):
        await broken.submit(wf.answer)
    assert "no model" in broken.unhealthy
    greedy = make(max_workers=1, num_cpus=99, start_timeout=1.0)
    with pytest.raises(WorkerCrashedError, match=r"start_timeout=1 s.*'num_cpus': 99.*free"):
        await greedy.submit(wf.answer)
    assert greedy.metrics["workers"] == 0


async def test_routes_keep_their_replicas_and_the_console_shows_the_nodes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pools: Any = {"jobs": {"executor_type": "ray", "max_workers": 1}}
    async with serving(Shop, ExecutorConsole, executors=pools) as site:
        app: Any = site.app("shop")
        assert (await site.get("/shop/greet", whom="you")).text == "corner shop: hello you"
        assert await site.json("/shop/cellar/bottles", shelf="2") == 24
        app.name = "shop around the corner"
        greeting = (await site.get("/shop/greet", whom="me")).text
        assert greeting == "shop around the corner: hello me"

        caplog.set_level(logging.INFO)
        assert await site.server.get_executor("jobs").submit(warn, "it leaks") == 1
        (record,) = (record for record in caplog.records if record.getMessage() == "it leaks")
        assert (record.executor_pool, record.levelname) == ("jobs", "WARNING")

        snapshot = await site.json("/_executors/snapshot")
        (pool,) = (pool for pool in snapshot["pools"] if pool["name"] == "jobs")
        (seen,) = pool["worker_states"]
        assert (seen["host"], seen["state"]) == (socket.gethostname(), "idle")
        assert pool["unhealthy"] is None
        assert "kill_worker" in pool["controls"]


async def test_a_pool_with_another_address_is_refused(make: Any) -> None:
    with pytest.raises(ExecutorConfigError, match=r"'10\.0\.0\.9:6379'.*connected to Ray"):
        await make(address="10.0.0.9:6379").submit(wf.answer)


def test_ray_listens_on_loopback_only(ray_here: None) -> None:
    listening = [
        connection.laddr.ip.removeprefix("::ffff:")
        for pid in shared_pids() | {os.getpid()}
        for connection in psutil.Process(pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert len(listening) > 3
    assert set(listening) == {"127.0.0.1"}


PROGRAM = """
import asyncio, os, sys
from genro_executor_plugin import RayExecutor

def where():
    return os.getpid()

async def main():
    async with RayExecutor("own", max_workers=1) as pool, RayExecutor("same", max_workers=1) as two:
        assert await pool.submit(where) != os.getpid()
        assert await two.submit(where) != os.getpid()
        import ray, psutil
        assert ray.util.get_node_ip_address() == "127.0.0.1"
        processes = psutil.Process().children(recursive=True)
    assert not ray.is_initialized()
    gone, left = psutil.wait_procs(processes, timeout=10)
    assert not left, left

asyncio.run(main())
print("ended")
"""


@pytest.mark.timeout(120)
def test_a_pool_without_an_address_starts_ray_and_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("programs.RUN_TIMEOUT_SECONDS", 90)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    assert run_program(program, cwd=tmp_path).endswith("ended\n")  # see rays.running_ray
    assert "ray" in sys.modules


REFUSED = """
import asyncio
from genro_executor_plugin import RayExecutor, WorkerCrashedError

async def main():
    async with RayExecutor("own", max_workers=1) as pool:
        try:
            await pool.submit(len, "abc")
        except WorkerCrashedError as error:
            print(error)

asyncio.run(main())
"""


@pytest.mark.timeout(120)
def test_a_worker_that_has_the_package_from_elsewhere_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers look into the program's working directory before they look anywhere else."""
    monkeypatch.setattr("programs.RUN_TIMEOUT_SECONDS", 90)
    package = Path(genro_executor_plugin.__file__).parent
    copy = tmp_path / "elsewhere" / package.name
    shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "of_another_version.py").touch()
    program = tmp_path / "program.py"
    program.write_text(REFUSED)
    told = run_program(program, cwd=copy.parent)
    assert "has other code: the source of module genro_executor_plugin differs" in told
