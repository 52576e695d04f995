# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What long jobs log: kept with them in bounds, wherever they run."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import pytest
import task_functions as tf
from conftest import Gate
from servers import built, until_answered

from genro_executor_plugin import ExecutorApplication, TaskState, TaskStatus
from genro_executor_plugin.tasks import job_log
from genro_executor_plugin.tasks.job_log import JobLog
from genro_executor_plugin.tasks.store import TaskStore
from genro_executor_plugin.tasks.store.attempts import Ran
from genro_executor_plugin.tasks.store.log import MOST_BYTES, MOST_LINES, KeptLog, LogBatch

WAIT = 60


class Desk(ExecutorApplication):
    mount = "desk"


@pytest.fixture(autouse=True)
def level() -> Iterator[None]:
    """The server logs what the jobs log from INFO on; a worker has the server's levels."""
    logger = logging.getLogger("task_functions.lines")
    logger.setLevel(logging.INFO)
    yield
    logger.setLevel(logging.NOTSET)


@asynccontextmanager
async def desk(folder: Path) -> AsyncIterator[Any]:
    executors: Any = {
        "process": {"max_workers": 1, "shutdown_timeout": 1.0},
        "thread": {"executor_type": "thread", "max_workers": 2, "shutdown_timeout": 0.1},
        "inline": {"executor_type": "inline", "max_workers": 1},
        "silent": {"executor_type": "thread", "max_workers": 1, "job_log": False},
    }
    settings = {"path": folder / "store", "pool": "process", "shutdown_timeout": 0.0}
    async with built(Desk, executors=executors, long_tasks=settings) as server:
        await server.long_tasks.start()
        server.long_tasks.begin()
        yield server.applications["desk"]


async def log(app: Any, job: str) -> KeptLog:
    found: KeptLog = await app.server.long_tasks.log(job)
    return found


@pytest.mark.parametrize("kind", ["process", "thread", "inline"])
async def test_what_a_job_logs_is_kept_with_it(kind: str, tmp_path: Path) -> None:
    async with desk(tmp_path) as app:
        tasks = app.tasks.options(pool=kind)
        job = await tasks.submit(tf.log_lines, 2)
        await app.tasks.result(job)
        found = await log(app, job)
        assert [(line.level_name, line.text.split("\n")[0]) for line in found.lines] == [
            ("WARNING", "3 of 7 sheets"),
            ("ERROR", "no ink"),
            ("INFO", "line 0"),
            ("INFO", "line 1"),
        ]
        assert found.missing == 0
        assert {line.logger for line in found.lines} == {"task_functions.lines"}
        assert found.lines[1].text.endswith("KeyError: 'ink'")
        assert found.lines[0].at <= found.lines[3].at

        many = await tasks.submit(tf.log_lines, MOST_LINES + 50)
        await app.tasks.result(many)
        found = await log(app, many)
        assert (len(found.lines), found.missing) == (MOST_LINES, 52), "bounded, and counted"
        assert found.lines[-1].text == f"line {MOST_LINES + 49}"

        coroutine = await tasks.submit(tf.log_in_a_coroutine, "from a coroutine")
        await app.tasks.result(coroutine)
        (line,) = (await log(app, coroutine)).lines
        assert line.text == "from a coroutine"
        logging.getLogger("task_functions.lines").warning("of no job")
        assert len((await log(app, coroutine)).lines) == 1


async def test_lines_are_there_while_the_job_runs_and_of_all_attempts(
    tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job_log, "WRITE_SECONDS", 0.02)
    async with desk(tmp_path) as app:
        held = await app.tasks.submit(tf.log_lines, 1, gate.path)
        await gate.entered()

        async def there() -> bool:
            return len((await log(app, held)).lines) == 3

        await until_answered(there)
        gate.release()
        await app.tasks.result(held)
        assert len((await log(app, held)).lines) == 3, "and none twice"

        silent = await app.tasks.options(pool="silent").submit(tf.log_lines, 1)
        await app.tasks.result(silent)
        assert await log(app, silent) == KeptLog([], 0)


# -- on the way to the store ----------------------------------------------------------------------


def record(text: str, *args: Any, level: Any = logging.INFO) -> logging.LogRecord:
    return logging.LogRecord("a", level, "f.py", 1, text, args, None)


async def test_what_the_store_refuses_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_log, "WRITE_SECONDS", 0.001)
    asked: list[LogBatch] = []

    def write(batch: LogBatch) -> Future[None]:
        asked.append(batch)
        written: Future[None] = Future()
        if len(asked) == 1:
            written.set_exception(OSError("no room"))
        return written

    kept = JobLog(write)
    kept.take(record("one"))
    kept.take(record("two"))

    async def again() -> bool:
        return len(asked) == 2

    await until_answered(again)
    assert (len(asked[0].lines), asked[1]) == (2, LogBatch((), 2))
    kept.take(record("three"))
    rest = kept.rest()
    assert rest is not None
    assert (len(rest.lines), rest.logged) == (1, 1)
    kept.take(record("too late"))
    assert kept.rest() is None


async def test_no_record_can_do_harm() -> None:
    kept = JobLog(lambda batch: Future())
    for bad in (
        record("%d", "x"), record("x" * 10**6), record("\ud800"), record("a\nb"),
        record("x", level="no number"),
    ):  # fmt: skip
        kept.take(bad)
    for _ in range(1000):
        kept.take(record("\N{GRINNING FACE}" * 5000))
    rest = kept.rest()
    assert rest is not None
    assert rest.logged == 1005
    assert sum(map(len, rest.lines)) <= MOST_BYTES
    assert "characters cut" in json.loads(rest.lines[0])[4]


# -- in the store ---------------------------------------------------------------------------------


class _Call:
    content = b"call"
    client = fingerprint = ""
    arguments = "keep"


def batch(first: int, count: int, size: int = 10, missing: int = 0) -> LogBatch:
    lines = [json.dumps([1.0, 20, "INFO", "a", f"{n} " + "x" * size]) for n in range(count)]
    return LogBatch(tuple(lines[first:]), count - first + missing)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[TaskStore]:
    store = TaskStore(tmp_path / "store", tmp_path / "key", synchronous="NORMAL")
    store.open().result(WAIT)
    yield store
    store.close()


def test_the_store_keeps_the_last_lines_and_they_go_with_their_job(
    store: TaskStore, tmp_path: Path
) -> None:

    def rows() -> tuple[int, int]:
        with closing(sqlite3.connect(tmp_path / "store" / "jobs.sqlite")) as connection:
            query = "SELECT count(*), ifnull(sum(size), 0) FROM log"
            found: tuple[int, int] = connection.execute(query).fetchone()
        return found

    job = TaskStatus("one", TaskState.QUEUED, "job", "pool", submitted_at=1.0, keep=100.0)
    store.add(job, _Call(), 1.0)
    store.add_log("one", batch(0, 1)).result(WAIT)
    assert rows() == (0, 0), "it does not run"
    store.claim("one", 2.0)
    for _ in range(300):
        store.add_log("one", batch(0, 1))
    store.add_log("one", batch(0, 0, missing=7)).result(WAIT)
    found = store.log("one").result(WAIT)
    assert (len(found.lines), found.missing) == (MOST_LINES, 100 + 7)
    assert rows()[0] <= MOST_LINES + 1
    for _ in range(10):
        added = store.add_log("one", batch(0, 10, size=3000))
    added.result(WAIT)
    found = store.log("one").result(WAIT)
    assert 20 < len(found.lines) < 23, "as many as there is room for"
    assert rows()[1] <= 2 * MOST_BYTES
    store.put_back("one", None, None, Ran("failed", log=batch(0, 1)))
    store.claim("one", 3.0)
    ended = TaskStatus("one", TaskState.SUCCEEDED, "job", "pool", ended_at=4.0, keep=100.0)
    store.end(ended, "result", b"r", Ran("succeeded", log=batch(0, 2))).result(WAIT)
    lines = store.log("one").result(WAIT).lines
    assert [line.attempt for line in lines[-4:]] == [1, 1, 2, 2]
    store.purge(200.0).result(WAIT)
    assert rows() == (0, 0)
    assert store.log("one").result(WAIT) == KeptLog([], 0)
