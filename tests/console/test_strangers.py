# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Requests of strangers to the console and to ``/_tasks``, made by hypothesis.

With and without authentication, directly and behind a real nginx: no 500, nothing is changed,
nothing is shown that needs the tag, and the event loop does not compute for them for long. A few
hundred here; ``tox run -e strangers`` sends 20,000.
"""

from __future__ import annotations

import asyncio
import os
import socket
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from nginx import nginx
from press import USERS, Press

from genro_executor_plugin import ExecutorConsole
from genro_executor_plugin.testing import ServerUnderTest

pytestmark = pytest.mark.once

REQUESTS = int(os.environ.get("GENRO_EXECUTOR_STRANGERS", "400"))
"""How many requests are sent in all, a quarter of them to each of the four servers."""

GAP_SECONDS = 5.0
"""How late the event loop may be at most where the machine has nothing else to do, and how long it
may compute without a look at its timers on one that has other tests to run."""

MARK = "a-text-for-administrators"
NUMBERS = ("nan", "nan::R", "inf", "-inf::R", "1e308", "-1", "9" * 5000, "5::L", "x::N", "NaN", "0")
NAMES = ("wait", "limit", "state", "_request", "self", "task_id", "token", "", "genro-executor.x")

TOO_LARGE = b"too large"
"""Stands for a body above the limit: hypothesis does not like to show one."""

texts = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=12)
ids = st.sampled_from(["{job}", "x", "..", "%2e%2e", "", "5::L", "a/b", "\u00e9"]) | texts
paths = st.one_of(
    st.sampled_from([
        "/_executors/", "/_executors", "/_executors/snapshot", "/_executors/metrics",
        "/_executors/health", "/_executors/health/ready", "/_executors/openapi",
        "/_executors/static/console.js", "/_tasks/", "/_tasks",
    ]),
    st.builds(
        "/_tasks/{}/{}".format,
        st.sampled_from(["status", "result", "cancel", "forget", "index", "_job", "x"]),
        ids,
    ),
    st.builds("/_executors/tasks/{}/{}".format, st.sampled_from(["status", "cancel"]), ids),
    st.builds(
        "/_executors/change/{}".format,
        st.sampled_from(["pause", "resize", "route", "kill", "cancel", "drain", "restart"]),
    ),
    st.builds("/_executors/{}".format, texts),
    st.builds("/_tasks/{}".format, texts),
)  # fmt: skip
queries = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NUMBERS) | texts), max_size=3)
headers = st.lists(
    st.sampled_from([
        ("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site"),
        ("host", "localhost"), ("host", "["), ("host", "[::1].evil"), ("accept", "x::N"),
        ("accept", "text/html"), ("content-type", "application/json"), ("content-type", "5::L"),
        ("content-type", "application/x-www-form-urlencoded"), ("content-type", "text/xml"),
        ("content-type", "application/msgpack"), ("cookie", "a=b; genro_executor_=; =;;"),
        ("cookie", "session_id=5::L"), ("x-tytx-transport", "json"), ("x-tytx-transport", "x"),
        ("x-request-id", "x::N"), ("genro-executor-token", "nan::R"), ("idempotency-key", "k"),
        ("authorization", "Bearer x"), ("authorization", "Basic !!!"), ("x-forwarded-for", "::1"),
        ("authorization", "Basic Ym9iOmI="), ("mcp-session-id", "x::N"),
        ("accept", "9" * 5000), ("accept", "[" * 20_000), ("content-type", '{"a":' * 3000),
    ]),
    max_size=4,
    unique_by=lambda pair: pair[0],
)  # fmt: skip
bodies = st.sampled_from([
    b"", b"{}", b'{"pool": "jobs", "max_workers": 1e9}', b'{"pool": "jobs"}', b"[]", b"{", b"\xff",
    b'{"pool": "jobs", "max_workers": NaN}', b'{"self": 1, "_request": 2}', b"a=1::L", b"<x/>",
    b'{"task_id": [1]}', b"[" * 5000, TOO_LARGE,
])  # fmt: skip
requests = st.tuples(
    st.sampled_from(["GET", "GET", "POST", "HEAD"]), paths, queries, headers, bodies
)


class LoopWatch:
    """How late the event loop of a server was at most, and how long it has computed meanwhile."""

    def __init__(self) -> None:
        self.worst = self.computed = 0.0
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due, computed = loop.time() + 0.02, time.thread_time()
            await asyncio.sleep(0.02)
            self.worst = max(self.worst, loop.time() - due)
            self.computed = max(self.computed, time.thread_time() - computed)

    async def stop(self) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def _fails() -> None:
    raise LookupError(MARK)


def served(folder: Path, auth: Any) -> ServerUnderTest:
    options: dict[str, Any] = {"auth": auth} if auth is not None else {}
    return ServerUnderTest.of(
        ExecutorConsole,
        Press,
        executors={
            "jobs": {"max_workers": 1},
            "bad": {"max_workers": 1, "initializer": _fails},
        },
        long_tasks={"path": folder, "pool": "jobs"},
        tasks=False,
        **options,
    )


@pytest.mark.timeout(3600 if REQUESTS > 1000 else 240)
@pytest.mark.parametrize("way", ["directly", "nginx"])
@pytest.mark.parametrize("auth", [USERS, None], ids=["authentication", "token"])
def test_strangers_break_change_and_read_nothing(tmp_path: Path, auth: Any, way: str) -> None:
    site = served(tmp_path / "store", auth)
    with ExitStack() as stack:
        site.start()
        stack.callback(site.stop)
        with pytest.raises(Exception, match=MARK):
            site.submit("bad", os.getpid)
        job = prepared(site, auth)
        port = httpx.URL(site.url).port
        assert port is not None
        if way == "nginx":
            port = stack.enter_context(nginx(tmp_path / "nginx", port))
        before, watch = settings_of(site), LoopWatch()
        site.run(watch.start)
        client = stack.enter_context(
            httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, verify=False)
        )
        seen: set[int] = set()

        @settings(
            max_examples=REQUESTS // 4,
            deadline=None,
            derandomize=REQUESTS <= 1000,
            database=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(requests)
        def send(request: Any) -> None:
            method, path, query, given_headers, body = request
            sent = client.build_request(
                method,
                quote(path.replace("{job}", job), safe="/%:"),
                params=query,
                headers=[(name.encode(), value.encode()) for name, value in given_headers],
                content=sent_body(body) if method == "POST" else None,
            )
            client.cookies.clear()
            answer = client.send(sent)
            assert answer.status_code < 500 or is_health(path) or is_cut(answer, body), sent.url
            assert MARK not in answer.text, sent.url
            assert '"pid"' not in answer.text, sent.url
            seen.add(answer.status_code)

        send()
        site.run(watch.stop)
        assert settings_of(site) == before
        site.run(_nap)  # no timer was upset
        assert watch.computed < GAP_SECONDS
        assert REQUESTS <= 1000 or watch.worst < GAP_SECONDS
        assert {400, 401, 404} <= seen, "they were not all refused at the same place"
        print(f"{REQUESTS // 4} requests, the event loop was {watch.worst:.3f} s late at most")


def sent_body(body: bytes) -> bytes:
    return b"x" * 70_000 if body is TOO_LARGE else body


def is_health(path: str) -> bool:
    return path.startswith("/_executors/health")  # 503: the pool "bad" is not ready


def is_cut(answer: httpx.Response, body: bytes) -> bool:
    """Whether nginx was refused in the middle of a body that is too large, and says so itself."""
    return body is TOO_LARGE and answer.status_code == 502 and "nginx" in answer.text


async def _nap() -> None:
    await asyncio.sleep(0.01)


def prepared(site: ServerUnderTest, auth: Any) -> str:
    """The id of a job that has failed, of another submitter where there are submitters."""
    login = {"authorization": "Basic YW5uOmE="} if auth is not None else {}
    answer = site.request("POST", "/press/broken", headers=login)
    job: str = answer.json()["task_id"]
    deadline = time.monotonic() + 30
    while not settings_of(site)[-1]["failed"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return job


def settings_of(site: ServerUnderTest) -> Any:
    """What strangers could have changed."""
    login = {"authorization": "Basic cm9vdDpy"}
    answer = site.request("GET", "/_executors/snapshot", headers=login)
    if answer.status == 401:  # without authentication no password is known
        answer = site.request("GET", "/_executors/snapshot")
    shown = answer.json()
    pools = [(pool["name"], pool["options"], pool["paused"]) for pool in shown["pools"]]
    return pools, shown["changes"], shown["long_jobs"]["counts"]


def test_nginx_says_nothing_of_the_client(tmp_path: Path) -> None:
    """The commonest configuration; what arrives cannot be told from a client on this machine."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        nginx(tmp_path / "nginx", listener.getsockname()[1]) as port,
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        client.sendall(b"GET /x HTTP/1.1\r\nHost: www.shop.example\r\n\r\n")
        upstream, _ = listener.accept()
        with upstream:
            said = upstream.recv(4096).lower()
    assert b"www.shop.example" not in said
    assert b"forwarded" not in said
