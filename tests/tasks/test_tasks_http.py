# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Long jobs over HTTP: 202 and Location, results, events, cancel, and who may see what."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import host
import httpx
import pytest
import task_functions as tf
from conftest import Gate
from host import AsgiServer
from press import ANN, BOB, ROOT, USERS, Press, ask, press
from servers import Site, serving, until_answered

from genro_executor_plugin import (
    ExecutorConsole,
)
from genro_executor_plugin.tasks.host_tasks import PooledTaskScheduler
from genro_executor_plugin.tasks.http.accepted import accepted
from genro_executor_plugin.tasks.http.routes import FAILED


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with press(tmp_path) as site:
        yield site


@pytest.fixture
async def on_threads(tmp_path: Path) -> AsyncIterator[Site]:
    """A server for what is about the requests alone, wherever the jobs run."""
    async with press(tmp_path, kind="thread") as site:
        yield site


async def result(site: Site, job: dict[str, Any]) -> httpx.Response:
    return await ask(site, "GET", job["result_url"], params={"wait": 60})


async def test_a_background_route_answers_202_at_once(site: Site) -> None:
    answer = await ask(site, "POST", "/press/book?title=Moby&pages=9")
    job = answer.json()
    assert (answer.status_code, job["state"]) == (202, "queued")
    assert answer.headers["location"] == job["status_url"] == f"/_tasks/status/{job['task_id']}"
    done = await result(site, job)
    assert (done.status_code, done.json()) == (200, {"title": "Moby", "pages": 9})
    status = (await ask(site, "GET", answer.headers["location"])).json()
    assert (status["state"], status["title"], status["submitter"]) == (
        "succeeded",
        "press/book",
        "ann",
    )
    assert status["progress"]["message"] == "bound Moby"
    assert "session" not in status


def test_what_has_no_http_shows_the_same_document_as_text() -> None:
    """MCP shows a result it cannot encode as its text."""
    assert json.loads(str(accepted("x1")))["status_url"] == "/_tasks/status/x1"


async def test_a_result_is_answered_as_its_route_would_have(site: Site) -> None:
    job = (await ask(site, "POST", "/press/cover")).json()
    done = await result(site, job)
    assert done.headers["content-type"] == "application/pdf"
    assert done.content == b"%PDF-1.7"


async def test_wrong_arguments_are_told_at_once(on_threads: Site) -> None:
    assert (await ask(on_threads, "POST", "/press/book?titel=Moby")).status_code == 400
    answer = await ask(on_threads, "POST", "/press/cover")
    bad = await ask(on_threads, "GET", answer.json()["result_url"], params={"wait": "soon"})
    assert bad.status_code == 400


async def test_what_is_not_ready_is_202_and_what_failed_is_its_own_error(
    site: Site, gate: Gate
) -> None:
    job = (await ask(site, "POST", "/press/held", params={"gate": gate.path})).json()
    await gate.entered()
    early = await ask(site, "GET", job["result_url"])
    assert (early.status_code, early.json()["state"]) == (202, "running")
    gate.release()
    assert (await result(site, job)).text == "released"

    broken = (await ask(site, "POST", "/press/broken")).json()
    assert (await result(site, broken)).status_code == 500
    failure = (await ask(site, "GET", broken["status_url"])).json()["failure"]
    assert failure == {"type_name": "LookupError", "message": FAILED}
    for_root = (await ask(site, "GET", broken["status_url"], ROOT)).json()["failure"]
    assert "in broken" in for_root["traceback"]

    sold_out = (await ask(site, "POST", "/press/sold_out")).json()
    assert (await result(site, sold_out)).status_code == 410


async def test_only_the_submitter_and_administrators_see_a_job(on_threads: Site) -> None:
    job = (await ask(on_threads, "POST", "/press/book?title=Emma")).json()
    await result(on_threads, job)
    for what, method in [
        ("status", "GET"),
        ("result", "GET"),
        ("events", "GET"),
        ("cancel", "POST"),
        ("forget", "POST"),
    ]:
        url = job[f"{what}_url"]
        for stranger in (BOB, None):
            assert (await ask(on_threads, method, url, stranger)).status_code == 404, (
                what,
                stranger,
            )
    assert (await ask(on_threads, "GET", job["status_url"], ROOT)).status_code == 200
    assert (await ask(on_threads, "GET", "/_tasks/status/unknown")).status_code == 404
    mine = (await ask(on_threads, "GET", "/_tasks/")).json()["tasks"]
    assert [task["task_id"] for task in mine] == [job["task_id"]]
    assert (await ask(on_threads, "GET", "/_tasks/", BOB)).json()["tasks"] == []
    assert len((await ask(on_threads, "GET", "/_tasks/", ROOT)).json()["tasks"]) == 1


async def test_a_submitter_runs_a_failed_job_again(on_threads: Site, gate: Gate) -> None:
    job = (await ask(on_threads, "POST", "/press/broken")).json()
    await result(on_threads, job)
    url = job["retry_url"]
    for stranger in (BOB, None):
        assert (await ask(on_threads, "POST", url, stranger)).status_code == 404
    assert (await ask(on_threads, "GET", url)).status_code == 405
    foreign = {
        "origin": "https://elsewhere.example",
        "sec-fetch-site": "cross-site",
        "content-type": "application/x-www-form-urlencoded",
    }
    assert (await ask(on_threads, "POST", url, headers=foreign)).status_code == 403
    assert (await ask(on_threads, "POST", "/_tasks/retry/unknown")).status_code == 404
    assert (await ask(on_threads, "GET", job["status_url"])).json()["state"] == "failed"
    for who in (ANN, ROOT):
        answer = await ask(on_threads, "POST", url, who)
        assert (answer.status_code, answer.headers["location"]) == (202, job["status_url"])
        assert answer.json()["task_id"] == job["task_id"]
        assert (await result(on_threads, job)).status_code == 500, "it has failed once more"
    tasks = on_threads.server.long_tasks
    assert len(await tasks.attempts(await tasks.status(job["task_id"]))) == 3

    held = (await ask(on_threads, "POST", "/press/held", params={"gate": gate.path})).json()
    await gate.entered()
    answer = await ask(on_threads, "POST", held["retry_url"])
    assert (answer.status_code, answer.json()["state"]) == (202, "running"), "it runs already"
    gate.release()
    await result(on_threads, held)
    assert (await ask(on_threads, "POST", held["retry_url"])).status_code == 409, "it has succeeded"
    assert (await ask(on_threads, "GET", held["status_url"])).json()["attempts"] == 1


async def test_a_session_is_a_submitter_too(on_threads: Site) -> None:
    answer = await on_threads.client.post("/press/book?title=Emma")
    job, mine = answer.json(), dict(on_threads.client.cookies)
    assert mine
    assert (await on_threads.client.get(job["result_url"], params={"wait": 60})).status_code == 200
    on_threads.client.cookies.clear()
    assert (await on_threads.client.get(job["status_url"])).status_code == 404  # another session
    on_threads.client.cookies.clear()
    for name, value in mine.items():
        on_threads.client.cookies.set(name, value)
    listed = (await on_threads.client.get("/_tasks/")).json()["tasks"]
    assert [task["task_id"] for task in listed] == [job["task_id"]]


async def test_who_is_nobody_at_all_asks_by_the_id(tmp_path: Path) -> None:
    middleware = {"session": False} if host.IS_KAJENN else {"session": False, "auth": False}
    options = {"auth": None, "middleware": middleware}
    async with press(tmp_path, kind="thread", **options) as site:
        job = (await site.client.post("/press/book?title=Emma")).json()
        site.client.cookies.clear()
        assert (await site.client.get(job["result_url"], params={"wait": 60})).status_code == 200
        assert (await site.client.get("/_tasks/")).json()["tasks"] == []


async def test_jobs_submitted_by_a_handler_are_its_callers(site: Site) -> None:
    for path in ("submitted", "submitted_in_a_thread"):
        task_id = (await ask(site, "GET", f"/press/{path}")).json()["task_id"]
        found = await ask(site, "GET", f"/_tasks/result/{task_id}", params={"wait": 60})
        assert found.text == "3"
        assert (await ask(site, "GET", f"/_tasks/status/{task_id}", BOB)).status_code == 404


async def test_an_idempotency_key_makes_one_job(on_threads: Site) -> None:
    headers = {"idempotency-key": "order 7"}
    ids = {
        (await ask(on_threads, "POST", "/press/book?title=Emma", headers=headers)).json()["task_id"]
        for _ in range(3)
    }
    assert len(ids) == 1
    bobs = await ask(on_threads, "POST", "/press/book?title=Emma", BOB, headers=headers)
    assert bobs.json()["task_id"] not in ids


async def test_cancel_and_forget_take_a_post(site: Site, gate: Gate) -> None:
    job = (await ask(site, "POST", "/press/stubborn", params={"gate": gate.path})).json()
    await gate.entered()
    gate.release()
    refused = await ask(site, "GET", job["cancel_url"])
    assert (refused.status_code, refused.headers["allow"]) == (405, "POST")
    assert (await ask(site, "POST", job["forget_url"])).status_code == 409
    asked = await ask(site, "POST", job["cancel_url"])
    assert (asked.status_code, asked.json()["cancel_requested"]) == (202, True)
    assert (await result(site, job)).status_code == 409
    assert (await ask(site, "GET", job["status_url"])).json()["state"] == "cancelled"
    assert (await ask(site, "POST", job["forget_url"])).json() == {"forgotten": job["task_id"]}
    assert (await ask(site, "GET", job["status_url"])).status_code == 404


async def events(answer: httpx.Response) -> AsyncIterator[tuple[str, dict[str, Any]]]:
    kind = ""
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            kind = line.removeprefix("event: ")
        elif line.startswith("data: "):
            yield kind, json.loads(line.removeprefix("data: "))


async def test_progress_streams_to_the_end(on_threads: Site, gate: Gate) -> None:
    job = (await ask(on_threads, "POST", "/press/held", params={"gate": gate.path})).json()
    await gate.entered()
    on_threads.client.cookies.clear()
    seen = []
    async with on_threads.client.stream("GET", job["events_url"], auth=ANN) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        async for kind, status in events(answer):
            if not seen:
                gate.release()
            seen.append((kind, status["state"], (status["progress"] or {}).get("message")))
    assert seen[0] == ("state", "running", "at the gate")
    assert seen[-1] == ("state", "succeeded", "at the gate")


async def test_progress_reaches_a_listener_soon(site: Site) -> None:
    """The promise is 100 ms; on a machine with other things to do a bound is a generous one."""
    task_id = (
        await site.app("press").tasks.options(submitter="ann").submit(tf.tell_slowly, 20, 0.05)
    )
    delays = []
    site.client.cookies.clear()
    async with site.client.stream("GET", f"/_tasks/events/{task_id}", auth=ANN) as answer:
        async for kind, status in events(answer):
            if kind == "progress":
                delays.append(time.time() - status["progress"]["at"])
    assert len(delays) >= 10
    assert sorted(delays)[len(delays) // 2] < 0.1
    assert max(delays) < 1.0


async def test_a_listener_that_leaves_is_forgotten(on_threads: Site, gate: Gate) -> None:
    job = (await ask(on_threads, "POST", "/press/held", params={"gate": gate.path})).json()
    await gate.entered()
    hub = on_threads.server.long_tasks._events.hub
    async with on_threads.client.stream("GET", job["events_url"], auth=ANN) as answer:
        async for _ in events(answer):
            break
        assert job["task_id"] in hub._subscribers

    async def gone() -> bool:
        return job["task_id"] not in hub._subscribers

    await until_answered(gone)
    gate.release()
    assert (await result(on_threads, job)).text == "released"


async def test_streams_end_when_the_server_leaves(tmp_path: Path, gate: Gate) -> None:
    async with press(tmp_path, kind="thread") as site:
        job = (await ask(site, "POST", "/press/held", params={"gate": gate.path})).json()
        await gate.entered()
        site.client.cookies.clear()
        async with site.client.stream("GET", job["events_url"], auth=ANN) as answer:
            received = events(answer)
            await anext(received)
            site.server.start_leaving()
            rest = [kind async for kind, _ in received]
        assert rest == []
        gate.release()


async def test_the_routes_are_a_section_of_any_application(on_threads: Site) -> None:
    job = (await ask(on_threads, "POST", "/press/book?title=Emma")).json()
    await result(on_threads, job)
    found = await ask(on_threads, "GET", f"/office/tasks/status/{job['task_id']}")
    assert found.json()["state"] == "succeeded"
    assert (
        await ask(on_threads, "GET", f"/office/tasks/status/{job['task_id']}", BOB)
    ).status_code == 404


async def test_without_long_jobs_there_is_nothing_below_tasks(on_threads: Site) -> None:
    assert (await ask(on_threads, "GET", "/_tasks/")).status_code == 404
    await ask(on_threads, "POST", "/press/cover")
    assert (await ask(on_threads, "GET", "/_tasks/")).status_code == 200


async def test_a_route_is_taken_out_of_the_background_while_serving(on_threads: Site) -> None:
    on_threads.app("press").router.configure("book", executor_background=False)
    answer = await ask(on_threads, "POST", "/press/book?title=Emma")
    assert (answer.status_code, answer.json()["title"]) == (200, "Emma")


async def test_many_at_once_are_all_accepted_and_done(site: Site) -> None:
    answers = await asyncio.gather(
        *(ask(site, "POST", f"/press/book?title=n{number}") for number in range(40))
    )
    jobs = [answer.json() for answer in answers]
    assert {answer.status_code for answer in answers} == {202}
    done = await asyncio.gather(*(result(site, job) for job in jobs))
    assert [answer.json()["title"] for answer in done] == [f"n{number}" for number in range(40)]


async def test_a_stock_server_with_the_console_has_long_jobs_too(tmp_path: Path) -> None:
    settings = {"path": tmp_path / "store", "shutdown_timeout": 0.2}
    console = {"executors": {"jobs": {"max_workers": 1}}, "long_tasks": settings}
    storage = [{"name": "site", "protocol": "local", "base_path": str(tmp_path)}]
    applications = [Press, (ExecutorConsole, console)]
    server = AsgiServer(applications=applications, auth=USERS, storage=storage)
    async with serving(server=server) as site:
        job = (await ask(site, "POST", "/press/book?title=Emma")).json()
        assert (await result(site, job)).json()["title"] == "Emma"
        assert (await ask(site, "GET", job["status_url"], BOB)).status_code == 404
        assert isinstance(server.tasks.scheduler, PooledTaskScheduler)
    server = AsgiServer(applications=applications, auth=USERS, storage=storage)
    async with serving(server=server) as site:
        assert (await result(site, job)).json()["title"] == "Emma"
