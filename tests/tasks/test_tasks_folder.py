# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where the store lies, and what of it is read: nothing that somebody else may have written."""

from __future__ import annotations

import asyncio
import os
import pickle
import sqlite3
import stat
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import task_functions as tf
from due_jobs import make_due
from servers import built, until

from genro_executor_plugin import TaskState, TaskStoreError
from genro_executor_plugin.errors import ExecutorConfigError
from genro_executor_plugin.tasks.options import TaskOptions, TaskSettings
from genro_executor_plugin.tasks.places import default_folder, default_key_file
from genro_executor_plugin.tasks.store import TaskStore, orphans
from genro_executor_plugin.tasks.store.salvage import replace_if_damaged

NOBODY = 65534

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")


@asynccontextmanager
async def tasks_in(folder: Path | None, **settings: Any) -> AsyncIterator[Any]:
    settings = {"pool": "jobs", "shutdown_timeout": 0.0, **settings}
    if folder is not None:
        settings["path"] = folder
    async with built(executors={"jobs": {"max_workers": 1}}, long_tasks=settings) as server:
        await server.long_tasks.start()
        server.long_tasks.begin()
        yield Direct(server)


class Direct:
    """``app.tasks`` of a server that has no application."""

    def __init__(self, server: Any) -> None:
        self.server = server
        for name in ("status", "result", "cancel", "counts"):
            setattr(self, name, getattr(server.long_tasks, name))

    def submit(self, func: Any, *args: Any, **options: Any) -> Any:
        return self.server.long_tasks.submit(func, args, {}, TaskOptions().changed(options))


def opened(folder: Path) -> None:
    store = TaskStore(folder, default_key_file())
    try:
        store.open().result(20)
    finally:
        store.close()


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


# -- the place ------------------------------------------------------------------------------------


async def test_the_default_store_lies_in_the_users_state_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    former = os.umask(0)
    try:
        async with tasks_in(None) as tasks:
            await tasks.result(await tasks.submit(tf.add, 1, 1))
            folder = default_folder(tasks.server)
    finally:
        os.umask(former)
    assert folder.is_relative_to(os.environ["XDG_STATE_HOME"])
    assert os.listdir(tmp_path) == []
    for path in (folder, folder.parent, folder.parent.parent, default_key_file().parent):
        assert mode(path) == 0o700, path
    assert mode(folder / "processes") == 0o700
    for path in (*filter(Path.is_file, folder.iterdir()), default_key_file()):
        assert mode(path) == 0o600, path


async def test_applications_of_one_user_have_stores_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = set()
    for name in ("one/shop", "two/shop"):
        (tmp_path / name).mkdir(parents=True)
        monkeypatch.chdir(tmp_path / name)
        async with tasks_in(None) as tasks:
            folders.add(default_folder(tasks.server))
    assert len(folders) == 2
    assert all(folder.name.startswith("shop-") for folder in folders)


async def test_systemds_state_directory_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}:/other")
    async with tasks_in(None) as tasks:
        assert default_folder(tasks.server).is_relative_to(tmp_path)
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", "relative, which the specification ignores")
    monkeypatch.setenv("HOME", str(tmp_path / "missing"))
    with pytest.raises(ExecutorConfigError, match=r"long_tasks=\{'key_file'"):
        TaskSettings().key_path()


async def test_a_store_in_the_former_place_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    async with tasks_in(tmp_path / "long_tasks") as tasks:
        await tasks.submit(tf.add, 1, 1)
    async with tasks_in(None) as tasks:
        assert not tasks.server.long_tasks.in_use
    assert f"in {tmp_path / 'long_tasks'} is not used" in caplog.text


# -- folders and files that are not ours alone ----------------------------------------------------


def writable(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def group_writable(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o770)


def link(folder: Path) -> None:
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir()
    folder.symlink_to(elsewhere)


def plain_file(folder: Path) -> None:
    folder.write_text("no folder")


def in_a_folder_for_all(folder: Path) -> None:
    folder.mkdir()
    folder.parent.chmod(0o777)


def of_nobody(folder: Path) -> None:
    folder.mkdir()
    os.chown(folder, NOBODY, -1)


@pytest.mark.parametrize(
    "make",
    [
        writable,
        group_writable,
        link,
        plain_file,
        in_a_folder_for_all,
        pytest.param(of_nobody, marks=only_root),
    ],
)
def test_a_folder_that_is_not_ours_alone_is_refused(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    make(tmp_path / "store")
    with pytest.raises(TaskStoreError, match=r"is not opened: .*store .*long_tasks=\{'path'"):
        opened(tmp_path / "store")


def a_link(path: Path) -> None:
    victim = path.with_name("victim")
    victim.write_text("not for a store")
    path.unlink(missing_ok=True)
    path.symlink_to(victim)


def for_all(path: Path) -> None:
    path.touch()
    path.chmod(0o666)


def a_fifo(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def anothers(path: Path) -> None:
    path.touch()
    os.chown(path, NOBODY, -1)


@pytest.mark.parametrize(
    "name", ["owner", "opening", "jobs.sqlite", "jobs.sqlite-wal", "processes/1"]
)
@pytest.mark.parametrize("make", [a_link, for_all, a_fifo, pytest.param(anothers, marks=only_root)])
def test_a_file_that_is_not_ours_alone_is_refused(
    make: Callable[[Path], None], name: str, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    opened(store)
    make(store / name)
    with pytest.raises(TaskStoreError, match=rf"is not opened: .*{name} "):
        opened(store)
    if (store / "victim").exists():
        assert (store / "victim").read_text() == "not for a store"


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    opened(tmp_path / "store")
    default_key_file().chmod(0o640)
    with pytest.raises(TaskStoreError, match="others may read it"):
        opened(tmp_path / "store")


# -- signatures -----------------------------------------------------------------------------------


class Evil:
    """What its pickle does when it is read: it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.folder),)


def put(store: Path, task_id: str, kind: str, value: Any) -> None:
    content = pickle.dumps(value)
    with closing(sqlite3.connect(store / "jobs.sqlite")) as connection, connection:
        connection.execute(
            "UPDATE payloads SET content = ?, checksum = ? WHERE task_id = ? AND kind = ?",
            (content, zlib.crc32(content), task_id, kind),
        )


async def test_an_edited_store_runs_no_code(tmp_path: Path) -> None:
    """A call, a result and a failure that somebody has edited are not unpickled."""
    store, evil = tmp_path / "store", Evil(tmp_path / "made by the pickle")
    async with tasks_in(store) as tasks:
        result = await tasks.submit(tf.add, 1, 1)
        failure = await tasks.submit(tf.fail, "x")
        await tasks.result(result)
        with pytest.raises(LookupError):
            await tasks.result(failure)
        call = await tasks.submit(tf.add, 1, 1, eta=timedelta(hours=1))
    make_due(tmp_path)
    put(store, call, "call", ("", evil, (), {}))
    put(store, result, "result", evil)
    put(store, failure, "failure", evil)
    async with tasks_in(store) as tasks:
        for task_id in (call, result, failure):
            with pytest.raises(TaskStoreError, match="was changed in the store"):
                await tasks.result(task_id)
        assert (await tasks.counts())["damaged"] == 3
    assert not evil.folder.exists()


async def test_signed_bytes_mean_nothing_in_another_place(tmp_path: Path) -> None:
    async with tasks_in(tmp_path / "store") as tasks:
        one, other = await tasks.submit(tf.add, 1, 1), await tasks.submit(tf.add, 2, 2)
        await tasks.result(one)
        await tasks.result(other)
    with closing(sqlite3.connect(tmp_path / "store" / "jobs.sqlite")) as connection, connection:
        connection.execute("DELETE FROM payloads WHERE task_id = ?", (one,))
        for table in ("payloads", "signatures"):
            connection.execute(f"UPDATE {table} SET task_id = ? WHERE task_id = ?", (one, other))
    async with tasks_in(tmp_path / "store") as tasks:
        with pytest.raises(TaskStoreError, match="was changed"):
            await tasks.result(one)


@pytest.mark.parametrize("lost", ["signatures", "key"])
async def test_what_is_not_signed_by_our_key_waits_until_it_is_accepted(
    lost: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As the store of version 0.1, and one whose key is lost or another user's."""
    store = tmp_path / "store"
    async with tasks_in(store) as tasks:
        done = await tasks.submit(tf.add, 1, 1)
        await tasks.result(done)
        waits = await tasks.submit(tf.add, 2, 2, eta=timedelta(hours=1))
        unwanted = await tasks.submit(tf.add, 2, 2, eta=timedelta(hours=1))
    make_due(tmp_path)
    if lost == "key":
        default_key_file().unlink()
    else:
        with closing(sqlite3.connect(store / "jobs.sqlite")) as connection, connection:
            connection.execute("DELETE FROM signatures")
    async with tasks_in(store) as tasks:
        new = await tasks.submit(tf.add, 3, 3)
        assert await tasks.result(new) == 6
        with pytest.raises(TaskStoreError, match="accept_unsigned"):
            await tasks.result(done)
        with pytest.raises(TimeoutError):
            await tasks.result(waits, timeout=0.5)
        assert (await tasks.status(waits)).state is TaskState.QUEUED
        assert (await tasks.cancel(unwanted)).state is TaskState.CANCELLED
        (told,) = tasks.server.long_tasks.damage
        assert "2 jobs do not run, and 1 results" in told
        assert "accept_unsigned" in caplog.text
    async with tasks_in(store, accept_unsigned=True) as tasks:
        assert await tasks.result(waits) == 4
        assert await tasks.result(done) == 2
    async with tasks_in(store) as tasks:  # it is needed only once
        assert await tasks.result(waits) == 4
        assert tasks.server.long_tasks.damage == []


# -- damage, and processes that look like ours ----------------------------------------------------


def damaged(store: Path, *statements: str) -> Path:
    """The file of a store with a hundred payloads, edited and with a page that is overwritten."""
    opened(store)
    file = store / "jobs.sqlite"
    with closing(sqlite3.connect(file)) as connection, connection:
        for number in range(100):
            connection.execute(
                "INSERT INTO payloads VALUES (?, 'call', 0, ?)", (str(number), bytes(3000))
            )
        for statement in statements:
            connection.execute(statement)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'tasks_by_submitter'"
        ).fetchone()
    content = bytearray(file.read_bytes())
    content[(page - 1) * 4096 + 3 : (page - 1) * 4096 + 40] = b"\xaa" * 37
    file.write_bytes(content)
    return file


def test_a_large_row_id_does_not_hold_up_the_salvage(tmp_path: Path) -> None:
    large = (2**62, 2**40 + 5, -(2**50))
    file = damaged(
        tmp_path / "store",
        *(f"UPDATE payloads SET rowid = {n} WHERE task_id = '{i}'" for i, n in enumerate(large)),
    )
    (told,) = replace_if_damaged(file, lambda: None)
    assert "set aside as jobs.sqlite.damaged-" in told
    with closing(sqlite3.connect(file)) as connection:
        assert connection.execute("SELECT count(*) FROM payloads").fetchone() == (100,)


def test_a_salvage_ends_when_the_server_is_told_to(tmp_path: Path) -> None:
    file = damaged(tmp_path / "store")
    content = file.read_bytes()
    store = TaskStore(file.parent, default_key_file())
    store.leave()
    with pytest.raises(TaskStoreError, match="was told to end"):
        store.open()
    assert file.read_bytes() == content
    opened(file.parent)  # the next start does it


def test_the_check_of_a_large_store_ends_when_the_server_is_told_to(tmp_path: Path) -> None:
    opened(tmp_path / "store")
    with closing(sqlite3.connect(tmp_path / "store" / "jobs.sqlite")) as connection, connection:
        rows = ((str(number),) for number in range(20_000))
        connection.executemany("INSERT INTO payloads VALUES (?, 'call', 0, x'00')", rows)
    store = TaskStore(tmp_path / "store", default_key_file())
    store.leave()
    with pytest.raises(TaskStoreError, match="was told to end"):
        store.open()
    opened(tmp_path / "store")


@only_root
async def test_a_process_of_another_user_with_our_title_is_none_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It must neither hold up the start nor be killed by it."""
    if not os.access(sys.executable, os.X_OK) or os.stat(sys.executable).st_mode & 0o001 == 0:
        pytest.skip("another user cannot run this Python")
    pretender = await asyncio.to_thread(
        subprocess.Popen,  # uvloop starts none as another user
        ["/bin/sh", "-c", "exec -a 'genro-executor: x of server 999999' sleep 60"],
        executable="/bin/bash",
        user=NOBODY,
        group=NOBODY,
    )
    try:
        found = psutil.Process(pretender.pid)
        await until(lambda: "genro-executor" in " ".join(found.cmdline()))
        monkeypatch.setattr(os, "geteuid", lambda: 1234)
        await asyncio.to_thread(orphans.await_workers_of, 999999)
        assert found.is_running()
    finally:
        pretender.kill()
        await asyncio.to_thread(pretender.wait)
