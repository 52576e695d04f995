# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is kept of the attempts of long jobs, and stores of versions that kept nothing of them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import task_functions as tf
from conftest import Gate
from servers import built

from genro_executor_plugin import (
    ExecutorApplication,
    ExecutorTimeoutError,
    TaskState,
    TaskStatus,
)
from genro_executor_plugin.tasks.status import TaskFailure
from genro_executor_plugin.tasks.store import TaskStore
from genro_executor_plugin.tasks.store.attempts import (
    INTERRUPTED,
    MOST_ATTEMPTS,
    EndedAttempt,
    Ran,
)
from genro_executor_plugin.tasks.store.log import LogBatch
from genro_executor_plugin.tasks.store.schema import COUNTED_UNSEEN

WAIT = 60


class Desk(ExecutorApplication):
    mount = "desk"


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Any]:
    executors: Any = {
        "jobs": {"max_workers": 1, "shutdown_timeout": 1.0},
        "db": {"executor_type": "thread", "max_workers": 1, "shutdown_timeout": 0.1},
    }
    settings = {"path": folder / "store", "pool": "jobs", "shutdown_timeout": 0.0}
    async with built(Desk, executors=executors, long_tasks=settings) as server:
        await server.long_tasks.start()
        server.long_tasks.begin()
        yield server.applications["desk"]


async def attempts(app: Any, job: str) -> list[EndedAttempt]:
    tasks = app.server.long_tasks
    found: list[EndedAttempt] = await tasks.attempts(await tasks.status(job))
    return found


async def test_each_attempt_is_kept_with_where_it_ran_and_how_it_ended(
    tmp_path: Path, gate: Gate
) -> None:
    async with desk(tmp_path) as app:
        notes = str(tmp_path / "notes")
        held = await app.tasks.submit(tf.note_and_hold, notes, "x", gate.path)
        pid = await gate.entered()
        (running,) = await attempts(app, held)
        assert (running.number, running.ended_as, running.ended_at) == (1, "running", None)
        assert running.pid == pid
        gate.release()
        await app.tasks.result(held)
        (done,) = await attempts(app, held)
        assert (done.ended_as, done.pid, done.failure) == ("succeeded", pid, None)
        assert done.ended_at > done.began_at > 0

        again = app.tasks.options(retries=2, backoff=0.0, key="k")
        job = await again.submit(tf.fail_until, str(tmp_path / "file"), 3)
        assert await app.tasks.result(job) == 3
        found = await attempts(app, job)
        assert [(one.number, one.ended_as) for one in found] == [
            (1, "failed"), (2, "failed"), (3, "succeeded"),
        ]  # fmt: skip
        assert [one.failure and one.failure.message for one in found] == [
            "attempt 1", "attempt 2", None,
        ]  # fmt: skip
        assert "in fail_until" in found[0].failure.traceback
        assert {one.pid for one in found} == {pid}

        late = await app.tasks.options(timeout=0.3).submit(tf.never_listen, str(tmp_path / "gate"))
        with pytest.raises(ExecutorTimeoutError):
            await app.tasks.result(late)
        (ended,) = await attempts(app, late)
        assert "in never_listen" in ended.failure.traceback, "where it was at its limit"
        (pid,) = {one.pid for one in await attempts(app, held)}
        assert ended.pid == pid
        crash = await app.tasks.options(pool="jobs").submit(tf.exit_hard)
        with pytest.raises(Exception, match="exit"):
            await app.tasks.result(crash)
        (crashed,) = await attempts(app, crash)
        assert crashed.ended_as == "failed"
        assert crashed.pid not in (None, pid), "the next worker"

        threaded = await app.tasks.options(pool="db").submit(tf.add, 1, 2)
        await app.tasks.result(threaded)
        (here,) = await attempts(app, threaded)
        assert here.pid == os.getpid()


async def test_a_job_that_runs_again_keeps_its_key_and_what_was_before(tmp_path: Path) -> None:
    async with desk(tmp_path) as app:
        keyed = app.tasks.options(pool="db", key="once")
        job = await keyed.submit(tf.fail, "no ink")
        for number in (1, 2, 3):
            with pytest.raises(LookupError):
                await app.tasks.result(job)
            assert [one.number for one in await attempts(app, job)] == [*range(1, number + 1)]
            if number < 3:
                await app.tasks.retry(job)
                assert await keyed.submit(tf.fail, "no ink") == job, "the key is still its own"
        assert (await app.tasks.status(job)).attempts == 1
        assert {one.failure.message for one in await attempts(app, job)} == {"no ink"}
        await app.tasks.forget(job)
        new = await keyed.submit(tf.fail, "no ink")
        with pytest.raises(LookupError):
            await app.tasks.result(new)
        assert [one.number for one in await attempts(app, new)] == [1], "it is another job"


# -- the store ------------------------------------------------------------------------------------


class _Call:
    content = b"call"
    client = fingerprint = ""
    arguments = "keep"


def _job(name: str, **changes: Any) -> TaskStatus:
    facts: dict[str, Any] = {"submitted_at": 1.0, "keep": 100.0, **changes}
    return TaskStatus(name, facts.pop("state", TaskState.QUEUED), "job", "pool", **facts)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TaskStore]:
    store = TaskStore(tmp_path / "store", tmp_path / "key", synchronous="NORMAL")
    store.open().result(WAIT)
    yield store
    store.close()


def count(folder: Path, table: str) -> int:
    with closing(sqlite3.connect(folder / "store" / "jobs.sqlite")) as connection:
        (found,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(found)


def test_the_last_attempts_are_kept_and_go_with_their_job(store: TaskStore, tmp_path: Path) -> None:
    failure = TaskFailure("ValueError", "no", "x" * 50_000)
    for name in ("one", "two"):
        store.add(_job(name), _Call(), 1.0)
        for _ in range(MOST_ATTEMPTS + 5):
            store.claim(name, 2.0)
            store.put_back(name, None, failure, Ran("failed", 7, "", failure))
        store.claim(name, 3.0)
        store.put_back(name, None, None, None)
    found = store.attempts("one").result(WAIT)
    assert [one.number for one in found] == [*range(6, MOST_ATTEMPTS + 6)], "none was refused"
    assert found[0].failure is not None
    assert len(found[0].failure.traceback) < 9_000
    store.claim("one", 4.0)
    done = _job("one", state=TaskState.SUCCEEDED, ended_at=5.0)
    assert store.end(done, "result", b"r").result(WAIT) is not None
    assert store.end(done, "result", b"r").result(WAIT) is None, "it has ended already"
    assert store.attempts("one").result(WAIT)[-1] == EndedAttempt(
        MOST_ATTEMPTS + 6, 4.0, 5.0, "succeeded", None, "", None
    )
    assert count(tmp_path, "attempts") == 2 * MOST_ATTEMPTS
    gone, _ = store.purge(200.0).result(WAIT)
    assert [job.task_id for job in gone] == ["one"]
    assert count(tmp_path, "attempts") == MOST_ATTEMPTS
    assert store.attempts("one").result(WAIT) == []


def test_what_is_removed_makes_room_in_steps_that_hold_up_nobody(
    store: TaskStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("genro_executor_plugin.tasks.store.PURGE_SECONDS", 0.0)
    failure = TaskFailure("ValueError", "no", "x" * 8_000)
    log = LogBatch(('[1.0, 20, "INFO", "a", "' + "x" * 300 + '"]',) * 200, 200)
    sizes = []
    for cycle in range(4):
        for number in range(10):
            name = f"{cycle} {number}"
            store.add(_job(name), _Call(), 1.0)
            store.claim(name, 2.0)
            store.put_back(name, None, failure, Ran("failed", 7, "", failure, log))
            store.claim(name, 3.0)
            done = _job(name, state=TaskState.FAILED, ended_at=4.0, failure=failure)
            store.end(done, "failure", b"r", Ran("failed", 7, "", failure, log))
        assert len(store.log(f"{cycle} 9").result(WAIT).lines) <= 200
        for left in range(9, -1, -1):
            gone, following = store.purge(200.0).result(WAIT)
            assert [job.task_id for job in gone] == [f"{cycle} {9 - left}"], "one at a time"
            assert (following is not None) == (left > 0), "the others are due at once"
        assert (count(tmp_path, "attempts"), count(tmp_path, "log")) == (0, 0)
        with closing(sqlite3.connect(tmp_path / "store" / "jobs.sqlite")) as connection:
            sizes += connection.execute("PRAGMA page_count").fetchone()
    assert max(sizes[1:]) <= 1.2 * sizes[0], "what was free is used again"


def test_what_is_asked_often_is_answered_by_an_index(store: TaskStore, tmp_path: Path) -> None:
    questions = (
        (f"SELECT pool, count(*) FROM {COUNTED_UNSEEN} AND ended_at + keep > 1 GROUP BY pool",
         "COVERING INDEX tasks_unseen"),
        ("SELECT 1 FROM tasks JOIN attempts ON job = seq WHERE task_id = 'x' ORDER BY number",
         "PRIMARY KEY"),
        ("SELECT 1 FROM tasks JOIN log ON job = seq WHERE task_id = 'x' ORDER BY upto DESC",
         "PRIMARY KEY"),
        ("DELETE FROM attempts WHERE job = 1", "PRIMARY KEY"),
        ("DELETE FROM log WHERE job = 1 AND upto < 7", "PRIMARY KEY"),
    )  # fmt: skip
    with closing(sqlite3.connect(tmp_path / "store" / "jobs.sqlite")) as connection:
        for question, index in questions:
            plan = " ".join(
                row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {question}").fetchall()
            )
            assert index in plan, (question, plan)
            assert "SCAN attempts" not in plan
            assert "SCAN log" not in plan
            assert "TEMP B-TREE" not in plan


def test_an_attempt_that_its_server_did_not_survive_is_kept(tmp_path: Path) -> None:
    first = TaskStore(tmp_path / "store", tmp_path / "key", synchronous="NORMAL")
    first.open().result(WAIT)
    for name in ("again", "lost"):
        first.add(_job(name, repeatable=name == "again"), _Call(), 1.0)
        first.claim(name, 2.0)
    first.close()
    second = TaskStore(tmp_path / "store", tmp_path / "key", synchronous="NORMAL")
    second.open().result(WAIT)
    for name, how in (("again", INTERRUPTED), ("lost", "lost")):
        (found,) = second.attempts(name).result(WAIT)
        assert (found.number, found.began_at, found.ended_as) == (1, 2.0, how)
        assert found.failure is not None
        assert "the server ended" in found.failure.message
    second.close()


# -- stores of former versions --------------------------------------------------------------------

VERSION_1 = """
CREATE TABLE tasks (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL UNIQUE, state TEXT NOT NULL,
    title TEXT NOT NULL, pool TEXT NOT NULL, submitter TEXT NOT NULL, session TEXT NOT NULL,
    open_to_id INTEGER NOT NULL, priority INTEGER NOT NULL, submitted_at REAL NOT NULL, eta REAL,
    started_at REAL, ended_at REAL, attempts INTEGER NOT NULL, retries INTEGER NOT NULL,
    backoff REAL NOT NULL, repeatable INTEGER NOT NULL, timeout REAL, keep REAL NOT NULL,
    cancel_requested INTEGER NOT NULL, progress TEXT, failure TEXT, stored_bytes INTEGER NOT NULL
);
CREATE INDEX tasks_by_state ON tasks (state, seq);
CREATE INDEX tasks_by_submitter ON tasks (submitter, seq);
CREATE INDEX tasks_by_end ON tasks (ended_at + keep) WHERE ended_at IS NOT NULL;
CREATE TABLE payloads (
    task_id TEXT NOT NULL, kind TEXT NOT NULL, checksum INTEGER NOT NULL, content BLOB NOT NULL,
    PRIMARY KEY (task_id, kind)
);
CREATE TABLE damaged (
    set_aside_at REAL NOT NULL, task_id TEXT, kind TEXT NOT NULL, reason TEXT NOT NULL, content BLOB
);
"""

ADDED = {
    2: """
CREATE TABLE signatures (
    task_id TEXT NOT NULL, kind TEXT NOT NULL, signature BLOB NOT NULL, PRIMARY KEY (task_id, kind)
) WITHOUT ROWID;
CREATE TRIGGER signature_goes AFTER DELETE ON payloads BEGIN
    DELETE FROM signatures WHERE task_id = OLD.task_id AND kind = OLD.kind;
END;
ALTER TABLE tasks ADD COLUMN client TEXT NOT NULL DEFAULT '';
ALTER TABLE tasks ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
""",
    3: """
ALTER TABLE tasks ADD COLUMN owner TEXT NOT NULL DEFAULT '';
CREATE INDEX tasks_by_owner ON tasks (owner, seq) WHERE state IN ('queued', 'running');
CREATE INDEX tasks_by_use ON tasks (submitter, session, client, stored_bytes);
CREATE TABLE orders (
    number INTEGER PRIMARY KEY AUTOINCREMENT, owner TEXT NOT NULL, task_id TEXT NOT NULL, grace REAL
);
""",
    4: """
ALTER TABLE tasks ADD COLUMN arguments TEXT NOT NULL DEFAULT 'drop';
CREATE INDEX tasks_by_title ON tasks (title, seq);
""",
}
"""What each format of the store has added, as the versions wrote it. Never to be changed."""


def former_store(folder: Path, version: int) -> None:
    """A store as a former version has left it: a job that ran, and one that had failed."""
    folder.mkdir(mode=0o700)
    file = folder / "jobs.sqlite"
    file.touch(mode=0o600)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.executescript(VERSION_1)
        for number in range(2, version + 1):
            connection.executescript(ADDED[number])
        row = "INSERT INTO tasks VALUES (NULL, ?, ?, 'job', 'pool', 'ann', '', 0, 0, 1.0, NULL, "
        row += "2.0, ?, 1, 0, 1.0, 0, NULL, 1e9, 0, NULL, ?, 0"
        row += ", ''" * (2 * (version >= 2) + (version >= 3)) + ", 'keep'" * (version >= 4) + ")"
        failure = '{"type_name": "ValueError", "message": "old", "traceback": ""}'
        connection.execute(row, ("ran", "running", None, None))
        connection.execute(row, ("failed", "failed", 3.0, failure))
        connection.execute(f"PRAGMA user_version = {version}")


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_the_store_of_a_former_format_goes_on(version: int, tmp_path: Path) -> None:
    former_store(tmp_path / "store", version)
    store = TaskStore(tmp_path / "store", tmp_path / "key", synchronous="NORMAL")
    recovered = store.open().result(WAIT)
    assert [job.task_id for job in recovered.ended] == ["ran"]
    (lost,) = store.attempts("ran").result(WAIT)
    assert (lost.number, lost.began_at, lost.ended_as) == (1, 2.0, "lost")
    assert store.attempts("failed").result(WAIT) == [], "nothing was kept of it"
    failed = store.status("failed").result(WAIT)
    assert failed is not None
    assert failed.failure is not None
    assert (failed.state, failed.failure.message) == ("failed", "old")
    store.add(_job("new"), _Call(), 1.0)
    assert store.claim("new", 2.0).result(WAIT) is not None
    store.close()
    again = TaskStore(tmp_path / "store", tmp_path / "key", synchronous="NORMAL")
    assert again.open().result(WAIT).damage == []
    again.close()
