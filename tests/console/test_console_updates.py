# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the page is sent: everything once, then what has changed, in gzip; and what that weighs."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from apps.many import POOLS, ROUTES, Many, many_pools, paths, pool_name
from apps.works import Works
from servers import Site, serving

from genro_executor_plugin import ExecutorConsole

pytestmark = pytest.mark.once

MOST_BYTES_PER_SECOND = 20_000
"""What a tab may cost at the largest size."""

EVERY_SECONDS = 2.0


@dataclass
class Tab:
    """What a page knows, as its script puts it together, and the bytes that it has received."""

    site: Site
    revision: str = ""
    received: int = 0

    def __post_init__(self) -> None:
        self.shown: dict[str, Any] = {}

    async def ask(self, query: str = "") -> dict[str, Any]:
        url = f"/_executors/updates?since={self.revision}{query}"
        async with self.site.client.stream("GET", url) as answer:
            assert answer.status_code == 200
            body = b"".join([part async for part in answer.aiter_raw()])
            self.received += len(body) + sum(len(n) + len(v) + 4 for n, v in answer.headers.raw)
            if answer.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
        told: dict[str, Any] = json.loads(body)
        self.revision = told["revision"]
        if told["complete"]:
            self.shown = {}
        for section, keys in told["gone"].items():
            for key in keys:
                self.shown.get(section, {}).pop(key, None)
        for section in ("pools", "routes", "errors", "details"):
            for key, fields in told.get(section, {}).items():
                self.shown.setdefault(section, {}).setdefault(key, {}).update(fields)
        return told


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    pools: Any = {"pdf": {"max_workers": 1}, "db": {"executor_type": "thread", "max_workers": 2}}
    async with serving(ExecutorConsole, Works, executors=pools) as site:
        yield site


async def test_after_the_first_answer_only_what_changed_is_sent(site: Site) -> None:
    """Put together, the changes are what somebody is told who asks for the first time."""
    await site.json("/works/report")
    await site.get("/works/query")
    tab = Tab(site)
    first = await tab.ask()
    assert first["complete"]
    assert set(first["routes"]) > {"works/report", "works/query", "works/ping"}
    await site.get("/works/query")
    await site.get("/works/fail")
    changes = await tab.ask()
    assert set(changes["routes"]) == {"works/query", "works/fail"}
    assert set(changes["routes"]["works/query"]) <= {"calls", "p50", "p95"}
    assert "traceback" not in json.dumps(changes["errors"])
    quiet = await tab.ask()
    assert "routes" not in quiet
    assert "errors" not in quiet
    await site.post("/_executors/change/route", {"route": "works/query", "on_overload": "wait"})
    await site.post("/_executors/change/resize", {"pool": "pdf", "max_workers": 3})
    changes = await tab.ask()
    assert changes["routes"] == {
        "works/query": {"on_overload": "wait", "options": {"on_overload": "wait"}}
    }
    assert changes["pools"]["pdf"]["max_workers"] == 3
    other = Tab(site)
    await other.ask()
    for section in ("routes", "errors"):
        assert tab.shown[section] == other.shown[section]


async def test_workers_options_and_tracebacks_are_sent_when_they_are_open(site: Site) -> None:
    report = await site.json("/works/report")
    await site.get("/works/fail")
    tab = Tab(site)
    first = await tab.ask()
    assert not first["details"]
    (key,) = first["errors"]
    opened = await tab.ask(f"&new=pdf&error={key}&new=nothing")
    assert [one["pid"] for one in opened["details"]["pdf"]["worker_states"]] == [report["pid"]]
    assert opened["details"]["pdf"]["options"]["max_workers"] == 1
    assert "ValueError: the page has no margins" in opened["tracebacks"][key]["traceback"]
    again = await tab.ask("&open=pdf")
    assert "options" not in again["details"].get("pdf", {})
    # Who opens it in another tab is told everything, though nothing has changed.
    assert "options" in (await tab.ask("&new=pdf"))["details"]["pdf"]


@pytest.mark.parametrize("token", ["x.1", "", "1", "a.b.c", "9" * 5000, "%ff.%ff"])
async def test_a_revision_of_another_server_is_answered_with_everything(
    site: Site, token: str
) -> None:
    tab = Tab(site)
    await tab.ask()
    tab.revision = token or tab.revision.partition(".")[0] + ".99999"
    assert (await tab.ask())["complete"]


async def test_what_nobody_offers_is_refused(site: Site) -> None:
    assert (await site.get("/_executors/updates?sinse=1")).status_code == 400
    assert (await site.get("/_executors/updates?" + "open=pdf&" * 2000)).status_code == 400
    assert (await site.get("/_executors/updates/1")).status_code == 404
    stranger = await site.client.get("/_executors/updates", headers={"genro-executor-token": "no"})
    assert stranger.status_code == 401


async def test_answers_are_compressed_for_those_who_read_that(site: Site) -> None:
    async def encoding(path: str, accepted: str) -> tuple[str | None, bytes]:
        answer = await site.client.get(path, headers={"accept-encoding": accepted})
        assert answer.status_code == 200
        assert answer.headers["cache-control"] == "no-store"
        return answer.headers.get("content-encoding"), answer.content

    for path in ("snapshot", "metrics", "static/console.js", ""):
        path = f"/_executors/{path}"
        assert (await encoding(path, "br, gzip;q=0.5"))[0] == "gzip", path
        for accepted in ("identity", "gzip;q=0", "gzip; q=0.0", "xgzip"):
            assert (await encoding(path, accepted))[0] is None, path
    plain, packed = [await encoding("/_executors/static/view.js", how) for how in ("", "gzip")]
    assert plain[1] == packed[1]
    assert (await encoding("/_executors/health/live", "gzip"))[0] is None  # it is one packet


async def test_a_tab_costs_little_at_the_largest_size() -> None:
    """20 pools, 500 routes, 200 workers; idle, and while all of them are called."""
    calls = 0
    enough = asyncio.Event()

    async with serving(ExecutorConsole, Many, executors=many_pools("thread")) as site:
        for path in paths()[:POOLS]:
            await site.json(f"/{path}")

        async def call(part: int) -> None:
            nonlocal calls
            while not enough.is_set():
                for path in paths()[part::8]:
                    await site.json(f"/{path}")
                    calls += 1
                    if enough.is_set():
                        return

        tab = Tab(site)
        first = await tab.ask()
        assert (len(first["pools"]), len(first["routes"])) == (POOLS, ROUTES)
        assert sum(pool["max_workers"] for pool in first["pools"].values()) == 200
        assert tab.received < 4 * MOST_BYTES_PER_SECOND

        tab.received = 0
        assert "routes" not in await tab.ask()
        assert tab.received < 0.1 * MOST_BYTES_PER_SECOND * EVERY_SECONDS

        everything = "".join(f"&open={pool_name(number)}" for number in range(POOLS))
        await tab.ask(everything.replace("open", "new"))
        tab.received = 0
        busy = [asyncio.create_task(call(part)) for part in range(8)]
        try:
            asked = asyncio.get_running_loop().time()
            while calls < 40:  # noqa: ASYNC110 - it is what happens within an interval
                await asyncio.sleep(0.01)
            await asyncio.sleep(max(0.0, asked + EVERY_SECONDS - asyncio.get_running_loop().time()))
            changes = await tab.ask(everything)
        finally:
            enough.set()
            await asyncio.gather(*busy)
        assert len(changes["routes"]) > 20
        assert tab.received < MOST_BYTES_PER_SECOND * EVERY_SECONDS
