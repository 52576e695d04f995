# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The store of long jobs: restarts, damage, full disks. Several servers: ``test_tasks_sharing``."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import task_functions as tf
from conftest import Gate
from due_jobs import make_due
from genro_routes import route
from programs import TESTS, started
from servers import built, until

from genro_executor_plugin import (
    ExecutorApplication,
    SerializationError,
    TaskLostError,
    TaskState,
    TaskStatus,
    TaskStoreError,
)
from genro_executor_plugin.tasks.store.database import Database

LASTING = TESTS / "apps" / "lasting.py"


class Desk(ExecutorApplication):
    mount = "desk"

    @route(executor="jobs")
    def stamp(self, text: str) -> str:
        return f"stamped {text}"


@asynccontextmanager
async def desk(folder: Path, **settings: Any) -> AsyncIterator[Any]:
    settings = {"path": folder / "store", "pool": "jobs", "shutdown_timeout": 0.0, **settings}
    executors = {
        "jobs": {"max_workers": 2, "shutdown_timeout": 1.0},
        "db": {"executor_type": "thread", "max_workers": 1, "shutdown_timeout": 0.1},
    }
    async with built(Desk, executors=executors, long_tasks=settings) as server:
        await server.long_tasks.start()
        server.long_tasks.begin()
        yield server.applications["desk"]


def rows(folder: Path, query: str) -> list[Any]:
    with closing(sqlite3.connect(folder / "store" / "jobs.sqlite")) as connection:
        return connection.execute(query).fetchall()


def change(folder: Path, statement: str, *values: Any) -> None:
    with closing(sqlite3.connect(folder / "store" / "jobs.sqlite")) as connection, connection:
        connection.execute(statement, values)


# -- batches --------------------------------------------------------------------------------------


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(
        tmp_path / "x.sqlite", lambda connection: connection.execute("CREATE TABLE t (n UNIQUE)")
    )
    database.open().result(40)
    yield database
    database.close()


def insert(number: int) -> Any:
    return lambda connection: connection.execute("INSERT INTO t VALUES (?)", (number,)).rowcount


def test_what_gathers_during_a_commit_shares_the_next_one(database: Database) -> None:
    commits: list[int] = []

    def slow(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(
            lambda statement: commits.append(1) if statement == "COMMIT" else None
        )
        time.sleep(0.1)  # what arrives meanwhile is the next batch

    first = database.run(slow)
    later = [database.run(insert(number)) for number in range(100)]
    first.result(40)
    for future in later:
        assert future.result(40) == 1
    assert len(commits) <= 3


def test_a_bad_operation_takes_only_itself_down(database: Database) -> None:
    barrier = database.run(lambda _: time.sleep(0.05))
    numbers = [1, 2, 2, 3, 1, 4]
    futures = [database.run(insert(number)) for number in numbers]
    barrier.result(40)
    refused = [future.exception(40) is not None for future in futures]
    assert refused == [False, False, True, False, True, False]
    assert isinstance(futures[2].exception(), TaskStoreError)
    (count,) = database.run(
        lambda connection: connection.execute("SELECT count(*) FROM t").fetchone()
    ).result(40)
    assert count == 4


def test_what_comes_after_the_end_is_refused(database: Database) -> None:
    done = database.run(insert(1))
    database.close()
    assert done.result(0) == 1  # what was queued before is done
    with pytest.raises(TaskStoreError, match="is closed"):
        database.run(insert(2)).result(40)


# -- its servers ----------------------------------------------------------------------------------


async def test_a_server_without_long_jobs_makes_no_store(tmp_path: Path) -> None:
    async with desk(tmp_path) as app:
        assert await app.tasks.list() == []
    assert not (tmp_path / "store" / "jobs.sqlite").exists()


async def test_a_killed_servers_workers_are_gone_before_its_store_is_taken(
    tmp_path: Path,
) -> None:
    """Even what the kernel has not ended with it: here a template that was stopped before."""
    arguments = (str(tmp_path / "store"), str(tmp_path))
    with started(LASTING, *arguments, cwd=tmp_path, imported=True) as first:
        await asyncio.to_thread(first.until_it_serves)
        async with first.client() as client:
            answer = await client.get("/lasting/once", params={"name": "long", "seconds": 60})
            task_id = answer.json()["task_id"]
            await until(lambda: (tmp_path / "begun").exists())
        for process in first.descendants():
            process.suspend()
        first.signal(signal.SIGKILL)
        await asyncio.to_thread(first.wait_for_itself)  # its output is held by what is left
        assert first.left(0.2)
        async with desk(tmp_path) as app:
            # Killed, and doing nothing any more; the system may need a moment to take them away.
            assert not first.left(5.0)
            with pytest.raises(TaskLostError, match="repeatable=True"):
                await app.tasks.result(task_id)
            status = await app.tasks.status(task_id)
            assert (status.state, status.attempts) == (TaskState.LOST, 1)


# -- restarts -------------------------------------------------------------------------------------


async def test_what_waits_runs_with_the_next_server(tmp_path: Path) -> None:
    async with desk(tmp_path) as app:
        later = app.tasks.options(eta=timedelta(hours=1))
        function = await later.submit(tf.add, 1, 2)
        handler = await later.submit(app.stamp, "it")
        instance = await later.submit(tf.length, [app])
    make_due(tmp_path)
    async with desk(tmp_path) as app:
        assert await app.tasks.result(function) == 3
        assert await app.tasks.result(handler) == "stamped it"
        with pytest.raises(SerializationError):
            # An application among the arguments is found again, and travels as a replica.
            await app.tasks.result(await app.tasks.submit(tf.unpicklable))
        assert await app.tasks.result(instance) == 1


async def test_jobs_of_before_wait_until_the_applications_are_up(tmp_path: Path) -> None:
    async with desk(tmp_path) as app:
        later = app.tasks.options(eta=timedelta(hours=1))
        one, other = await later.submit(tf.add, 1, 1), await later.submit(tf.add, 2, 2)
    make_due(tmp_path)
    settings = {"path": tmp_path / "store", "pool": "jobs"}
    executors = {"jobs": {"max_workers": 1}}
    async with built(Desk, executors=executors, long_tasks=settings) as server:
        await server.long_tasks.start()
        with pytest.raises(TimeoutError):
            await server.long_tasks.result(one, timeout=0.5)  # as an on_startup might ask
        assert (await server.long_tasks.cancel(other)).state is TaskState.CANCELLED
        server.long_tasks.begin()
        assert await server.long_tasks.result(one) == 2


async def test_results_and_failures_are_read_by_the_next_server(tmp_path: Path) -> None:
    async with desk(tmp_path) as app:
        good = await app.tasks.submit(tf.add, 1, 2)
        bad = await app.tasks.submit(tf.fail, "no such book")
        await app.tasks.result(good)
        with pytest.raises(LookupError):
            await app.tasks.result(bad)
    async with desk(tmp_path) as app:
        assert await app.tasks.result(good) == 3
        with pytest.raises(LookupError, match="no such book") as caught:
            await app.tasks.result(bad)
        assert "in fail" in str(caught.value.__cause__)


async def test_a_shutdown_ends_what_runs_and_says_so(tmp_path: Path, gate: Gate) -> None:
    async with desk(tmp_path) as app:
        lost = await app.tasks.submit(tf.note_and_hold, str(tmp_path / "a"), "a", gate.path)
        tasks = app.tasks.options(repeatable=True)
        again = await tasks.submit(tf.note_and_hold, str(tmp_path / "b"), "b", gate.path)
        await gate.entered()
        await gate.entered()
        waiting = asyncio.create_task(app.tasks.result(again))
        await asyncio.sleep(0)
    with pytest.raises(Exception, match="goes on with the next one"):
        await waiting
    async with desk(tmp_path) as app:
        with pytest.raises(TaskLostError):
            await app.tasks.result(lost)
        await gate.entered()
        gate.release()
        assert await app.tasks.result(again) == "b"
        assert (await app.tasks.status(again)).attempts == 2
    assert (tmp_path / "a").read_text() == "a\n"
    assert (tmp_path / "b").read_text() == "b\nb\n"


async def test_a_thread_that_goes_on_keeps_its_job(tmp_path: Path, gate: Gate) -> None:
    """It could run twice at a time if another server took it over."""
    async with desk(tmp_path) as app:
        tasks = app.tasks.options(pool="db", repeatable=True)
        job = await tasks.submit(tf.note_and_hold, "/dev/null", "", gate.path)
        await gate.entered()
    async with desk(tmp_path) as app:
        assert (await app.tasks.status(job)).state is TaskState.RUNNING
        assert app.server.long_tasks._runner.jobs == {}
    gate.release()
    assert rows(tmp_path, "SELECT state FROM tasks") == [("running",)]


async def test_a_job_whose_application_is_gone_fails_with_the_reason(tmp_path: Path) -> None:
    async with desk(tmp_path) as app:
        job = await app.tasks.options(eta=timedelta(hours=1)).submit(app.stamp, "it")
    make_due(tmp_path)
    settings = {"path": tmp_path / "store", "pool": "jobs"}
    executors = {"jobs": {"max_workers": 1}}
    async with built(executors=executors, long_tasks=settings) as server:
        await server.long_tasks.start()
        server.long_tasks.begin()
        with pytest.raises(Exception, match="no route 'desk/stamp'"):
            await server.long_tasks.result(job)
        assert (await server.long_tasks.status(job)).state is TaskState.FAILED


async def test_a_job_whose_call_leads_nowhere_for_a_while_runs_again_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release without its function, its route or its pool takes nothing that it needs."""
    async with desk(tmp_path) as app:
        later = app.tasks.options(eta=timedelta(hours=1))
        jobs = [
            await later.submit(tf.add, 1, 2),
            await later.submit(app.stamp, "it"),
            await later.options(pool="db").submit(tf.length, "four"),
        ]
    make_due(tmp_path)
    settings = {"path": tmp_path / "store", "pool": "jobs"}
    with monkeypatch.context() as release:
        release.delattr(tf, "add")
        async with built(executors={"jobs": {}}, long_tasks=settings) as server:
            await server.long_tasks.start()
            server.long_tasks.begin()
            for job, reason in zip(jobs, ("add", "no route", "'db'"), strict=True):
                with pytest.raises(Exception, match=reason):
                    await server.long_tasks.result(job)
    async with desk(tmp_path) as app:
        for job in jobs:
            await app.tasks.retry(job)
        assert [await app.tasks.result(job) for job in jobs] == [3, "stamped it", 4]
        assert (await app.server.long_tasks.counts())["damaged"] == 0


# -- damage ---------------------------------------------------------------------------------------


async def test_a_call_that_is_damaged_fails_its_job_and_is_set_aside(tmp_path: Path) -> None:
    async with desk(tmp_path) as app:
        later = app.tasks.options(eta=timedelta(hours=1))
        flipped, unreadable, good = [await later.submit(tf.add, 1, n) for n in range(3)]
    make_due(tmp_path)
    change(tmp_path, "UPDATE payloads SET content = x'00' WHERE task_id = ?", flipped)
    change(
        tmp_path,
        "UPDATE payloads SET content = x'00', checksum = 3523407757 WHERE task_id = ?",
        unreadable,
    )
    async with desk(tmp_path) as app:
        with pytest.raises(TaskStoreError, match="checksum"):
            await app.tasks.result(flipped)
        with pytest.raises(TaskStoreError, match="was changed in the store: its signature"):
            await app.tasks.result(unreadable)
        assert await app.tasks.result(good) == 3
        assert (await app.server.long_tasks.counts())["damaged"] == 2
    kept = rows(tmp_path, "SELECT task_id, kind, content FROM damaged ORDER BY task_id")
    assert kept == sorted([(flipped, "call", b"\0"), (unreadable, "call", b"\0")])


async def test_a_result_that_is_damaged_is_reported_and_kept(tmp_path: Path) -> None:
    async with desk(tmp_path) as app:
        bad, good = await app.tasks.submit(tf.add, 1, 1), await app.tasks.submit(tf.add, 2, 2)
        await app.tasks.result(bad)
        await app.tasks.result(good)
    change(tmp_path, "UPDATE payloads SET content = x'00' WHERE task_id = ?", bad)
    async with desk(tmp_path) as app:
        with pytest.raises(TaskStoreError, match=r"the result of job .* is damaged"):
            await app.tasks.result(bad)
        with pytest.raises(TaskStoreError, match="has been set aside"):
            await app.tasks.result(bad)
        assert await app.tasks.result(good) == 4
        assert len(app.server.long_tasks.damage) == 1
    assert rows(tmp_path, "SELECT content FROM damaged") == [(b"\0",)]


async def test_a_row_that_makes_no_sense_is_set_aside_with_all_of_it(tmp_path: Path) -> None:
    async with desk(tmp_path) as app:
        later = app.tasks.options(eta=timedelta(hours=1))
        bad, good = await later.submit(tf.add, 1, 1), await later.submit(tf.add, 2, 2)
    change(tmp_path, "UPDATE tasks SET state = 'nonsense' WHERE task_id = ?", bad)
    change(tmp_path, "UPDATE tasks SET eta = NULL WHERE task_id = ?", good)
    async with desk(tmp_path) as app:
        assert await app.tasks.result(good) == 4
        assert "nonsense" in app.server.long_tasks.damage[0]
    assert rows(tmp_path, "SELECT kind FROM damaged ORDER BY kind") == [("call",), ("row",)]


async def test_a_file_that_is_none_is_set_aside_and_work_goes_on(tmp_path: Path) -> None:
    async with desk(tmp_path) as app:
        await app.tasks.submit(tf.add, 1, 1)
    file = tmp_path / "store" / "jobs.sqlite"
    file.write_bytes(b"this is no database" * 100)
    async with desk(tmp_path) as app:
        assert await app.tasks.result(await app.tasks.submit(tf.add, 2, 2)) == 4
        assert "set aside as jobs.sqlite.damaged-" in app.server.long_tasks.damage[0]
    (aside,) = (tmp_path / "store").glob("jobs.sqlite.damaged-*")
    assert aside.read_bytes() == b"this is no database" * 100


async def test_what_can_be_read_of_a_damaged_file_goes_on(tmp_path: Path) -> None:
    async with desk(tmp_path) as app:
        later = app.tasks.options(eta=timedelta(hours=1))
        jobs = [await later.submit(tf.length, bytes(3000)) for _ in range(60)]
    make_due(tmp_path)
    file = tmp_path / "store" / "jobs.sqlite"
    content = bytearray(file.read_bytes())
    for page in (30, 45):  # pages of arguments
        content[page * 4096 : page * 4096 + 4096] = os.urandom(4096)
    file.write_bytes(content)
    async with desk(tmp_path) as app:
        (report,) = app.server.long_tasks.damage
        ended = await asyncio.gather(*(app.tasks.result(j) for j in jobs), return_exceptions=True)
        good = ended.count(3000)
        assert 40 <= good < 60, (good, report)
        assert all(outcome == 3000 or isinstance(outcome, Exception) for outcome in ended)
    assert list((tmp_path / "store").glob("jobs.sqlite.damaged-*"))


# -- full disks -----------------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of ``size`` of its own."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"a disk that can be full needs the right to mount one: {done.stderr}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


async def submit_without_end(tasks: Any) -> None:
    while True:
        await tasks.submit(tf.length, bytes(9000))


def fill(file: Path) -> None:
    with file.open("wb", buffering=0) as out:
        while True:
            out.write(bytes(512))


async def test_a_result_that_the_disk_has_no_room_for_fails_its_job_only(tmp_path: Path) -> None:
    with small_disk(tmp_path, "1m") as disk:
        async with desk(disk) as app:
            big = await app.tasks.submit(tf.many_bytes, 2_000_000)
            with pytest.raises(TaskStoreError, match=r"its result, 2000.* could not be stored"):
                await app.tasks.result(big)
            assert (await app.tasks.status(big)).state is TaskState.FAILED
            assert await app.tasks.result(await app.tasks.submit(tf.add, 1, 1)) == 2
            large = await app.tasks.options(key="k").submit(tf.length, bytes(100_000))
            assert await app.tasks.result(large) == 100_000
        async with desk(disk) as app:  # and that is what is written down
            assert (await app.tasks.status(big)).failure.message.startswith("its result")


async def test_a_full_disk_refuses_new_jobs_and_keeps_the_accepted_ones(
    tmp_path: Path, gate: Gate
) -> None:
    with small_disk(tmp_path, "1m") as disk:
        async with desk(disk) as app:
            held = await app.tasks.submit(tf.note_and_hold, "/dev/null", "held", gate.path)
            await gate.entered()
            filler = disk / "filler"
            with pytest.raises(OSError, match="space"):
                fill(filler)
            tasks = app.tasks.options(eta=timedelta(hours=1))
            with pytest.raises(TaskStoreError, match="full"):
                await submit_without_end(tasks)
            refused = app.tasks.submit(tf.length, bytes(9000))
            status = await app.tasks.status(refused)
            assert status.state is TaskState.FAILED
            assert "full" in status.failure.message
            gate.release()
            await until(lambda: held in app.server.long_tasks._runner.jobs)
            filler.unlink()
            assert await app.tasks.result(held) == "held"
            assert await app.tasks.result(await app.tasks.submit(tf.add, 1, 1)) == 2


async def test_the_size_of_the_store_has_a_limit(tmp_path: Path) -> None:
    async with desk(tmp_path, max_bytes="300kB") as app:
        tasks = app.tasks.options(eta=timedelta(hours=1))
        with pytest.raises(TaskStoreError, match="full"):
            await submit_without_end(tasks)
        accepted = await app.tasks.list()
        assert 5 < len(accepted) < 35
        assert all(isinstance(status, TaskStatus) for status in accepted)
