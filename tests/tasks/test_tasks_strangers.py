# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Long jobs over HTTP, and who means harm: forms of other sites, numbers, texts, and pages."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from genro_routes import route
from press import ANN, ROOT, USERS, ask, press
from servers import Site, serving

from genro_executor_plugin import ExecutorApplication, ExecutorConsole
from genro_executor_plugin.tasks.http.routes import FAILED

SECRET = "cannot connect to postgres://admin:hunter2@db/prod"
FORMS: list[dict[str, str]] = [
    {"origin": "https://evil.example", "content-type": "application/x-www-form-urlencoded"},
    {"origin": "null", "content-type": "text/plain"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site", "content-type": "multipart/form-data; boundary=x"},
]


class Shop(ExecutorApplication):
    mount = "shop"

    @route(executor="jobs", executor_background=True)
    def fails(self) -> None:
        raise RuntimeError(SECRET)

    @route(executor="jobs", executor_background=True, media_type="text/html")
    def page(self) -> str:
        return "<script>alert(1)</script>"

    @route(executor="jobs", executor_background=True, media_type="image/svg+xml; charset=utf-8")
    def picture(self) -> str:
        return "<svg onload='alert(1)'/>"

    @route(executor="jobs", executor_background=True, media_type="application/pdf")
    def report(self) -> bytes:
        return b"%PDF-1.7"

    @route()
    async def nap(self, seconds: float = 0.01) -> float:
        began = time.perf_counter()
        await asyncio.sleep(seconds)
        return time.perf_counter() - began


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with serving(
        ExecutorConsole,
        Shop,
        # Where a job has run changes nothing of what requests about it may do.
        executors={"jobs": {"executor_type": "thread", "max_workers": 1}},
        long_tasks={"path": tmp_path / "store", "pool": "jobs"},
        auth=USERS,
        middleware={"cors": True},
    ) as site:
        yield site


async def ended(site: Site, name: str) -> str:
    """The id of a job of ann's that has ended."""
    job = (await ask(site, "POST", f"/shop/{name}")).json()["task_id"]
    await ask(site, "GET", f"/_tasks/result/{job}", params={"wait": 60})
    return str(job)


async def test_a_submitter_reads_a_stable_text_and_the_log_has_the_message(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        job = await ended(site, "fails")
    for url in (f"/_tasks/status/{job}", "/_tasks/", f"/_tasks/result/{job}"):
        answer = await ask(site, "GET", url, ANN)
        assert "hunter2" not in answer.text, url
    failure = (await ask(site, "GET", f"/_tasks/status/{job}", ANN)).json()["failure"]
    assert failure == {"type_name": "RuntimeError", "message": FAILED}
    events = await ask(site, "GET", f"/_tasks/events/{job}", ANN)
    assert "hunter2" not in events.text
    assert FAILED in events.text
    for_root = (await ask(site, "GET", f"/_tasks/status/{job}", ROOT)).json()["failure"]
    assert for_root["message"] == SECRET
    assert "hunter2" in caplog.text


async def test_a_form_of_another_site_neither_submits_nor_ends_nor_forgets(site: Site) -> None:
    job = await ended(site, "report")
    before = await site.server.long_tasks.counts()
    for headers in FORMS:
        for url in ("/shop/report", f"/_tasks/cancel/{job}", f"/_tasks/forget/{job}"):
            answer = await ask(site, "POST", url, ANN, headers=headers)
            assert answer.status_code == 403, (url, headers)
        answer = await ask(
            site, "GET", "/shop/report", ANN, headers={"sec-fetch-site": "cross-site"}
        )
        assert answer.status_code == 403
    assert await site.server.long_tasks.counts() == before
    # A page that may ask (CORS) sends JSON, and a program sends neither header.
    allowed = {"origin": "https://friend.example", "content-type": "application/json"}
    answer = await ask(site, "POST", "/shop/report", ANN, headers=allowed, content="{}")
    assert answer.status_code == 202
    assert (await ask(site, "POST", f"/_tasks/forget/{job}", ANN)).status_code == 200


async def test_a_result_is_kept_by_no_cache_and_runs_in_no_page(site: Site) -> None:
    for name, sandboxed in {"page": True, "picture": True, "report": False}.items():
        job = await ended(site, name)
        for url in (f"/_tasks/result/{job}", f"/_executors/tasks/result/{job}"):
            answer = await ask(site, "GET", url)
            assert answer.status_code == 200
            assert "no-store" in answer.headers["cache-control"]
            assert "nosniff" in answer.headers["x-content-type-options"]
            policies = answer.headers.get_list("content-security-policy")
            assert any(policy == "sandbox" for policy in policies) is sandboxed, (name, url)


async def test_no_number_of_a_request_upsets_a_timer(site: Site) -> None:
    job = await ended(site, "report")
    wrong = (
        "nan",
        "nan::R",
        "nan::N",
        "inf",
        "-inf",
        "inf::R",
        "x::N",
        "-1",
        "1e308",
        "61",
        "x",
        "9" * 400,
    )
    for value in wrong:
        answer = await ask(site, "GET", f"/_tasks/result/{job}", params={"wait": value})
        assert (answer.status_code, "wait" in answer.text) == (400, True), value
        answer = await ask(site, "GET", "/_tasks/", params={"limit": f"{value}999"})
        assert (answer.status_code, "limit" in answer.text) == (400, True), value
    answer = await ask(site, "GET", "/_tasks/", params={"state": "x" * 5000})
    assert (answer.status_code, len(answer.text) < 400) == (400, True)
    assert (
        await ask(site, "GET", f"/_tasks/result/{job}", params={"wait": "2"})
    ).status_code == 200
    assert (await ask(site, "GET", "/shop/nap")).json() < 60


async def test_what_the_host_would_fail_at_does_not_reach_it(site: Site) -> None:
    job = await ended(site, "report")
    given: list[tuple[dict[str, str], dict[str, str]]] = [
        ({"self": "x"}, {}),
        ({"_request": "x"}, {}),
        ({"task_id": "5::L"}, {}),
        ({}, {"x-tytx-transport": "nonsense"}),
        ({}, {"accept": "x::N"}),
        ({}, {"x-request-id": "x::N"}),
        ({}, {"cookie": "=; \x01=x"}),
    ]
    for query, headers in given:
        answer = await ask(site, "GET", f"/_tasks/status/{job}", params=query, headers=headers)
        assert answer.status_code == 200, (query, headers, answer.text)


HEAVY = ("9" * 5000, "[" * 20_000, '{"a":' * 3000)
"""What the host reads as JSON, and neither Python's integers nor its stack have room for."""


async def test_no_value_is_too_much_for_what_reads_it(site: Site) -> None:
    job = await ended(site, "report")
    for path in ("/_tasks/", f"/_tasks/status/{job}", f"/_tasks/result/{job}"):
        for value in HEAVY:
            for name in ("accept", "content-type", "cookie", "x-request-id", "authorization"):
                given = f"a={value}" if name == "cookie" else value
                answer = await ask(site, "GET", path, headers={name: given})
                assert answer.status_code < 500, (path, name, value[:5])
            for name in ("state", "limit", "wait"):
                answer = await ask(site, "GET", path, params={name: value})
                assert answer.status_code == 400, (path, name, value[:5])
                assert f"{name} is longer than 64 characters" in answer.text


async def test_what_reads_a_job_is_no_other_method(site: Site) -> None:
    job = await ended(site, "report")
    for path in ("", f"status/{job}", f"result/{job}", f"events/{job}"):
        for method in ("POST", "PUT", "DELETE", "TRACE", "PATCH", "NONSENSE"):
            answer = await ask(site, method, f"/_tasks/{path}")
            assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD"), path
    for method in ("HEAD", "WSK"):  # a message of a websocket
        assert (await ask(site, method, f"/_tasks/status/{job}")).status_code == 200


async def test_a_body_names_no_argument_that_is_not_its_own(site: Site) -> None:
    for path in ("", "nobody/cancel", "nobody/result", "nobody"):
        for body in ({"self": 1, "_request": 2}, {"limit": [1]}, {"wait": {}}, [1]):
            answer = await site.post(f"/_tasks/{path}", body)
            assert answer.status_code < 500, (path, body)


async def test_what_is_no_request_about_a_job_is_refused(site: Site) -> None:
    job = await ended(site, "report")
    for path in (f"status/{job}/x", f"status/{job}/x/y", "nothing", "_job/x"):
        assert (await ask(site, "GET", f"/_tasks/{path}")).status_code in (400, 404), path
    for host in (b"[", b"[::1].evil"):
        answer: httpx.Response = await site.client.get("/_tasks/", headers=[(b"host", host)])
        assert answer.status_code == 400
    large: Any = await ask(site, "POST", f"/_tasks/cancel/{job}", content=" " * 100_000)
    assert large.status_code == 413


@pytest.mark.parametrize("mount", ["/office/tasks", "/_tasks"])
async def test_no_request_upsets_the_routes_wherever_they_are_mounted(
    tmp_path: Path, mount: str
) -> None:
    """A section in an application of one's own is guarded as the routes of the server are."""
    async with press(tmp_path, kind="thread") as site:
        task_id = (await ask(site, "GET", "/press/submitted")).json()["task_id"]
        for path in ("", f"/status/{task_id}", f"/result/{task_id}?wait=60"):
            assert (await ask(site, "GET", mount + path)).status_code == 200
        for path in ("", f"/status/{task_id}", f"/result/{task_id}", f"/cancel/{task_id}"):
            for query in ("self=x", "_request=x", "task_id=x", "limit=x::L", "wait=nan::R"):
                answer = await ask(site, "GET", f"{mount}{path}?{query}")
                assert answer.status_code < 500, answer.url
            for body in (b'{"self": 1}', b'{"_request": 1}', b'{"wait": "x::L"}', b"{"):
                for method in ("GET", "POST"):
                    kind = {"content-type": "application/json"}
                    answer = await ask(site, method, mount + path, content=body, headers=kind)
                    assert answer.status_code < 500, (answer.url, body)
            answer = await ask(site, "POST", mount + path, content=bytes(70_000))
            assert answer.status_code == 413
            for host in ("[", "[::1].evil", "a b"):
                answer = await ask(site, "GET", mount + path, headers={"host": host})
                assert answer.status_code == 400, (answer.url, host)
            answer = await ask(site, "GET", mount + path, headers={"x-a": "x::L"})
            assert answer.status_code < 500
        assert (await ask(site, "GET", f"{mount}/status/{task_id}/more")).status_code == 404
