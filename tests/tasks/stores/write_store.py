# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Write a store of long jobs as a killed server leaves it: ``write_store.py <folder> <name>``.

``<name>.sqlite.gz`` is the store, ``<name>.json`` says which job is which. Every job is submitted
through the package's public names, so that any version can run this::

    PYTHONPATH=<checkout of that version> python tests/tasks/stores/write_store.py . 0.1

The store of a released version is committed once and never written anew: it is there to prove
that later versions read it.
"""

from __future__ import annotations

import array
import asyncio
import functools
import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import httpx
import stored_jobs as jobs

from genro_executor_plugin import ExecutorServer, TaskState, TaskStatus, cancelled, progress

LONGEST_SECONDS = 10 * 365 * 86_400.0
"""The longest time that an option takes. What version 0.1 has written is kept for a century."""

READY = "every job is in the store"

Job = tuple[dict[str, Any], tuple[Any, ...], dict[str, Any]]


def job(*call: Any, options: dict[str, Any] | None = None, **kwargs: Any) -> Job:
    return options or {}, call, kwargs


def queued(app: Any) -> dict[str, Job]:
    """One job for every way to write a call down."""
    return {
        "function": job(jobs.add, 1, 2),
        "keywords": job(jobs.add, one=1, other=5),
        "coroutine": job(jobs.add_later, 3, 4),
        "decorated": job(jobs.plus_one, 4),
        "undecorated": job(jobs.plus_one.__wrapped__, 4),  # type: ignore[attr-defined]
        "alias": job(jobs.tenfold, 4),
        "static": job(jobs.Tools.half, 3),
        "partial": job(functools.partial(jobs.add, 20), 2),
        "builtin": job(len, [1, 2, 3]),
        "handler": job(app.stamp, "by method", times=2),
        "path": job("stamp", "by path"),
        "server path": job("/archive/stamp", "by server path"),
        "section": job("cellar/bottles", 3),
        "plain method": job(app.plain_method, 5),
        "application": job(jobs.name_of, app),
        "branch": job(jobs.name_of, app.cellar),
        "own values": job(jobs.same, [jobs.ORDER, jobs.Color.RED, jobs.Order]),
        "functions": job(jobs.same, [jobs.plus_one, jobs.plus_one.__wrapped__, jobs.tenfold]),  # type: ignore[attr-defined]
        "our values": job(
            jobs.same,
            [jobs.file_to_send(), TaskState.LOST, TaskStatus("id", TaskState.LOST, "t", "p")],
        ),
        "callback": job(jobs.with_callback, progress),
        "class of ours": job(jobs.same, [TaskStatus, ExecutorServer, cancelled]),
        "large": job(jobs.size, bytes(70_000)),
        "view": job(jobs.size, memoryview(b"12345")),
        "numbers": job(jobs.whole, memoryview(array.array("i", [1, 2, 3]))),
        "eta": job(jobs.add, 1, 1, options={"eta": timedelta(seconds=1)}),
        "next century": job(jobs.add, 1, 1, options={"eta": time.time() + LONGEST_SECONDS / 2}),
        "key": job(jobs.add, 2, 2, options={"key": "invoice 7", "submitter": "ann"}),
        "priority": job(jobs.add, 3, 3, options={"priority": 5, "retries": 2, "backoff": 0.0}),
        "timeout": job(jobs.add, 4, 4, options={"timeout": 60.0, "keep": LONGEST_SECONDS / 2}),
        "repeatable": job(jobs.add, 5, 5, options={"repeatable": True}),
    }


def ended() -> dict[str, Job]:
    return {
        "result": job(jobs.add, 1, 2),
        "nothing": job(jobs.same, None),
        "values": job(jobs.many_values),
        "file": job(jobs.file_to_send),
        "by value": job(jobs.local_function),
        "bytes": job(jobs.large),
        "view result": job(jobs.view, options={"pool": "threads"}),
        "in a thread": job(jobs.many_values, options={"pool": "threads"}),
        "failed": job(jobs.fail, "no such book"),
        "cause": job(jobs.fail_with_cause),
        "cause in a thread": job(jobs.fail_with_cause, options={"pool": "threads"}),
        "stubborn": job(jobs.fail_stubbornly),
        "ours": job(jobs.fail_with_ours),
        "http": job(jobs.fail_with_http),
        "group": job(jobs.fail_as_a_group),
        "local class": job(jobs.fail_locally),
        "crash": job(jobs.exit_hard),
        "time limit": job(jobs.hold, options={"timeout": 0.5}),
        "no result": job(jobs.return_nothing_that_travels),
        "repeated": job(jobs.fail, "twice", options={"retries": 1, "backoff": 0.0}),
    }


def server_at(folder: Path) -> Any:
    return ExecutorServer(
        applications=[jobs.Archive],
        executors=jobs.EXECUTORS,
        long_tasks={
            "path": folder,
            "pool": "line",
            "keep": LONGEST_SECONDS,
            "shutdown_timeout": 0.0,
        },
        tasks=False,
    )


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[Any, Any]]:
    """A server that was started as an ASGI server starts it, and its application."""
    server = server_at(folder)
    inbox: asyncio.Queue[Any] = asyncio.Queue()
    outbox: asyncio.Queue[Any] = asyncio.Queue()
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}}
    lifespan = asyncio.create_task(server(scope, inbox.get, outbox.put))
    inbox.put_nowait({"type": "lifespan.startup"})
    started = await outbox.get()
    assert started["type"] == "lifespan.startup.complete", started
    try:
        yield server, server.applications["archive"]
    finally:
        inbox.put_nowait({"type": "lifespan.shutdown"})
        await outbox.get()
        await lifespan


async def until(fact: Callable[[], Awaitable[Any]]) -> None:
    while not await fact():  # noqa: ASYNC110 - what it waits for has no event of its own
        await asyncio.sleep(0.01)


async def holding(app: Any, task_id: str) -> None:
    """Return when the job is in its worker, and has said so."""
    await until(lambda: app.tasks.progress(task_id))


async def lose_one(folder: Path) -> dict[str, str]:
    """A server that stops while a job runs."""
    async with running(folder) as (_, app):
        lost = await app.tasks.submit(jobs.hold)
        await holding(app, lost)
        return {"lost": lost}


async def fill(folder: Path) -> dict[str, str]:
    """A server that has jobs in every state, and waits until it is killed."""
    found: dict[str, str] = {}

    async def submit(name: str, given: Job, **defaults: Any) -> None:
        options, call, kwargs = given
        tasks = app.tasks.options(**{**defaults, **options})
        found[name] = await tasks.submit(*call, **kwargs)

    async with running(folder) as (server, app):
        for name, given in ended().items():
            await submit(name, given, pool="jobs")
        results = (app.tasks.result(found[name]) for name in ended())
        await asyncio.gather(*results, return_exceptions=True)
        for name, options in {
            "held": {"pool": "line"},
            "held again": {"pool": "jobs", "repeatable": True},
            "held and cancelled": {"pool": "jobs"},
        }.items():
            await submit(name, job(jobs.hold, options=options))
            await holding(app, found[name])
        await app.tasks.cancel(found["held and cancelled"], grace=3600.0)
        for name, given in queued(app).items():
            await submit(name, given)
        await submit("cancelled", job(jobs.add, 1, 1))
        await app.tasks.cancel(found["cancelled"])
        await submit("waits to be repeated", job(jobs.fail, "again", options={
            "pool": "threads", "retries": 1, "backoff": 5.0,
        }))  # fmt: skip
        await until(lambda: failed_once(app, found["waits to be repeated"]))
        transport = httpx.ASGITransport(app=server)
        async with httpx.AsyncClient(transport=transport, base_url="http://archive") as client:
            headers = {"idempotency-key": "page 3"}
            answer = await client.post("/archive/scan?page=3", headers=headers)
            found["background"] = answer.json()["task_id"]
        print(json.dumps(found), flush=True)
        print(READY, flush=True)
        await asyncio.Event().wait()
    return found


async def failed_once(app: Any, task_id: str) -> bool:
    return (await app.tasks.status(task_id)).failure is not None


def run(step: str, folder: Path) -> dict[str, str]:
    """Run one of the two servers in a process of its own; kill it if it waits for that."""
    command = [sys.executable, str(Path(__file__).resolve()), f"--{step}", str(folder)]
    environment = {**os.environ, jobs.HOLD: "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder
    ) as process:
        assert process.stdout is not None
        found: dict[str, str] = {}
        for line in process.stdout:
            if line.strip() == READY:
                process.send_signal(signal.SIGKILL)
            elif line.startswith("{"):
                found = json.loads(line)
    assert found, f"{step} did not write its jobs"
    return found


def write(target: Path, name: str) -> None:
    """Write ``<name>.sqlite.gz`` and ``<name>.json`` to ``target``."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        names = {**run("lose_one", folder), **run("fill", folder)}
        with closing(sqlite3.connect(folder / "jobs.sqlite")) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.execute("PRAGMA journal_mode=DELETE")
            connection.execute("VACUUM")
        content = gzip.compress((folder / "jobs.sqlite").read_bytes(), mtime=0)
        (target / f"{name}.sqlite.gz").write_bytes(content)
    text = json.dumps(dict(sorted(names.items())), indent=1)
    (target / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[-1])
    if what == "--lose_one":
        print(json.dumps(asyncio.run(lose_one(where))), flush=True)
    elif what == "--fill":
        asyncio.run(fill(where))
    else:
        write(Path(what), sys.argv[2])
