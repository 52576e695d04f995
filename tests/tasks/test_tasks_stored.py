# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Stores that a former version, or this one, has written: every job of them goes on here.

``stores/write_store.py`` writes such a store as a killed server leaves it; those of former
versions lie beside it.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import pickletools
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import host
import pytest
import stored_jobs as jobs
from host import HTTPNotFound
from programs import environment
from servers import built

from genro_executor_plugin import (
    ExecutorServer,
    ExecutorTimeoutError,
    RemoteError,
    SerializationError,
    TaskCancelledError,
    TaskLimitError,
    TaskLostError,
    TaskState,
    TaskStatus,
    WorkerCrashedError,
    cancelled,
)

STORES = Path(__file__).with_name("stores")
FORMER = sorted(path.name.removesuffix(".sqlite.gz") for path in STORES.glob("*.sqlite.gz"))

RESULTS: dict[str, Any] = {
    # These ended with the server that wrote the store ...
    "result": 3,
    "nothing": None,
    "file": jobs.file_to_send(),
    "bytes": jobs.large(),
    "view result": jobs.view(),
    # ... and these run now.
    "function": 3,
    "keywords": 6,
    "coroutine": 7,
    "decorated": 10,
    "undecorated": 5,
    "alias": 40,
    "static": 1.5,
    "partial": 22,
    "builtin": 3,
    "handler": "archive: by methodby method",
    "path": "archive: by path",
    "server path": "archive: by server path",
    "section": 36,
    "plain method": "archive 5",
    "application": "archive",
    "branch": "cellar",
    "own values": [jobs.ORDER, jobs.Color.RED, jobs.Order],
    "functions": [jobs.plus_one, jobs.plus_one.__wrapped__, jobs.tenfold],  # type: ignore[attr-defined]
    "our values": [
        jobs.file_to_send(),
        TaskState.LOST,
        TaskStatus("id", TaskState.LOST, "t", "p"),
    ],
    "callback": "progress",
    "class of ours": [TaskStatus, ExecutorServer, cancelled],
    "large": 70_000,
    "view": 5,
    "numbers": [1, 2, 3],
    "eta": 2,
    "key": 4,
    "priority": 6,
    "timeout": 8,
    "repeatable": 10,
    "background": "page 3",
    "held again": "released",
}

Check = Callable[[Any], bool]

Kinds = type[BaseException] | tuple[type[BaseException], ...]

FAILURES: dict[str, tuple[Kinds, str, str, Check]] = {
    "failed": (LookupError, "no such book", "in fail", bool),
    "cause": (
        jobs.OrderError,
        "order 7: not in stock",
        "in fail_with_cause",
        lambda error: (
            error.order == jobs.ORDER
            and error.__notes__ == ["look into the cellar"]
            and type(error.__cause__) is KeyError
        ),
    ),
    "cause in a thread": (
        jobs.OrderError,
        "order 7: not in stock",
        "in fail_with_cause",
        lambda error: type(error.__cause__) is KeyError,
    ),
    "stubborn": (
        # Version 0.1 put a substitute in its place; today it arrives without what cannot travel.
        (RemoteError, jobs.StubbornError),
        "it stays here",
        "in fail_stubbornly",
        lambda error: (
            isinstance(error, jobs.StubbornError) or error.type_name == "stored_jobs.StubbornError"
        ),
    ),
    "ours": (
        TaskLimitError,
        "the job's own limit",
        "in fail_with_ours",
        lambda error: error.task_id == "inner" and error.status == 429,
    ),
    "http": (
        HTTPNotFound,
        "no such order",
        "in fail_with_http",
        lambda error: error.status == 404,
    ),
    "group": (
        ExceptionGroup,
        "two",
        "in fail_as_a_group",
        lambda error: error.exceptions[1].order == jobs.ORDER,
    ),
    "local class": (
        Exception,
        "of a class that travels by value",
        "in fail_locally",
        lambda error: type(error).__name__ == "LocalError",
    ),
    "crash": (WorkerCrashedError, "exit code 7", "", lambda error: error.exit_code == 7),
    "time limit": (ExecutorTimeoutError, "0.5", "", lambda error: error.timeout == 0.5),
    "no result": (SerializationError, "cannot travel back", "", bool),
    "repeated": (LookupError, "twice", "in fail", bool),
    "waits to be repeated": (LookupError, "again", "in fail", bool),
    "lost": (TaskLostError, "may have had effects", "", bool),
    "held": (TaskLostError, "may have had effects", "", bool),
    "cancelled": (TaskCancelledError, "was cancelled", "", bool),
    "held and cancelled": (TaskCancelledError, "was cancelled", "", bool),
}

ATTEMPTS = {"held again": 2, "held": 1, "repeated": 2, "waits to be repeated": 2, "cancelled": 0}


def unpacked(store: Path, folder: Path) -> dict[str, str]:
    """Put a copy of ``store`` where a server has its own; the ids of its jobs by name."""
    folder.mkdir()
    (folder / "jobs.sqlite").write_bytes(gzip.decompress(store.read_bytes()))
    names: dict[str, str] = json.loads(store.with_name(f"{name_of(store)}.json").read_text())
    return names


def name_of(store: Path) -> str:
    return store.name.removesuffix(".sqlite.gz")


@asynccontextmanager
async def archive(folder: Path) -> AsyncIterator[Any]:
    # Version 0.1 did not sign; what it wrote is accepted here as its owner would.
    settings = {"path": folder, "pool": "line", "accept_unsigned": True}
    async with built(jobs.Archive, executors=jobs.EXECUTORS, long_tasks=settings) as server:
        await server.long_tasks.start()
        server.long_tasks.begin()
        yield server.applications["archive"]


def remote_traceback(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


FORMER_PYTHON = (3, 11)
"""What wrote the store of the former version. A function that travels by value is byte code of
that Python, which no other one can run."""


async def check_every_job(
    app: Any, names: dict[str, str], written_with: tuple[int, int] = sys.version_info[:2]
) -> None:
    """Everything that the store promises is there, has run or runs now."""
    tasks = app.tasks
    assert len(await tasks.list(limit=1000)) == len(names)
    assert app.server.long_tasks.damage == []

    for name, expected in RESULTS.items():
        assert await tasks.result(names[name], timeout=30) == expected, name
    for name in ("values", "in a thread"):
        found, expected = await tasks.result(names[name]), jobs.many_values()
        error, expected_error = found.pop("error"), expected.pop("error")
        assert found == expected
        assert (type(error), str(error), error.task_id) == (type(expected_error), "too many", "x")
    by_value = await tasks.result(names["by value"])
    if written_with == sys.version_info[:2]:
        assert by_value(1) == 42

    for name, (kind, text, traceback, check) in FAILURES.items():
        with pytest.raises(kind) as caught:
            await tasks.result(names[name], timeout=30)
        assert text in str(caught.value), name
        assert traceback in remote_traceback(caught.value), name
        assert check(caught.value), name

    statuses = {name: await tasks.status(task_id) for name, task_id in names.items()}
    for name, status in statuses.items():
        assert status.attempts == ATTEMPTS.get(name, status.attempts), name
        if name in FAILURES and status.state is TaskState.FAILED:
            assert FAILURES[name][1] in status.failure.message
            assert status.failure.traceback
    assert statuses.pop("next century").state is TaskState.QUEUED
    ended = {name: status.state for name, status in statuses.items()}
    expected_states = dict.fromkeys([*RESULTS, "values", "in a thread", "by value"], "succeeded")
    expected_states |= dict.fromkeys(FAILURES, "failed")
    expected_states |= {"lost": "lost", "held": "lost"}
    expected_states |= {"cancelled": "cancelled", "held and cancelled": "cancelled"}
    assert ended == expected_states
    assert statuses["background"].title == "archive/scan"
    assert statuses["key"].submitter == "ann"
    assert statuses["held again"].progress is None or statuses["held again"].progress.fraction
    assert statuses["lost"].progress.data == {"step": 1}


@pytest.mark.parametrize("version", FORMER)
async def test_the_store_of_a_former_version_goes_on(version: str, tmp_path: Path) -> None:
    names = unpacked(STORES / f"{version}.sqlite.gz", tmp_path / "store")
    async with archive(tmp_path / "store") as app:
        await check_every_job(app, names, FORMER_PYTHON)


def test_there_is_a_store_of_a_former_version() -> None:
    assert "0.1" in FORMER


# -- what is written ------------------------------------------------------------------------------

KEPT = {
    "genro_executor_plugin",
    "genro_executor_plugin.errors",
    "genro_executor_plugin.portable.stored",
}
"""What stored bytes may name of this package."""

OTHERS = {"stored_jobs", host.PACKAGE, "cloudpickle", "tblib", *sys.stdlib_module_names}
"""What else this store names: the jobs' own modules, and the two libraries that pickle copies of
classes and tracebacks, under names that they keep for pickles of before."""


WRITING_SECONDS = 120
"""How long two servers may take to write a store, on a machine that has other things to do."""


def names_in(content: bytes) -> Iterator[tuple[str, str]]:
    """The names in a pickle, by module; those that ``resolve`` is given, too."""
    texts: list[str] = []
    memo: list[Any] = []
    last: Any = None
    resolving: int | None = None
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name == "MEMOIZE":
            memo.append(last)
            continue
        last = memo[argument] if opcode.name in ("BINGET", "LONG_BINGET") else argument
        if opcode.name == "STACK_GLOBAL":
            yield texts[-2], texts[-1]
            resolving = len(texts) if texts[-1] == "resolve" else resolving
        elif isinstance(last, str):
            texts.append(last)
            if resolving is not None and len(texts) == resolving + 2:
                yield texts[-2], texts[-1]


@pytest.mark.timeout(WRITING_SECONDS + 60)
async def test_what_is_stored_names_only_what_stays_where_it_is(tmp_path: Path) -> None:
    """A store of this version: read as one of a former version is, and looked into."""
    writer = [sys.executable, STORES / "write_store.py", tmp_path, "now"]
    await asyncio.to_thread(
        subprocess.run, writer, env=environment(), check=True, timeout=WRITING_SECONDS
    )
    names = unpacked(tmp_path / "now.sqlite.gz", tmp_path / "store")
    with closing(sqlite3.connect(tmp_path / "store" / "jobs.sqlite")) as connection:
        contents = connection.execute("SELECT content FROM payloads").fetchall()
    found = {name for (content,) in contents for name in names_in(content)}
    ours = {module for module, _ in found if module.startswith("genro_executor_plugin")}
    assert ours == KEPT
    assert {module.partition(".")[0] for module, _ in found} - OTHERS == {"genro_executor_plugin"}
    assert {
        name for module, name in found if module == "genro_executor_plugin.portable.stored"
    } == {
        "resolve",
        "memory_view",
        "served_instance",
    }
    async with archive(tmp_path / "store") as app:
        await check_every_job(app, names)
