# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Several servers on one store: each answers for the jobs of all, and takes over from the dead."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import task_functions as tf
from conftest import Gate
from due_jobs import make_due
from genro_routes import route
from programs import TESTS, RunningProgram, started
from servers import boot_message, built, until, until_answered

from genro_executor_plugin import (
    ExecutorApplication,
    ExecutorServer,
    TaskCancelledError,
    TaskError,
    TaskLimitError,
    TaskNotFoundError,
    TaskState,
    TaskStoreError,
)
from genro_executor_plugin.tasks import siblings
from genro_executor_plugin.tasks.store import database
from genro_executor_plugin.tasks.store.members import Membership

LASTING = TESTS / "apps" / "lasting.py"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers in the test's own process find each other sooner."""
    monkeypatch.setattr(siblings, "LOOK_SECONDS", 0.05)


class Desk(ExecutorApplication):
    mount = "desk"

    @route(executor="jobs")
    def stamp(self, text: str) -> str:
        return f"stamped {text}"


@asynccontextmanager
async def desk(folder: Path, *applications: Any, **settings: Any) -> AsyncIterator[Any]:
    settings = {"path": folder / "store", "pool": "jobs", "shutdown_timeout": 0.0, **settings}
    executors = {"jobs": {"max_workers": 2, "shutdown_timeout": 1.0}}
    applications = applications or (Desk,)
    async with built(*applications, executors=executors, long_tasks=settings) as server:
        await server.long_tasks.start()
        server.long_tasks.begin()
        yield server.applications[applications[0].mount]


@asynccontextmanager
async def two_desks(folder: Path, **settings: Any) -> AsyncIterator[tuple[Any, Any]]:
    """Two servers that know of each other."""
    async with desk(folder, **settings) as one:
        await one.tasks.result(await one.tasks.submit(tf.add, 0, 0))  # there is a store
        async with desk(folder, **settings) as other:
            await until(lambda: one.server.long_tasks.siblings.others)
            yield one, other


# -- one job, two servers -------------------------------------------------------------------------


async def test_each_server_answers_for_the_jobs_of_the_other(tmp_path: Path, gate: Gate) -> None:
    async with two_desks(tmp_path) as (one, other):
        job = await one.tasks.submit(tf.note_and_hold, str(tmp_path / "a"), "held", gate.path)
        await gate.entered()
        seen = asyncio.create_task(_states_of(other, job))
        waiting = asyncio.create_task(other.tasks.result(job))
        assert (await other.tasks.status(job)).state is TaskState.RUNNING
        with pytest.raises(TimeoutError):
            await other.tasks.result(job, timeout=0.01)
        gate.release()
        assert await waiting == "held"
        assert (await seen)[-1] is TaskState.SUCCEEDED
        assert await other.tasks.result(job) == "held"
        with pytest.raises(LookupError, match="no such book"):
            await other.tasks.result(await one.tasks.submit(tf.fail, "no such book"))
        await other.tasks.forget(job)
        with pytest.raises(TaskNotFoundError):
            await one.tasks.status(job)
        listed = {status.task_id for status in await other.tasks.list()}
        assert listed == {status.task_id for status in await one.tasks.list()}
        assert await other.server.long_tasks.counts() == await one.server.long_tasks.counts()
    assert (tmp_path / "a").read_text() == "held\n"


async def _states_of(app: Any, job: str) -> list[TaskState]:
    return [status.state async for kind, status in app.server.long_tasks.follow(job)]


async def test_a_failed_job_runs_again_in_the_other_server(tmp_path: Path) -> None:
    """It keeps its id and its idempotency key; a job that goes on, or succeeded, is refused."""
    file = str(tmp_path / "attempts")
    async with two_desks(tmp_path) as (one, other):
        job = await one.tasks.options(key="k").submit(tf.fail_until, file, 2)
        with pytest.raises(ConnectionError):
            await one.tasks.result(job)
        assert (await other.tasks.retry(job)).state is TaskState.QUEUED
        assert await one.tasks.result(job) == 2
        again = await one.tasks.options(key="k").submit(tf.fail_until, file, 2)
        assert str(again) == str(job)
        status = await one.tasks.status(job)
        assert (status.attempts, status.failure) == (1, None)
        with pytest.raises(TaskError, match="arguments were not kept"):
            await other.tasks.retry(job)
        later = await one.tasks.options(eta=timedelta(hours=1)).submit(tf.add, 1, 2)
        with pytest.raises(TaskError, match="is queued"):
            await other.tasks.retry(later)
        with pytest.raises(TaskNotFoundError):
            await other.tasks.retry("nope")


async def test_a_lost_job_runs_again_after_a_restart(tmp_path: Path, gate: Gate) -> None:
    async with desk(tmp_path) as app:
        job = await app.tasks.submit(tf.note_and_hold, str(tmp_path / "a"), "held", gate.path)
        await gate.entered()
    async with desk(tmp_path) as app:
        assert (await app.tasks.status(job)).state is TaskState.LOST
        await app.tasks.retry(job)
        await gate.entered()
        gate.release()
        assert await app.tasks.result(job) == "held"
    assert (tmp_path / "a").read_text() == "held\nheld\n"


async def test_a_job_is_cancelled_through_the_other_server(tmp_path: Path, gate: Gate) -> None:
    async with two_desks(tmp_path) as (one, other):
        later = one.tasks.options(eta=timedelta(hours=1))
        waits = await later.submit(tf.add, 1, 1)
        soon = await one.tasks.options(eta=timedelta(minutes=1)).submit(tf.add, 1, 1)
        file = tmp_path / "ended"
        runs = await one.tasks.submit(tf.stop_when_asked, str(file), gate.path)
        await gate.entered()
        stubborn = await one.tasks.submit(tf.never_listen, gate.path)
        await gate.entered()
        gate.release()
        asked = asyncio.create_task(one.tasks.result(waits))
        await asyncio.sleep(0)
        assert (await other.tasks.cancel(waits)).state is TaskState.CANCELLED
        assert (await other.tasks.cancel(soon)).state is TaskState.CANCELLED
        assert (await other.tasks.cancel(runs)).cancel_requested
        assert (await other.tasks.cancel(stubborn, grace=0.05)).cancel_requested
        for job in (runs, stubborn, soon):
            with pytest.raises(TaskCancelledError):
                await other.tasks.result(job)
        assert file.read_text() == "cleaned up\n"  # it was asked, and not killed
        with pytest.raises(TaskCancelledError):
            await asked  # whoever waits where it was submitted is told as well
        assert one.server.long_tasks._runner.jobs == {}
        with pytest.raises(TaskNotFoundError):
            await other.tasks.cancel("none")


async def test_a_key_and_a_limit_are_the_same_in_both(tmp_path: Path) -> None:
    async with two_desks(tmp_path, max_jobs_per_submitter=5) as (one, other):
        later = {"eta": timedelta(hours=1)}
        job = await one.tasks.options(key="k", **later).submit(tf.add, 1, 1)
        assert await other.tasks.options(key="k", **later).submit(tf.add, 1, 1) == job
        with pytest.raises(TaskError, match="was used for a call"):
            await other.tasks.options(key="k", **later).submit(tf.add, 1, 2)
        for _ in range(3):
            await one.tasks.options(**later).submit(tf.add, 1, 1)
        await until(lambda: counted_by(other) == 5)
        with pytest.raises(TaskLimitError, match="has 5 jobs"):
            other.tasks.options(**later).submit(tf.add, 1, 1)
        await other.tasks.cancel(job)
        await other.tasks.forget(job)
        await until(lambda: counted_by(one) == 4)
        await other.tasks.options(**later).submit(tf.add, 1, 1)
        await until(lambda: counted_by(one) == 5)
        with pytest.raises(TaskLimitError):
            await one.tasks.options(**later).submit(tf.add, 1, 1)


def counted_by(app: Any) -> int:
    """How many jobs of the application itself its server knows of."""
    jobs: int = app.server.long_tasks._acceptance.limits._used["the application itself"][0]
    return jobs


async def test_many_steps_of_two_servers_wait_for_each_other(tmp_path: Path) -> None:
    """None is refused because the other one writes."""
    async with two_desks(tmp_path) as (one, other):
        later = [app.tasks.options(eta=timedelta(hours=1)) for app in (one, other)]

        async def submit(tasks: Any) -> None:
            for number in range(40):
                await tasks.submit(tf.add, number, 1)

        await asyncio.gather(*(submit(tasks) for tasks in later * 4))
        assert (await one.server.long_tasks.counts())["queued"] == 320


async def test_what_is_not_shared_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with two_desks(tmp_path) as (_, other):
        await until(lambda: other.server.long_tasks.siblings.others)
        await asyncio.sleep(0)
    said = [text for text in caplog.messages if "keeps them in its memory" in text]
    assert len(said) == 2  # each of the two servers, once
    assert f"pid {os.getpid()}" in said[0]
    assert "one session_store" in said[0]


# -- one of them ends -----------------------------------------------------------------------------


async def test_what_a_server_leaves_is_done_by_the_other(tmp_path: Path, gate: Gate) -> None:
    async with desk(tmp_path) as one:
        await one.tasks.result(await one.tasks.submit(tf.add, 0, 0))
        async with desk(tmp_path) as other:
            await until(lambda: one.server.long_tasks.siblings.others)
            again = other.tasks.options(repeatable=True)
            holding = (str(tmp_path / "a"), "held", gate.path)
            repeated = await again.submit(tf.note_and_hold, *holding)
            await gate.entered()
            lost = await other.tasks.submit(tf.hold, gate.path)
            await gate.entered()
            waits = await other.tasks.options(eta=timedelta(hours=1)).submit(tf.add, 2, 3)
            make_due(tmp_path)  # for the one that takes it over
            result = asyncio.create_task(one.tasks.result(waits))
        await gate.entered()
        gate.release()
        assert await one.tasks.result(repeated) == "held"
        assert await result == 5
        assert (await one.tasks.status(lost)).state is TaskState.LOST
    assert (tmp_path / "a").read_text() == "held\nheld\n"


async def test_a_server_that_cannot_leave_its_jobs_to_others_loses_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Because the disk is full then, say, or another process has a lock on the file."""
    monkeypatch.setattr(database, "LEAVING_PATIENCE_SECONDS", 0.05)
    async with desk(tmp_path) as one:
        await one.tasks.result(await one.tasks.submit(tf.add, 0, 0))
        with closing(sqlite3.connect(tmp_path / "store" / "jobs.sqlite")) as shell:
            shell.isolation_level = None
            async with desk(tmp_path) as other:
                job = await other.tasks.options(eta=timedelta(hours=1)).submit(tf.add, 2, 3)
                make_due(tmp_path)  # for the one that takes it over
                shell.execute("BEGIN IMMEDIATE")
                other.server.long_tasks._store.leave()
            shell.execute("COMMIT")
        assert await one.tasks.result(job) == 5


async def test_a_server_of_other_applications_is_refused(tmp_path: Path) -> None:
    class Another(ExecutorApplication):
        mount = "another"

    settings = {"path": tmp_path / "store", "pool": "jobs"}
    async with desk(tmp_path) as app:
        await app.tasks.submit(tf.add, 1, 1)
        second = ExecutorServer(
            applications=[Another], executors={"jobs": {}}, long_tasks=settings, tasks=False
        )
        message = await boot_message(second)
        assert message["type"] == "lifespan.startup.failed"
        assert f"in use by the server with pid {os.getpid()}" in message["message"]
        assert "long_tasks={'path': ...}" in message["message"]
    async with desk(tmp_path, Another) as app:  # it is free again
        assert len(await app.tasks.list()) == 1


@contextmanager
def held_by_version_0_1(folder: Path) -> Iterator[None]:
    with (folder / "owner").open("w") as file:
        file.write('{"pid": 4242, "host": "here"}')
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


async def test_a_version_that_shares_with_nobody_keeps_its_store(tmp_path: Path) -> None:
    async with desk(tmp_path) as app:
        await app.tasks.submit(tf.add, 1, 1)
        with (tmp_path / "store" / "owner").open() as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # as that version would take it
    refused = pytest.raises(TaskStoreError, match="in use by the server with pid 4242 on here")
    with held_by_version_0_1(tmp_path / "store"), refused:
        async with desk(tmp_path):
            pass
    async with desk(tmp_path) as app:
        assert len(await app.tasks.list()) == 1


def test_who_lives_and_who_has_ended_is_told_by_locks(tmp_path: Path) -> None:
    one, other, third = (Membership(tmp_path, "the same") for _ in range(3))
    one.join()
    assert one.others() == one.ended() == []
    other.join(has_store=True)
    (member,) = one.others()
    assert (member.pid, member.serves, member.has_store) == (os.getpid(), "the same", True)
    other._let_go()  # as the kernel does for a killed process
    assert one.others() == []
    (ended,) = one.ended()
    assert ended.member == member
    assert third.ended() == [], "one takes over, and no other one"
    assert third.others()[0].pid == os.getpid()
    ended.release()
    (ended,) = third.ended()
    ended.remove()
    assert one.ended() == []
    one.leave()
    assert list((tmp_path / "processes").iterdir()) == []


# -- processes ------------------------------------------------------------------------------------


@asynccontextmanager
async def clients_of(*programs: RunningProgram) -> AsyncIterator[list[httpx.AsyncClient]]:
    for program in programs:
        await asyncio.to_thread(program.until_it_serves)
    clients = [program.client() for program in programs]
    for client in clients:
        client.auth = ("ann", "secret")
    try:
        yield clients
    finally:  # or one that failed would leave them to the test behind it
        for client in clients:
            await client.aclose()


async def submitted(client: httpx.AsyncClient, kind: str, name: str, seconds: float) -> str:
    answer = await client.post(f"/lasting/{kind}", params={"name": name, "seconds": seconds})
    assert answer.status_code in (200, 202), answer.text
    task_id: str = answer.json()["task_id"]
    return task_id


async def stopped_between_commits(program: RunningProgram, store: Path) -> None:
    """Stop ``program`` while it does not have the lock for writing, which it would keep."""
    while True:
        program.signal(signal.SIGSTOP)
        with closing(sqlite3.connect(store, isolation_level=None, timeout=1.0)) as connection:
            try:  # the other process has it for a moment at a time
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                program.signal(signal.SIGCONT)
                await asyncio.sleep(0)
            else:
                connection.execute("ROLLBACK")
                return


async def test_jobs_of_a_killed_process_go_on_in_another_one(tmp_path: Path) -> None:
    """None of them twice at a time; those of a process that is stopped stay its own."""
    arguments = (LASTING, str(tmp_path / "store"), str(tmp_path))
    quiet = {"cwd": tmp_path, "PYTHONUNBUFFERED": "1"}
    with started(*arguments, **quiet) as first, started(*arguments, **quiet) as second:
        async with clients_of(first, second) as (one, other):
            again = await submitted(one, "repeatable", "again", 60)
            lost = await submitted(one, "once", "lost", 60)
            waits = await submitted(one, "once", "waits", 0)
            begun = tmp_path / "begun"
            await until(lambda: begun.exists() and len(begun.read_text().splitlines()) >= 2)

            async def states(*jobs: str) -> list[str]:
                urls = [f"/_tasks/status/{job}" for job in jobs]
                return [(await other.get(url)).json()["state"] for url in urls]

            first.descendants()
            await stopped_between_commits(first, tmp_path / "store" / "jobs.sqlite")
            listed = await other.get("/lasting/jobs")
            assert listed.status_code == 200, listed.text
            await asyncio.sleep(1.5)  # it looks once a second
            assert "queued" in await states(waits)
            assert await states(lost) == ["running"]
            first.signal(signal.SIGKILL)
            await asyncio.to_thread(first.wait_for_itself)
            (tmp_path / "again.enough").touch()

            async def ended() -> bool:
                return await states(again, lost, waits) == ["succeeded", "lost", "succeeded"]

            await until_answered(ended, 0.05)
            result = await other.get(f"/_tasks/result/{again}")
            assert result.text == "done again"
    assert not (tmp_path / "overlaps").exists(), begun.read_text()
    names = [line.split()[0] for line in begun.read_text().splitlines()]
    assert sorted(set(names)) == ["again", "lost", "waits"]
    assert names.count("lost") == names.count("waits") == 1


UVICORN = """
import os, time
from genro_routes import route
from genro_executor_plugin import ExecutorApplication, ExecutorConsole, ExecutorServer, progress

class Shop(ExecutorApplication):
    mount = "shop"

    @route()
    def who(self) -> dict:
        return {"pid": os.getpid()}

    @route(executor="pdf")
    def invoice(self) -> int:
        return os.getpid()

    @route(executor="pdf", executor_background=True)
    def job(self, seconds: float = 0.0) -> str:
        progress(0.5, "half")
        time.sleep(seconds)
        return "done"

server = ExecutorServer(
    applications=[ExecutorConsole, Shop],
    executors={"pdf": {"max_workers": 1}},
    long_tasks={"path": "store", "cancel_grace": 0.1},
    tasks=False,
    auth={"basic": {"ann": {"password": "secret", "tags": "SERVER_ADMIN"}}},
)
"""


async def test_uvicorn_with_several_workers_is_one_server_to_its_clients(tmp_path: Path) -> None:
    (tmp_path / "site_of_two.py").write_text(UVICORN)
    command = ("-m", "uvicorn", "--app-dir", str(tmp_path), "--port", "0", "--workers", "2")
    with started(*command, "site_of_two:server", cwd=tmp_path) as process:
        await asyncio.to_thread(process.until_it_serves)
        for _ in range(2):
            said = r"(?s)(Application startup complete.*){2}"
            await asyncio.to_thread(process.until_it_says, said)
        url = process.url

        async def ask(method: str, path: str, **options: Any) -> httpx.Response:
            """On a connection of its own, which any of the two processes may accept."""
            # A worker listens a moment after it has said that it has started.
            connect = httpx.AsyncHTTPTransport(verify=False, trust_env=False, retries=4)
            async with httpx.AsyncClient(
                base_url=url, auth=("ann", "secret"), transport=connect, timeout=90
            ) as client:
                return await client.request(method, path, **options)

        async def of_both() -> set[int]:
            pids.add((await ask("GET", "/shop/who")).json()["pid"])
            return pids if len(pids) == 2 else set()

        pids: set[int] = set()
        await until_answered(of_both)
        answers = [await ask("POST", "/shop/job") for _ in range(12)]
        assert [answer.status_code for answer in answers] == [202] * 12
        for answer in answers:
            result = await ask("GET", answer.json()["result_url"], params={"wait": 60})
            assert (result.status_code, result.text) == (200, "done")
        long = (await ask("POST", "/shop/job", params={"seconds": 60})).json()
        for _ in range(6):
            answer = await ask("POST", long["cancel_url"])
            assert answer.status_code in (200, 202), answer.text
        result = await ask("GET", long["result_url"], params={"wait": 60})
        assert result.status_code == 409, result.text

        async def listed() -> bool:
            shown = (await ask("GET", "/_executors/snapshot")).json()
            return {one["pid"] for one in shown["processes"]} == pids

        await until_answered(listed, 0.2)
        process.descendants()
        process.signal(signal.SIGINT)
        assert process.wait() == 0, process.log
        assert "Traceback" not in process.log, process.log
        assert not process.left()
