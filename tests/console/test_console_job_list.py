# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The list of long jobs in the console: searched, sorted, in pages; and what is done to jobs."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import threading
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from conftest import Gate
from press import ANN, BOB, ROOT, USERS, Press, ask
from servers import Site, serving
from waiting import until

from genro_executor_plugin import ExecutorConsole, TaskStoreError
from genro_executor_plugin.tasks.managed import _Repr
from genro_executor_plugin.tasks.store.reader import Reader

POOLS: dict[str, Any] = {
    "jobs": {"executor_type": "thread", "max_workers": 2, "job_arguments": "show"},
}


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"

JSON = {"content-type": "application/json"}


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    settings = {"path": tmp_path / "store", "pool": "jobs", "shutdown_timeout": 0.2}
    async with serving(
        ExecutorConsole, Press, executors=POOLS, long_tasks=settings, auth=USERS
    ) as site:
        yield site


async def submit(site: Site, path: str, who: tuple[str, str] = ANN, **parameters: Any) -> str:
    """The id of a job that has ended."""
    answer = await ask(site, "POST", f"/press/{path}", who, params=parameters)
    job: str = answer.json()["task_id"]
    await ended(site, job)
    return job


async def ended(site: Site, job: str) -> str:
    url = f"/_tasks/result/{job}?wait=30"
    assert (await ask(site, "GET", url, ROOT)).status_code != 202
    state: str = (await ask(site, "GET", f"/_tasks/status/{job}", ROOT)).json()["state"]
    return state


async def listed(site: Site, **query: Any) -> dict[str, Any]:
    answer = await ask(site, "GET", "/_executors/jobs/list", ROOT, params=query)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def change(site: Site, **document: Any) -> dict[str, Any]:
    answer = await ask(site, "POST", "/_executors/change/jobs", ROOT, json=document)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def ids(found: dict[str, Any]) -> list[str]:
    return [job["id"] for job in found["jobs"]]


async def test_jobs_are_found_sorted_and_turned_in_pages(site: Site) -> None:
    books = [await submit(site, "book", title=f"t{number}") for number in range(5)]
    broken = await submit(site, "broken", BOB)

    assert ids(await listed(site)) == [broken, *books[::-1]]
    assert ids(await listed(site, order="asc", limit=2)) == books[:2]
    assert ids(await listed(site, state="failed,lost")) == [broken]
    assert ids(await listed(site, route="press/book")) == books[::-1]
    assert ids(await listed(site, submitter="bob", pool="jobs")) == [broken]
    for part in ("NO INK", "lookuperror"):
        assert ids(await listed(site, search=part)) == [broken]
    for name in ("type_name", "message", "traceback", "press.py"):
        assert ids(await listed(site, search=name)) == [], "it is not in what the exception says"
    assert len(ids(await listed(site, state=",", submitter="", pool=""))) == 6
    assert ids(await listed(site, search=books[2][3:15].upper())) == [books[2]]
    assert ids(await listed(site, search="100% _ of \ud7ff")) == []
    when = {job["id"]: job["submitted_at"] for job in (await listed(site))["jobs"]}
    since = await listed(site, since=when[books[3]], until=when[broken])
    assert ids(since) == [books[4], books[3]]

    for sort in ("submitted", "started", "ended", "duration", "attempts", "route"):
        for order in ("asc", "desc"):
            seen, after = [], ""
            while True:
                page = await listed(site, sort=sort, order=order, limit=2, after=after)
                assert page["count"] == (None if after else 6)
                seen += ids(page)
                if not (after := page["next"]):
                    break
            assert sorted(seen) == sorted([broken, *books]), (sort, order)
            assert len(seen) == 6

    url = "/_executors/jobs/list"
    for wrong in ("state=done", "limit=0", "limit=1e9", "since=nan", "sort=x", "after=[1]", "x=1",
                  "after=[1,99999999999999999999]", 'after=["%5Cud800",1]',
                  "search=" + "x" * 301, "after=" + "[" * 5000,
                  "&".join(f"x{number}=" for number in range(40))):  # fmt: skip
        answer = await ask(site, "GET", f"{url}?{wrong}", ROOT)
        assert answer.status_code == 400, (wrong, answer.status_code)


async def test_a_job_is_shown_with_its_failure_and_what_it_was_given(site: Site) -> None:
    broken = await submit(site, "broken")
    book = await submit(site, "book", title="<b>" + "x" * 5000, pages=3)
    shown = (await ask(site, "GET", f"/_executors/jobs/show/{broken}", ROOT)).json()
    assert (shown["state"], shown["can_be_repeated"]) == ("failed", True)
    assert "no ink" in shown["failure"]["message"]
    assert "press.py" in shown["failure"]["traceback"]
    assert shown["arguments"] == []
    (run,) = shown["runs"]
    assert (run["number"], run["ended_as"], run["pid"]) == (1, "failed", os.getpid())
    assert run["failure"]["message"] == shown["failure"]["message"]
    shown = (await ask(site, "GET", f"/_executors/jobs/show/{book}", ROOT)).json()
    (title, pages) = shown["arguments"]
    assert re.fullmatch(r"\[<int.*>, 1\]", _Repr().repr([10**5000, 1])), "it has no text"
    assert pages == ["pages", "3"]
    assert title[0] == "title"
    assert len(title[1]) < 500
    log = await ask(site, "GET", f"/_executors/jobs/log/{book}", ROOT)
    assert log.json() == {"lines": [], "missing": 0}
    for what in ("show", "log"):
        answer = await ask(site, "GET", f"/_executors/jobs/{what}/nope", ROOT)
        assert answer.status_code == 404
    for path in ("jobs/list/x", "jobs/show", "jobs/show/x/y", "jobs/index/x", "jobs/x"):
        assert (await ask(site, "GET", f"/_executors/{path}", ROOT)).status_code == 404, path


async def test_jobs_run_again_with_the_same_id_or_as_new_ones(site: Site) -> None:
    broken = await submit(site, "broken")
    book = await submit(site, "book", title="t")
    refused = await change(site, action="retry", jobs=[broken])
    assert (refused["count"], refused["done"]) == (1, []), "it was not confirmed"

    done = await change(site, action="retry", jobs=[broken, "nope"], confirm=True)
    assert done["done"] == [broken]
    assert "no job 'nope'" in done["refused"]["nope"]
    assert await ended(site, broken) == "failed"
    assert (await listed(site))["count"] == 2, "it has the same id, and so the same key"

    (new,) = (await change(site, action="again", jobs=[book], confirm=True))["done"]
    assert new not in (book, broken)
    assert await ended(site, new) == "succeeded"
    mine = await ask(site, "GET", f"/_tasks/result/{new}", ANN)
    assert mine.json() == {"title": "t", "pages": 1}, "it is the same submitter's"
    assert (await ask(site, "GET", f"/_tasks/result/{new}", BOB)).status_code == 404
    changes = (await ask(site, "GET", "/_executors/snapshot", ROOT)).json()["changes"]
    assert "1 long jobs run as new jobs" in changes[0]["what"]
    assert changes[0]["who"].startswith("root")


async def test_all_that_match_are_counted_first_and_then_done(site: Site, gate: Gate) -> None:
    for _ in range(3):
        await submit(site, "broken")
    kept = await submit(site, "book", title="t")
    answer = await ask(site, "POST", "/press/stubborn", params={"gate": gate.path})
    held = answer.json()["task_id"]
    await gate.entered()

    for action, count in (("retry", 3), ("again", 3), ("cancel", 1), ("forget", 4)):
        assert (await change(site, action=action, matching={}))["count"] == count
    assert (await change(site, action="cancel", matching={"state": "failed"}))["count"] == 0

    found = await change(site, action="forget", matching={"search": "no ink"}, confirm=True)
    assert (len(found["done"]), found["refused"], found["next"]) == (3, {}, "")
    assert ids(await listed(site)) == [held, kept]
    gate.release()
    assert (await change(site, action="cancel", matching={}, confirm=True))["done"] == [held]
    assert await ended(site, held) == "cancelled"

    url = "/_executors/change/jobs"
    for wrong in (
        {"action": "retry"},
        {"action": "retry", "jobs": [held], "matching": {}},
        {"action": "burn", "jobs": [held]},
        {"action": "retry", "matching": {"sort": "route"}},
        {"action": "retry", "matching": {"search": "\ud800"}},
        {"action": "retry", "matching": {"search": {}}},
        {"action": "forget", "matching": {"submitter": ""}},
        {"action": "forget", "matching": {"state": ","}},
        {"action": "retry", "jobs": ["\ud800"], "confirm": True},
        {"action": "retry", "jobs": ["x" * 201], "confirm": True},
        {"action": "retry", "matching": {}, "after": '["\\ud800", 1]'},
        {"action": "retry", "jobs": ["x"] * 101},
        {"action": "retry", "jobs": held},
    ):
        body = json.dumps(wrong)  # in ASCII, with escapes for what is no text
        answer = await ask(site, "POST", url, ROOT, content=body, headers=JSON)
        assert answer.status_code in (400, 422), (wrong, answer.text)


async def test_failed_jobs_wait_until_somebody_has_seen_them(site: Site) -> None:
    broken = [await submit(site, "broken") for _ in range(3)]
    book = await submit(site, "book", title="t")

    async def unseen() -> list[str]:
        found = await listed(site, seen="no")
        assert found["unseen"] == len(found["jobs"])
        snapshot = (await ask(site, "GET", "/_executors/snapshot", ROOT)).json()
        assert snapshot["long_jobs"]["counts"]["unseen"] == len(found["jobs"])
        return ids(found)

    assert await unseen() == broken[::-1]
    assert (await change(site, action="seen", jobs=[broken[0]]))["done"] == [], "not confirmed"
    done = await change(site, action="seen", jobs=[broken[0], book, "nope"], confirm=True)
    assert done["done"] == [broken[0]]
    assert "only failed and lost jobs" in done["refused"][book]
    assert set(done["refused"]) == {book, "nope"}
    assert await unseen() == broken[:0:-1]
    (marked,) = (await listed(site, seen="yes"))["jobs"]
    assert (marked["id"], marked["seen_by"]) == (broken[0], "root from 127.0.0.1")
    shown = (await ask(site, "GET", f"/_executors/jobs/show/{broken[0]}", ROOT)).json()
    assert (shown["seen_at"], shown["seen_by"]) == (marked["seen_at"], marked["seen_by"])
    assert time.time() - 60 < shown["seen_at"] <= time.time()
    await change(site, action="seen", jobs=[broken[0]], confirm=True)
    assert (await listed(site, seen="yes"))["jobs"] == [marked], "whoever was first stays"

    assert (await change(site, action="seen", matching={}))["count"] == 2
    done = await change(site, action="seen", matching={"state": "failed"}, confirm=True)
    assert sorted(done["done"]) == sorted(broken[1:])
    assert await unseen() == []
    assert (await change(site, action="seen", matching={}))["count"] == 0
    await change(site, action="unseen", jobs=[broken[1]], confirm=True)
    assert await unseen() == [broken[1]]

    await change(site, action="retry", jobs=[broken[0]], confirm=True)
    await ended(site, broken[0])
    assert await unseen() == [broken[1], broken[0]], "it has failed anew"
    await change(site, action="forget", jobs=[broken[0], broken[1]], confirm=True)
    assert await unseen() == []
    assert (await ask(site, "GET", "/_executors/jobs/list?seen=maybe", ROOT)).status_code == 400
    refused = await ask(
        site, "POST", "/_executors/change/jobs", ANN, json={"action": "seen", "matching": {}}
    )
    assert refused.status_code == 403


async def test_only_administrators_see_and_do_that(site: Site) -> None:
    broken = await submit(site, "broken")
    for who, status in ((ANN, 403), (None, 401)):
        for path in ("jobs/list", f"jobs/show/{broken}", f"jobs/log/{broken}"):
            answer = await ask(site, "GET", f"/_executors/{path}", who)
            assert answer.status_code == status
            assert broken not in answer.text
        body = {"action": "forget", "matching": {}, "confirm": True}
        url = "/_executors/change/jobs"
        assert (await ask(site, "POST", url, who, json=body)).status_code == status
    assert (await ask(site, "GET", "/_executors/change/jobs", ROOT)).status_code == 405
    foreign = {"origin": "https://elsewhere.example", "sec-fetch-site": "cross-site"}
    for path in ("jobs/list", f"jobs/show/{broken}"):
        answer = await ask(site, "GET", f"/_executors/{path}", ROOT, headers=foreign)
        assert answer.status_code == 403
    assert ids(await listed(site)) == [broken]


async def test_what_a_pool_does_not_keep_is_neither_shown_nor_run_again(tmp_path: Path) -> None:
    settings = {"path": tmp_path / "store", "pool": "jobs"}
    for arguments, again in (("drop", False), ("keep", True)):
        pools: Any = {"jobs": {**POOLS["jobs"], "job_arguments": arguments}}
        async with serving(
            ExecutorConsole, Press, executors=pools, long_tasks=settings, auth=USERS
        ) as site:
            job = await submit(site, "broken")
            shown = (await ask(site, "GET", f"/_executors/jobs/show/{job}", ROOT)).json()
            assert (shown["arguments"], shown["can_be_repeated"]) == (None, again)
            done = await change(site, action="retry", jobs=[job], confirm=True)
            assert (done["done"] == [job]) is again
            if not again:
                assert "job_arguments='drop'" in done["refused"][job]
            await ended(site, job)
            book = await submit(site, "book", title="t")
            with closing(sqlite3.connect(tmp_path / "store" / "jobs.sqlite")) as store:
                query = "SELECT count(*) FROM payloads WHERE kind = 'call' AND task_id IN (?, ?)"
                assert store.execute(query, (job, book)).fetchone() == (int(again),)


async def test_a_question_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "jobs.sqlite"
    with closing(sqlite3.connect(path)) as made:
        made.execute("PRAGMA journal_mode=WAL")
    reader = Reader(path, patience=0.02)
    try:
        long = reader.ask(lambda connection: connection.execute(ENDLESS).fetchone())
        await until(long.done)
        assert isinstance(long.exception(), TaskStoreError)
        assert "Ask for fewer" in str(long.exception())
        short = reader.ask(lambda connection: connection.execute("SELECT 7").fetchone())
        assert short.result(30) == (7,)
        writes = reader.ask(lambda connection: connection.execute("CREATE TABLE t (i)"))
        assert "readonly" in str(writes.exception(30))
    finally:
        reader.close()


def test_questions_hold_no_lock_and_do_not_pile_up(tmp_path: Path) -> None:
    path = tmp_path / "later" / "jobs.sqlite"
    reader = Reader(path, patience=30)
    begun, goes_on = threading.Event(), threading.Event()

    def held(connection: sqlite3.Connection) -> int:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
        begun.set()
        assert goes_on.wait(30)
        return 1

    asked: list[int] = []
    try:
        early = reader.ask(lambda connection: 1)
        assert "unable to open" in str(early.exception(30))
        path.parent.mkdir()
        with closing(sqlite3.connect(path)) as made:
            made.execute("PRAGMA journal_mode=WAL")
            first = reader.ask(held)
            assert begun.wait(30), "the file can be opened now"
            made.execute("PRAGMA busy_timeout=0")
            made.execute("BEGIN IMMEDIATE")
            made.execute("ROLLBACK")

        waiting = [reader.ask(lambda _, number=number: asked.append(number)) for number in range(7)]
        refused = reader.ask(lambda connection: 1).exception(30)
        assert isinstance(refused, TaskStoreError)
        assert refused.status == 503
        for gone in waiting[1:]:
            assert gone.cancel(), "its caller has gone"
        reader.ask(_fails)
        goes_on.set()
        assert first.result(30) == 1
        waiting[0].result(30)
        long = reader.ask(lambda connection: connection.execute(ENDLESS).fetchone())
        after = reader.ask(lambda _: asked.append(-1))
    finally:
        goes_on.set()
        reader.close()
    for given_up in (long, after):
        assert "is closed" in str(given_up.exception(30))
    assert asked == [0]


def _fails(connection: sqlite3.Connection) -> None:
    raise ValueError("no such thing")
