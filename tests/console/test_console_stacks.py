# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where calls are, by the console and the command line: who is told, and what no answer has."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from apps import works
from apps.works import Works
from servers import serving
from waiting import PATIENCE_SECONDS

from genro_executor_plugin import ExecutorConsole
from genro_executor_plugin.cli import main
from genro_executor_plugin.engines.process import asking
from genro_executor_plugin.testing import ServerUnderTest

POOLS: dict[str, Any] = {
    "pdf": {"max_workers": 2},
    "db": {"executor_type": "thread", "max_workers": 2, "abandon_on_timeout": True},
}
AUTH = {
    "basic": {
        "ada": {"password": "pw", "tags": "SERVER_ADMIN"},
        "bob": {"password": "pw", "tags": "STAFF"},
    }
}
ADA, BOB = (httpx.BasicAuth(name, "pw") for name in ("ada", "bob"))


async def test_the_console_tells_where_calls_are_to_those_who_have_the_tag(gate: Any) -> None:
    async with serving(ExecutorConsole, Works, executors=POOLS, auth=AUTH) as site:
        call = asyncio.create_task(site.client.get("/works/hold", params={"path": gate.path}))
        pid = await gate.entered()
        for path in ("/_executors/stacks", f"/_executors/stacks/{pid}"):
            assert (await site.client.get(path)).status_code == 401
            assert (await site.client.get(path, auth=BOB)).status_code == 403
            (told,) = (await site.client.get(path, auth=ADA)).json()["calls"]
            assert told["pid"] == pid
            assert told["pool"] == "pdf"
            assert told["route"] == "hold"
            assert "in hold" in told["stack"]
        nobody = await site.client.get(f"/_executors/stacks/{os.getpid()}", auth=ADA)
        assert nobody.json() == {"calls": [], "more": 0}
        for wrong in ("stacks/x", "stacks/-1", "stacks/9999999999", f"stacks/{pid}/more"):
            assert (await site.client.get(f"/_executors/{wrong}", auth=ADA)).status_code == 404
        gate.release()
        assert (await call).status_code == 200


@pytest.mark.parametrize(("route", "pool"), [("hold", "pdf"), ("query", "db")])
async def test_no_answer_over_http_has_a_stack(
    gate: Any, route: str, pool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of a call over its limit has one, and the console's error; the client does not."""
    # On a busy machine a worker may tell later than a call that is to end waits for it.
    monkeypatch.setattr(asking, "KILL_SECONDS", PATIENCE_SECONDS)
    async with serving(ExecutorConsole, Works, executors=POOLS) as site:
        await site.json("/works/report", pages=1)  # or an import would be a part of the first run
        site.server.configure_route(f"works/{route}", executor_timeout=0.5)
        asked = {"path": gate.path} if route == "hold" else {"seconds": "2"}
        answer = await site.client.get(f"/works/{route}", params=asked)
        assert answer.status_code == 504
        assert "File" not in answer.text
        assert route not in answer.text
        (error,) = (await site.json("/_executors/snapshot"))["errors"]
        assert error["pool"] == pool
        assert f".{route}" in error["traceback"] or f"in {route}" in error["traceback"]
        assert "Where it was" in error["traceback"]


@pytest.fixture
def console(executor_server: Callable[..., ServerUnderTest]) -> ServerUnderTest:
    return executor_server(Works, ExecutorConsole, executors=POOLS, tasks=False)


def test_the_command_line_finds_the_server_of_a_worker(
    console: ServerUnderTest, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its pid alone; ``top`` shows the same."""
    held = threading.Lock()
    held.acquire()
    monkeypatch.setattr(works, "LIMIT", PATIENCE_SECONDS)
    monkeypatch.setattr(works, "time", SimpleNamespace(sleep=partial(held.acquire, True)))
    try:
        the_call_is_shown(console, capsys)
    finally:
        held.release()


def the_call_is_shown(console: ServerUnderTest, capsys: pytest.CaptureFixture[str]) -> None:
    call = threading.Thread(
        target=console.get, args=("/works/query",), kwargs={"seconds": PATIENCE_SECONDS}
    )
    call.start()
    pid = os.getpid()  # the pool's threads are the server's
    told: dict[str, Any] = {"calls": []}
    while not told["calls"]:
        assert main(["stack", str(pid), "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
    assert told["calls"][0]["route"] == "query"
    assert main(["stack", str(pid)]) == 0
    said = capsys.readouterr().out
    assert said.startswith("query, pool db, for ")
    assert said.rstrip().endswith("query")
    url = console.url
    assert main(["top", url, "--once", "--stacks"]) == 0
    shown = capsys.readouterr().out
    assert "Where calls are" in shown
    assert f"query, pid {pid}, pool db" in shown


def test_a_process_that_belongs_to_no_server_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["stack", "1"]) == 2
    said = capsys.readouterr().err
    assert "process 1 belongs to; give its address by --url" in said
    assert said.count("\n") == 1
