# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Profiles of routes by the console and the command line: who may, what comes, and what is left."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from apps.profiled_app import Bench
from host import AsgiServer
from servers import Site, serving, until

from genro_executor_plugin import ExecutorConsole
from genro_executor_plugin.cli import main
from genro_executor_plugin.console.speedscope import hottest_lines, page_of, speedscope_of
from genro_executor_plugin.console.token import TOKEN_HEADER
from genro_executor_plugin.metrics.profiles import Frame, WorkerProfile

AUTH = {
    "basic": {
        "ada": {"password": "pw", "tags": "SERVER_ADMIN"},
        "bob": {"password": "pw", "tags": "STAFF"},
    }
}
ADA, BOB = (httpx.BasicAuth(name, "pw") for name in ("ada", "bob"))
URL = "/_executors/change/profile"
POOLS: dict[str, Any] = {"cpus": {"max_workers": 2}}


def check_speedscope(document: dict[str, Any]) -> None:
    """What https://www.speedscope.app/file-format-schema.json asks of a file with samples."""
    assert document["$schema"] == "https://www.speedscope.app/file-format-schema.json"
    assert isinstance(document["name"], str)
    assert isinstance(document["exporter"], str)
    frames = document["shared"]["frames"]
    for frame in frames:
        assert isinstance(frame["name"], str)
        assert frame.keys() <= {"name", "file", "line", "col"}
        assert isinstance(frame.get("file", ""), str)
        assert isinstance(frame.get("line", 1), int)
    for profile in document["profiles"]:
        assert profile.keys() == {
            *("type", "name", "unit", "startValue", "endValue", "samples", "weights")
        }
        assert profile["type"] == "sampled"
        assert profile["unit"] == "seconds"
        assert len(profile["samples"]) == len(profile["weights"])
        assert all(0 <= at < len(frames) for stack in profile["samples"] for at in stack)
        assert profile["endValue"] == pytest.approx(sum(profile["weights"]), abs=1e-5)
    assert document["activeProfileIndex"] < len(document["profiles"])


@asynccontextmanager
async def called(site: Site, *paths: str, auth: Any = None) -> AsyncIterator[None]:
    """Requests for ``paths``, all the time."""
    stopped = asyncio.Event()
    for path in paths:
        assert (await site.client.get(path, auth=auth)).status_code == 200  # workers are up

    async def calls(path: str) -> None:
        while not stopped.is_set():
            assert (await site.client.get(path, auth=auth)).status_code == 200

    calling = [asyncio.create_task(calls(path)) for path in paths]
    try:
        yield
    finally:
        stopped.set()
        await asyncio.gather(*calling)


async def test_who_has_the_tag_gets_a_profile_of_the_route_alone() -> None:
    """And not of the same handler in another section; it is recorded who has asked."""
    async with serving(ExecutorConsole, Bench, executors=POOLS, auth=AUTH) as site:
        asked = {"route": "bench/one/run", "seconds": 0.4, "rate": 200}
        assert (await site.client.post(URL, json=asked)).status_code == 401
        assert (await site.client.post(URL, json=asked, auth=BOB)).status_code == 403
        async with called(site, "/bench/one/run", "/bench/two/run", auth=ADA):
            answer = await site.client.post(URL, json=asked, auth=ADA)
            two = await site.client.post(URL, json=asked | {"route": "bench/two/run"}, auth=ADA)
        profile = answer.json()["profile"]
        check_speedscope(profile["speedscope"])
        share, frame = hottest_lines(profile["speedscope"])[0]
        assert frame["name"] == "hot"
        assert share > 0.5
        assert profile["pool"] == "cpus"
        assert {one["pid"] for one in profile["processes"]}
        names = {one["name"] for one in two.json()["profile"]["speedscope"]["shared"]["frames"]}
        assert names
        assert "hot" not in names, "it is the other section that is hot"
        changes = (await site.client.get("/_executors/snapshot", auth=ADA)).json()["changes"]
        assert changes[0]["who"].startswith("ada")
        assert changes[0]["what"] == "route bench/two/run: profiled for 0.4 s, 200 samples a second"
        for wrong, status, why in (
            ({"route": "bench/no"}, 404, "There is no route 'bench/no'"),
            ({"route": "bench/here"}, 400, "runs in the server's process"),
            ({"route": "bench/compute", "seconds": 61}, 400, "from 0.1 to 60 s"),
            ({"route": "bench/compute", "rate": 1000}, 400, "from 1 to 250"),
            ({"route": ["bench/compute"]}, 400, ""),
            ({"route": "bench/compute", "rate": None}, 400, ""),
        ):
            refused = await site.client.post(URL, json=wrong, auth=ADA)
            assert refused.status_code == status, refused.text
            assert why in refused.text


@pytest.mark.parametrize("is_stock", [False, True])
async def test_one_profile_at_a_time_and_a_client_that_goes_ends_it(is_stock: bool) -> None:
    """In a pool of processes, and on a stock server in a pool of threads."""
    server, settings = None, {"executors": POOLS}
    if is_stock:
        pools = {"cpus": {"executor_type": "thread", "max_workers": 2}}
        server = AsgiServer(
            applications=[(ExecutorConsole, {"executors": pools}), Bench], tasks=False
        )
        settings = {}
    async with serving(ExecutorConsole, Bench, server=server, **settings) as site:
        await site.client.get("/bench/compute")
        asked = {"route": "bench/compute", "seconds": 60}
        profiles = site.app("_executors")._changes._profiles
        first = asyncio.create_task(site.client.post(URL, json=asked))
        await until(lambda: profiles._route)
        second = await site.client.post(URL, json=asked)
        assert second.status_code == 400
        assert "route 'bench/compute' is being profiled" in second.text
        first.cancel()
        await until(lambda: not profiles._route)
        third = await site.client.post(URL, json=asked | {"seconds": 0.1})
        assert third.status_code == 200
        assert third.json()["profile"]["processes"][0]["samples"] == 0
        if is_stock:
            async with called(site, "/bench/compute"):
                found = await site.client.post(URL, json=asked | {"seconds": 0.3})
            assert found.json()["profile"]["mode"] == "thread"
            assert hottest_lines(found.json()["profile"]["speedscope"])[0][1]["name"] == "hot"


async def test_the_command_writes_a_page_and_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    async with serving(ExecutorConsole, Bench, executors=POOLS) as site:
        monkeypatch.setenv("GENRO_EXECUTOR_TOKEN", site.client.headers[TOKEN_HEADER])
        url = str(site.client.base_url)

        async def command(*arguments: str) -> int:
            return await asyncio.to_thread(main, ["profile", url, *arguments, "--seconds", "0.4"])

        async with called(site, "/bench/compute"):
            assert await command("bench/compute") == 0
            assert await command("/bench/compute", "--output", "some.json", "--rate", "200") == 0
        said = capfd.readouterr().out
        assert re.search(r"bench/compute, pool cpus: \d+ samples in \d processes", said)
        assert re.search(r"\d\d\.\d%  hot  \S+profiled\.py:\d+", said)
        check_speedscope(json.loads((tmp_path / "some.json").read_text()))
        page = (tmp_path / "profile-bench-compute.html").read_text()
        assert "hot" in page
        assert not re.findall(r"(?:src|href)=[\"'](?!data:)", page), "it fetches nothing"
        assert await command("bench/compute", "--json") == 1
        assert json.loads(capfd.readouterr().out)["route"] == "bench/compute"
        assert await command("bench/compute") == 1
        assert "no call of the route ran" in capfd.readouterr().out
        for arguments, why in (
            (["bench/nothing"], "There is no route 'bench/nothing'"),
            (["bench/here"], "runs in the server's process"),
            (["bench/compute", "--output", "x.png"], "ends with .html or .json"),
            (["bench/compute", "--output", "no/x.json"], "there is no folder no"),
        ):
            assert await command(*arguments) == 2
            assert why in capfd.readouterr().err


def test_names_cannot_leave_the_page() -> None:
    """A file may be called as a program likes."""
    evil = "</script><script>alert(1)</script>"
    profile = WorkerProfile(1, 100)
    profile.stacks[(Frame(f"/{evil}.py", 3, evil),)] = 5
    document = speedscope_of(evil, [profile], 100)
    check_speedscope(document)
    page = page_of(document)
    assert evil not in page
    assert page.count("</script>") == 1
