# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Who asks is known wherever it decides: the console, long jobs, a handler. On every host."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from genro_routes import route
from host import AsgiServer
from press import ANN, BOB, ROOT, USERS
from servers import Site, serving

from genro_executor_plugin import ExecutorApplication, ExecutorConsole, ExecutorServer
from genro_executor_plugin.console.token import TOKEN_HEADER
from genro_executor_plugin.routing.caller import current_caller

POOLS: dict[str, Any] = {"jobs": {"executor_type": "thread", "max_workers": 1}}


class Desk(ExecutorApplication):
    mount = "desk"

    @route(executor="jobs", executor_background=True)
    def report(self) -> str:
        return "for its submitter"

    @route()
    async def who(self) -> str:
        caller = current_caller()
        return caller.identity if caller is not None else "nobody"


class Copying(Desk):
    """An application that answers a copy of its scope, as one does that adds to it."""

    mount = "copying"

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await super().__call__({**scope, "added": True}, receive, send)


@pytest.fixture(params=["ExecutorServer", "AsgiServer"])
async def site(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Site]:
    settings: dict[str, Any] = {"path": tmp_path / "store", "pool": "jobs"}
    if request.param == "ExecutorServer":
        server: Any = ExecutorServer(
            applications=[ExecutorConsole, Desk, Copying],
            executors=POOLS,
            long_tasks=settings,
            auth=USERS,
            tasks=False,
        )
    else:
        console = (ExecutorConsole, {"executors": POOLS, "long_tasks": settings})
        server = AsgiServer(applications=[console, Desk, Copying], auth=USERS, tasks=False)
    async with serving(server=server) as site:
        yield site


async def test_a_loopback_client_gets_nothing_of_a_server_with_authentication(site: Site) -> None:
    token = {TOKEN_HEADER: site.app("_executors").token.value}
    for path in ("", "snapshot", "change/pause"):
        method, body = ("POST", {"pool": "jobs"}) if "change" in path else ("GET", None)
        url = f"/_executors/{path}"
        for headers in ({}, token):
            answer = await site.client.request(method, url, headers=headers, json=body)
            assert answer.status_code == 401, path
        for who, status in ((BOB, 403), (ROOT, 200)):
            answer = await site.client.request(method, url, json=body, auth=who)
            assert answer.status_code == status, path
    wrong = await site.client.get("/_executors/", auth=("root", "guess"))
    assert wrong.status_code == 401
    assert (await site.client.get("/_executors/metrics")).status_code == 200, "open to everybody"


@pytest.mark.parametrize("mount", ["desk", "copying"])
async def test_a_job_is_its_submitters(site: Site, mount: str) -> None:
    """Also in an application that answers a copy of its scope."""
    assert (await site.client.get(f"/{mount}/who", auth=ANN)).text == "ann"
    assert (await site.client.get(f"/{mount}/who")).text == ""
    accepted = await site.client.post(f"/{mount}/report", auth=ANN)
    assert accepted.status_code == 202, accepted.text
    job = accepted.json()["task_id"]
    result = f"/_tasks/result/{job}?wait=60"
    assert (await site.client.get(result, auth=ANN)).text == "for its submitter"
    assert (await site.client.get(result, auth=ROOT)).status_code == 200
    assert (await site.client.get(result, auth=BOB)).status_code == 404
    site.client.cookies.clear()
    assert (await site.client.get(result)).status_code == 404
    assert (await site.client.get(result, auth=("ann", "guess"))).status_code == 401
    listed = await site.client.get("/_tasks/", auth=ANN)
    assert [one["task_id"] for one in listed.json()["tasks"]] == [job]
    assert (await site.client.get("/_tasks/", auth=BOB)).json()["tasks"] == []
