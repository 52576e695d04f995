# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A store that is locked for a while, full at the first job, deleted, or fails in other ways."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import task_functions as tf
from conftest import Gate
from servers import built, until, until_answered
from test_tasks_folder import tasks_in
from test_tasks_store import fill, small_disk

from genro_executor_plugin import TaskState, TaskStoreError
from genro_executor_plugin.tasks.host_tasks import PooledTaskScheduler
from genro_executor_plugin.tasks.places import default_key_file
from genro_executor_plugin.tasks.store import TaskStore, database
from genro_executor_plugin.tasks.store import opened as opened_store
from genro_executor_plugin.tasks.turn import Turn


@contextmanager
def locked(folder: Path, how: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
    """Another process's lock, as far as SQLite can tell: a connection of its own."""
    with closing(
        sqlite3.connect(folder / "jobs.sqlite", isolation_level=None, check_same_thread=False)
    ) as connection:
        if how == "EXCLUSIVE":
            connection.execute("PRAGMA locking_mode=EXCLUSIVE")
        connection.execute(f"BEGIN {how}")
        yield connection


async def test_a_result_waits_for_a_lock_that_passes(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(database, "BUSY_PATIENCE_SECONDS", 0.2)
    async with tasks_in(tmp_path / "store") as tasks:
        job = await tasks.submit(tf.note_and_hold, "/dev/null", "precious", gate.path)
        await gate.entered()
        with locked(tmp_path / "store"):
            gate.release()
            await until(lambda: "has ended as succeeded" in caplog.text)
            with pytest.raises(TaskStoreError, match="is locked by another process"):
                await tasks.submit(tf.add, 1, 1)
            # Questions are answered meanwhile.
            assert (await tasks.status(job)).state is TaskState.RUNNING
        assert await tasks.result(job) == "precious"
        assert await tasks.result(await tasks.submit(tf.add, 1, 1)) == 2


async def test_a_start_waits_for_a_lock_and_for_no_longer_than_it_is_told_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with tasks_in(tmp_path / "store") as tasks:
        job = await tasks.submit(tf.add, 1, 1)
        await tasks.result(job)
    store = TaskStore(tmp_path / "store", default_key_file())
    with locked(tmp_path / "store", "EXCLUSIVE") as connection:
        opening = asyncio.create_task(asyncio.to_thread(store.open))
        await until(lambda: "the start waits for" in caplog.text)
        store.leave()
        with pytest.raises(TaskStoreError, match="was told to end"):
            await opening
        monkeypatch.setattr(opened_store, "START_PATIENCE_SECONDS", 0.1)
        refused = TaskStore(tmp_path / "store", default_key_file())
        with pytest.raises(TaskStoreError, match="locked"):
            await asyncio.to_thread(refused.open)
        monkeypatch.undo()
        monkeypatch.setenv("XDG_STATE_HOME", str(default_key_file().parents[2]))
        caplog.clear()

        async def unlock() -> None:
            await until(lambda: "the start waits for" in caplog.text)
            connection.execute("COMMIT")
            connection.close()

        settings = {"path": tmp_path / "store", "pool": "jobs", "key_file": store._signer.file}
        async with built(executors={"jobs": {}}, long_tasks=settings) as server:
            await asyncio.gather(server.long_tasks.start(), unlock())
            assert await server.long_tasks.result(job) == 2


async def test_a_disk_that_is_full_at_the_first_job_takes_the_next_one(tmp_path: Path) -> None:
    with small_disk(tmp_path, "600k") as disk:
        async with tasks_in(disk / "store") as tasks:
            with pytest.raises(OSError, match="space"):
                fill(disk / "filler")
            for _ in range(2):
                with pytest.raises(TaskStoreError):
                    await tasks.submit(tf.add, 1, 1)
            (disk / "filler").unlink()
            assert await tasks.result(await tasks.submit(tf.add, 1, 1)) == 2


async def test_files_that_are_deleted_meanwhile_are_noticed(tmp_path: Path) -> None:
    async with tasks_in(tmp_path / "store") as tasks:
        await tasks.result(await tasks.submit(tf.add, 1, 1))
        shutil.rmtree(tmp_path / "store")
        with pytest.raises(TaskStoreError, match="was deleted or replaced while"):
            await tasks.submit(tf.add, 1, 1)


async def test_an_unexpected_error_at_the_end_of_a_job_leaves_it_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    end, failed = TaskStore.end, []

    def broken(self: Any, status: Any, kind: str, content: Any, ran: Any) -> Any:
        if not failed:
            failed.append(status)
            raise OverflowError("an error that nobody has thought of")
        return end(self, status, kind, content, ran)

    monkeypatch.setattr(TaskStore, "end", broken)
    async with tasks_in(tmp_path / "store") as tasks:
        job = await tasks.submit(tf.add, 1, 1)
        with pytest.raises(TaskStoreError, match="nobody has thought of"):
            await tasks.result(job)
        assert (await tasks.status(job)).state is TaskState.FAILED


async def test_one_of_several_servers_begins_the_schedules(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with built() as server, built() as other:
        first, second = Turn(server), Turn(other)
        assert first.take()
        assert not second.take()
        assert first.take()
        first.release()
        assert second.take()
        assert not first.take()
        second.release()
    assert PooledTaskScheduler.tick is not PooledTaskScheduler.__mro__[1].tick  # type: ignore[attr-defined]


async def test_a_submission_that_is_cancelled_while_it_is_stored_runs(tmp_path: Path) -> None:
    async with tasks_in(tmp_path / "store") as tasks:
        await tasks.result(await tasks.submit(tf.add, 0, 0))
        with locked(tmp_path / "store"):
            job = tasks.submit(tf.add, 1, 1)
            await cancelled_in(job._until_accepted(), asyncio.sleep(0))
        limits = tasks.server.long_tasks._acceptance.limits
        await until(lambda: not limits._taken)
        assert await tasks.result(str(job)) == 2


async def test_what_is_cancelled_while_it_waits_for_the_disk_is_done_wholly(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A retry, a cancel and a removal: the store does them, so the memory follows."""
    asked = asyncio.Event()
    for name in ("reopen", "cancel_queued", "remove"):
        monkeypatch.setattr(TaskStore, name, telling(asked, getattr(TaskStore, name)))
    async with tasks_in(tmp_path / "store") as tasks:
        service, file = tasks.server.long_tasks, str(tmp_path / "attempts")
        job = await tasks.submit(tf.fail_until, file, 2)
        with pytest.raises(ConnectionError):
            await tasks.result(job)
        with locked(tmp_path / "store"):
            await cancelled_in(service.retry(job), asked.wait())
        await until_answered(lambda: is_in(service, job, TaskState.SUCCEEDED))
        held = await tasks.submit(tf.note_and_hold, file, "held", gate.path)
        await gate.entered()
        waits = await tasks.submit(tf.add, 1, 1)
        asked.clear()
        with locked(tmp_path / "store"):
            await cancelled_in(service.cancel(waits), asked.wait())
        await until(lambda: waits not in service._runner.jobs)
        gate.release()
        assert await tasks.result(held) == "held"
        asked.clear()
        with locked(tmp_path / "store"):
            await cancelled_in(service.forget(held), asked.wait())
        await until(lambda: service._acceptance.limits._used["the application itself"][0] == 2)


async def test_a_job_that_waits_here_is_ended_without_an_order(tmp_path: Path) -> None:
    async with tasks_in(tmp_path / "store") as tasks:
        job = await tasks.submit(tf.add, 1, 1, eta=timedelta(hours=1))
        tasks.server.long_tasks._runner.jobs.pop(job)
        assert (await tasks.cancel(job)).state is TaskState.CANCELLED
        with closing(sqlite3.connect(tmp_path / "store" / "jobs.sqlite")) as store:
            assert store.execute("SELECT * FROM orders").fetchall() == []


async def cancelled_in(work: Coroutine[Any, Any, Any], fact: Coroutine[Any, Any, Any]) -> None:
    """Cancel whoever waits for ``work`` as soon as ``fact`` is there."""
    task = asyncio.create_task(work)
    await fact
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def telling(asked: asyncio.Event, step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` of the store, which says that it was asked for."""

    def told(*given: Any) -> Any:
        future = step(*given)
        asked.set()
        return future

    return told


async def is_in(service: Any, job: str, state: TaskState) -> bool:
    return bool((await service.status(job)).state is state)
