# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The console over HTTP: what it shows, who may see it, what can be changed, and health."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from apps.desk import Desk
from apps.works import Works
from host import AsgiServer, ServerApplication
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families
from servers import Site, built, serving
from worker_functions import initialize_badly

from genro_executor_plugin import (
    ExecutorApplication,
    ExecutorConfigError,
    ExecutorConsole,
    ExecutorServer,
)
from genro_executor_plugin.console.token import TOKEN_HEADER
from genro_executor_plugin.engines.thread import ThreadEngine

POOLS: dict[str, Any] = {
    "pdf": {"max_workers": 1, "initializer": print, "initargs": ("an initializer's secret",)},
    "db": {"executor_type": "thread", "max_workers": 2},
}
AUTH = {
    "basic": {
        "ada": {"password": "pw", "tags": "SERVER_ADMIN"},
        "bob": {"password": "pw", "tags": "STAFF"},
        "eve": {"password": "pw"},
    }
}
ADA, BOB, EVE = (httpx.BasicAuth(name, "pw") for name in ("ada", "bob", "eve"))
PAGES = ("", "static/console.js", "snapshot", "openapi")
STRANGER = {TOKEN_HEADER: ""}


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving(ExecutorConsole, Works, executors=POOLS) as site:
        yield site


async def change(site: Site, name: str, **wanted: Any) -> Any:
    answer = await site.post(f"/_executors/change/{name}", wanted)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def pool_of(site: Site, name: str = "pdf") -> dict[str, Any]:
    pools = (await site.json("/_executors/snapshot"))["pools"]
    return next(pool for pool in pools if pool["name"] == name)


async def route_of(site: Site, path: str) -> dict[str, Any]:
    routes = (await site.json("/_executors/snapshot"))["routes"]
    return next(route for route in routes if route["path"] == path)


# -- what it shows ---------------------------------------------------------------------------


async def test_the_snapshot_tells_of_pools_routes_and_errors(site: Site) -> None:
    await site.json("/works/report")
    assert (await site.get("/works/fail")).status_code == 500
    shown = await site.json("/_executors/snapshot")

    pdf = await pool_of(site)
    assert (pdf["completed"], pdf["failed"], pdf["workers"], pdf["kind"]) == (1, 1, 1, "process")
    assert pdf["options"]["max_workers"] == 1
    assert pdf["utilization"] == 0.0
    report = await route_of(site, "works/report")
    assert (report["pool"], report["offloaded"], report["disabled"]) == ("pdf", True, False)
    assert report["outcomes"]["completed"] == 1
    assert report["run_p50_ms"] > 0
    assert (await route_of(site, "works/ping"))["pool"] is None
    render = await route_of(site, "works/invoices/render")
    assert (render["options"]["timeout"], render["effective"]["timeout"]) == (20.0, 20.0)
    (error,) = shown["errors"]
    assert (error["type_name"], error["route"], error["count"]) == ("ValueError", "works/fail", 1)
    assert "works.py" in error["traceback"]
    assert shown["server"]["healthy"] is True
    assert set(shown["unused_pools"]) == {"blocking", "cpu"}


async def test_a_branch_that_is_not_built_yet_is_shown_and_can_be_changed() -> None:
    async with serving(ExecutorConsole, Desk, executors={"pdf": {"max_workers": 1}}) as site:
        assert (await route_of(site, "desk/attic/trunk"))["pool"] == "pdf"
        await change(site, "route", route="desk/attic/trunk", timeout=4.0)
        assert (await route_of(site, "desk/attic/trunk"))["options"]["timeout"] == 4.0
        shown = (await site.json("/_executors/snapshot"))["routes"]
        assert len({route["path"] for route in shown}) == len(shown)


async def test_no_answer_has_what_calls_were_given(site: Site) -> None:
    await site.get("/works/fail", secret="a caller's secret")
    await site.get("/works/report", pages=4711)
    for path in ("snapshot", "metrics", "health", "openapi", ""):
        text = (await site.get(f"/_executors/{path}")).text
        assert "s secret" not in text, path
        assert "4711" not in text, path


async def test_a_change_is_one_line_of_the_log(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    """Whoever may change a pool is not to write other lines than his own."""
    for name in ("works/report\nCRITICAL: all is lost", "works/\x1b[2Jreport\r\u2028x"):
        wanted = {"route": name, "timeout": 3.0}
        assert (await site.post("/_executors/change/route", wanted)).status_code == 400
    said = [record.getMessage() for record in caplog.records if "refused" in record.message]
    assert len(said) == 2
    assert "works/report\\nCRITICAL" in said[0]
    assert all(line.isprintable() for line in said), said


async def test_history_is_sampled_while_the_server_runs(site: Site) -> None:
    await site.json("/works/report")
    console = site.app("_executors")
    console._history.sample()
    for _ in range(5):
        await site.json("/works/report")
    console._history.sample()
    *_, latest = (await pool_of(site))["history"]
    assert latest["completed_per_second"] > 0
    assert latest["run_p50_ms"] is not None
    assert latest["run_p50_ms"] <= latest["run_p95_ms"]


async def test_metrics_have_the_agreed_names_in_both_formats(site: Site) -> None:
    await site.json("/works/report")
    await site.get("/works/fail")
    text = await site.client.get("/_executors/metrics", headers={"accept": "*/*"})
    assert text.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = {family.name: family for family in text_string_to_metric_families(text.text)}
    assert set(families) == {
        "genro_executor_calls",
        "genro_executor_rejected",
        "genro_executor_worker_restarts",
        "genro_executor_queue_wait_seconds",
        "genro_executor_run_seconds",
        "genro_executor_queue_depth",
        "genro_executor_queue_capacity",
        "genro_executor_waiting",
        "genro_executor_waiting_capacity",
        "genro_executor_calls_in_progress",
        "genro_executor_workers",
        "genro_executor_worker_memory_bytes",
        "genro_executor_healthy",
        "genro_executor_paused",
        "genro_executor_draining",
        "genro_executor_workers_max",
        "genro_executor_timeout_seconds",
        "genro_executor_jobs_accepted",
        "genro_executor_jobs_rejected",
    }
    calls = {
        (sample.labels["route"], sample.labels["outcome"]): sample.value
        for sample in families["genro_executor_calls"].samples
    }
    assert calls["works/report", "completed"] == calls["works/fail", "failed"] == 1
    assert all(label != "pid" for f in families.values() for s in f.samples for label in s.labels)

    wanted = "application/openmetrics-text; version=1.0.0; charset=utf-8, text/plain; q=0.5"
    strict = await site.client.get("/_executors/metrics", headers={"accept": wanted})
    assert strict.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert {family.name for family in parse_openmetrics(strict.text)} == set(families)


async def test_metrics_keep_the_rules_that_promtool_checks(site: Site) -> None:
    await site.json("/works/report")
    text = (await site.client.get("/_executors/metrics")).text
    for family in text_string_to_metric_families(text):
        name = family.name
        assert family.documentation.endswith("."), name
        assert name == name.lower()
        assert name.startswith("genro_executor_")
        assert f"# HELP {name}" in text
        if family.type == "counter":
            assert f"# TYPE {name}_total counter" in text
        else:
            assert not name.endswith(("_total", "_count", "_sum", "_bucket")), name
        if family.type == "histogram":
            assert name.endswith("_seconds")
            bounds = [s.labels["le"] for s in family.samples if s.name.endswith("_bucket")]
            assert bounds[-1] == "+Inf"
        assert "milliseconds" not in name


async def test_each_server_has_metrics_of_its_own(site: Site) -> None:
    await site.json("/works/report")
    async with serving(ExecutorConsole, Works, executors=POOLS) as other:
        assert "works/report" not in (await other.get("/_executors/metrics")).text
    assert "works/report" in (await site.get("/_executors/metrics")).text


async def test_health_is_200_and_says_why_it_is_not(site: Site) -> None:
    answer = await site.get("/_executors/health")
    assert (answer.status_code, answer.json()) == (200, {"healthy": True})
    assert site.server.executors.healthy
    await change(site, "pause", pool="pdf")
    answer = await site.get("/_executors/health")
    assert answer.status_code == 503
    assert answer.json() == {"healthy": False, "unhealthy": {"pool pdf": "it is paused"}}
    assert answer.headers["retry-after"]
    assert (await site.get("/_executors/health/ready")).json() == answer.json()
    assert (await site.json("/_executors/health/live")) == {"live": True}
    assert (await site.get("/_executors/health/else")).status_code == 404
    assert not site.server.executors.healthy
    await change(site, "resume", pool="pdf")
    assert (await site.get("/_executors/health")).status_code == 200


async def test_a_pool_whose_workers_do_not_start_is_not_healthy() -> None:
    pools = {"pdf": {"max_workers": 1, "initializer": initialize_badly, "initargs": ("no ink",)}}
    async with serving(ExecutorConsole, Works, executors={**POOLS, **pools}) as site:
        assert (await site.get("/_executors/health")).status_code == 200
        assert (await site.get("/works/report")).status_code == 500
        answer = await site.get("/_executors/health")
        assert answer.status_code == 503
        assert "no ink" in answer.json()["unhealthy"]["pool pdf"]
        stranger = await site.client.get("/_executors/health", headers=STRANGER)
        assert stranger.status_code == 503
        assert stranger.json()["unhealthy"] == {"pool pdf": "not ready"}
        assert (await site.json("/_executors/snapshot"))["server"]["healthy"] is False


async def test_it_shows_in_the_servers_monitor() -> None:
    async with serving(
        ServerApplication, ExecutorConsole, Works, executors=POOLS, auth=AUTH
    ) as site:
        await site.json("/works/report")
        site.client.auth = ADA
        snapshot = await site.json("/_server/monitor/snapshot")
        shown = snapshot["apps"]["_executors"]
        assert shown["pools"]["pdf"]["completed"] == 1
        panel = (await site.json("/_server/monitor/panels"))["_executors"]
        assert panel["panel"] == "executors"
        source = await site.get(panel["src"])
        assert source.headers["content-type"].startswith("text/javascript")
        assert "export function render" in source.text


async def test_without_the_trailing_slash_it_leads_to_the_page(site: Site) -> None:
    answer = await site.get("/_executors")
    assert (answer.status_code, answer.headers["location"]) == (307, "_executors/")
    page = await site.get("/_executors/")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["index.html", "panel.js", "../application.py", "..%2fx", ""])
async def test_only_the_files_of_the_page_are_served(site: Site, name: str) -> None:
    answer = await site.get(f"/_executors/static/{name}")
    assert answer.status_code in (400, 404), answer.text


# -- what can be changed ---------------------------------------------------------------------


async def test_a_route_is_changed_from_the_next_call_on(site: Site) -> None:
    server_pid = (await site.json("/_executors/snapshot"))["server"]["pid"]
    assert (await site.json("/works/report"))["pid"] != server_pid
    await change(site, "route", route="works/report", disabled=True)
    assert (await site.json("/works/report"))["pid"] == server_pid
    assert (await route_of(site, "works/report"))["disabled"] is True
    await change(site, "route", route="works/report", disabled=False, timeout=7.5, pool="cpu")
    report = await route_of(site, "works/report")
    assert (report["disabled"], report["pool"], report["options"]["timeout"]) == (False, "cpu", 7.5)
    await change(site, "route", route="works/report", timeout=None)
    assert (await route_of(site, "works/report"))["options"]["timeout"] is None


async def test_pools_are_resized_paused_resumed_drained_and_restarted(site: Site) -> None:
    pid = (await site.json("/works/report"))["pid"]
    await change(site, "resize", pool="pdf", max_workers=2)
    assert (await pool_of(site))["max_workers"] == 2

    await change(site, "pause", pool="pdf")
    assert (await pool_of(site))["paused"] is True
    waiting = asyncio.create_task(site.json("/works/report"))
    while (await pool_of(site))["queued"] != 1:  # every look is a request
        assert not waiting.done()
    await change(site, "resume", pool="pdf")
    await waiting

    await change(site, "restart", pool="pdf")
    while pid in [worker["pid"] for worker in (await pool_of(site))["worker_states"]]:
        pass  # it is answered before the workers are replaced, if that takes its time
    assert (await site.json("/works/report"))["pid"] != pid

    await change(site, "drain", pool="pdf")
    assert (await pool_of(site))["draining"] is True
    refused = await site.get("/works/report")
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    await change(site, "resume", pool="pdf")
    await site.json("/works/report")


class Plain(ThreadEngine):
    """A kind of pool that runs calls and can do nothing else."""

    name = "plain"
    capabilities = frozenset()


async def test_a_pool_has_the_controls_that_its_capabilities_allow() -> None:
    server = ExecutorServer(applications=[ExecutorConsole, Works], executors=POOLS, tasks=False)
    server.executors.register_factory("plain", Plain)
    server.executor("plain", name="plain")
    async with serving(server=server) as site:
        for pool, controls in (
            ("pdf", ["pause", "drain", "resize", "restart", "kill_worker"]),
            ("db", ["pause", "drain", "resize"]),
            ("plain", ["drain"]),
        ):
            assert (await pool_of(site, pool))["controls"] == controls
        for control, more in (("pause", {}), ("resize", {"max_workers": 2}), ("restart", {})):
            answer = await site.post(f"/_executors/change/{control}", {"pool": "plain", **more})
            assert answer.status_code == 400
            assert f"is a plain pool: there is nothing to {control} in it" in answer.text
        assert (await pool_of(site, "plain"))["paused"] is False
        assert (await site.json("/_executors/snapshot"))["changes"] == []
        await change(site, "drain", pool="plain")
        await change(site, "resume", pool="plain")
        assert (await pool_of(site, "plain"))["draining"] is False


async def test_a_worker_is_killed_when_it_was_confirmed(site: Site, gate: Any) -> None:
    held = asyncio.create_task(site.client.get("/works/hold", params={"path": gate.path}))
    pid = await gate.entered()
    (worker,) = (await pool_of(site))["worker_states"]
    assert (worker["pid"], worker["state"]) == (pid, "busy")
    assert worker["memory_bytes"] > 1_000_000
    assert worker["running_seconds"] >= 0
    asked = await site.post("/_executors/change/kill", {"pool": "pdf", "pid": pid})
    assert asked.status_code == 400
    assert "confirm" in asked.text
    stranger = await site.post(
        "/_executors/change/kill", {"pool": "pdf", "pid": 1, "confirm": True}
    )
    assert stranger.status_code == 404
    assert not held.done()
    await change(site, "kill", pool="pdf", pid=pid, confirm=True)
    assert (await held).status_code == 500
    assert (await site.json("/works/report"))["pid"] != pid


async def test_every_change_is_recorded_with_who_did_it(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(ExecutorConsole, Works, executors=POOLS, auth=AUTH) as site:
        site.client.auth = ADA
        with caplog.at_level(logging.WARNING, "genro_executor_plugin"):
            await change(site, "resize", pool="pdf", max_workers=3)
            await site.post("/_executors/change/resize", {"pool": "pdf", "max_workers": -1})
        (made,) = (await site.json("/_executors/snapshot"))["changes"]
    assert made["who"] == "ada from 127.0.0.1"
    assert made["what"] == "pool pdf: max_workers=3 (was 1)"
    done, refused = caplog.messages
    assert done == "console: ada from 127.0.0.1: pool pdf: max_workers=3 (was 1)"
    assert "ada" in refused
    assert "refused" in refused


WRONG_CHANGES: list[tuple[str, dict[str, Any], int, str]] = [
    ("route", {"route": "works/report", "timeout": -1}, 400, "greater than 0"),
    ("route", {"route": "works/report", "timeout": 5, "pool": "nope"}, 400, "nope"),
    ("route", {"route": "works/report", "timeout": 5, "retires": 1}, 400, "retires"),
    ("route", {"route": "works/report"}, 400, "Nothing to change"),
    ("route", {"route": "works/nope", "disabled": True}, 400, "no route"),
    ("route", {"route": "nope/report", "disabled": True}, 404, "no route"),
    ("route", {"route": "works/query", "timeout": 5}, 400, "thread"),
    ("resize", {"pool": "pdf", "max_workers": 0}, 400, "at least 1"),
    ("resize", {"pool": "pdf", "max_workers": "2"}, 400, "max_workers"),
    ("resize", {"pool": "nope", "max_workers": 2}, 404, "no pool"),
    ("resize", {"pool": "pdf"}, 400, "max_workers"),
    ("pause", {}, 400, "pool"),
    ("pause", {"pool": "pdf", "_request": {}}, 400, "_request"),
    ("nothing", {"pool": "pdf"}, 404, ""),
]


async def test_a_change_that_is_wrong_says_why_and_changes_nothing(site: Site) -> None:
    before = await _settings(site)
    for name, body, status, text in WRONG_CHANGES:
        answer = await site.post(f"/_executors/change/{name}", body)
        found = (answer.status_code, text in answer.text)
        assert found == (status, True), (name, body, answer.text)
        assert await _settings(site) == before, (name, body)


async def _settings(site: Site) -> Any:
    shown = await site.json("/_executors/snapshot")
    pools = [(pool["name"], pool["options"], pool["paused"]) for pool in shown["pools"]]
    routes = [(route["path"], route["pool"], route["options"]) for route in shown["routes"]]
    return pools, routes, shown["changes"]


# -- who may -----------------------------------------------------------------------------------


async def test_without_the_tag_there_is_no_page_and_no_data() -> None:
    async with serving(ExecutorConsole, Works, executors=POOLS, auth=AUTH) as site:
        for page in PAGES:
            stranger = await site.get(f"/_executors/{page}")
            assert stranger.status_code == 401, page
            assert "Basic realm" in stranger.headers["www-authenticate"]
            for somebody in (BOB, EVE):
                answer = await site.client.get(f"/_executors/{page}", auth=somebody)
                assert answer.status_code == 403, page
                assert "pdf" not in answer.text
            assert "pdf" not in stranger.text
            assert (await site.client.get(f"/_executors/{page}", auth=ADA)).status_code == 200
        for somebody, status in ((None, 401), (BOB, 403)):
            answer = await site.client.post(
                "/_executors/change/pause", json={"pool": "pdf"}, auth=somebody
            )
            assert answer.status_code == status
        assert (await site.get("/_executors/metrics")).status_code == 200
        assert (await site.get("/_executors/health")).status_code == 200


async def test_metrics_and_health_can_be_closed_and_the_tag_chosen() -> None:
    options = {"metrics": "closed", "health": "closed", "tag": "STAFF"}
    async with serving((ExecutorConsole, options), Works, executors=POOLS, auth=AUTH) as site:
        for path in ("metrics", "health", "snapshot"):
            assert (await site.get(f"/_executors/{path}")).status_code == 401
            assert (await site.client.get(f"/_executors/{path}", auth=BOB)).status_code == 200
            assert (await site.client.get(f"/_executors/{path}", auth=ADA)).status_code == 403


OF_ANOTHER_SITE = [
    {"origin": "https://elsewhere.example"},
    {"origin": "null"},
    {"origin": "http://[broken"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"content-type": "application/x-www-form-urlencoded"},
    {"content-type": "text/plain"},
    {"content-type": ""},
]


async def test_a_change_from_another_site_is_refused(site: Site) -> None:
    for headers in OF_ANOTHER_SITE:
        answer = await site.client.post(
            "/_executors/change/pause",
            content=json.dumps({"pool": "pdf"}),
            headers={"content-type": "application/json", **headers},
        )
        assert answer.status_code in (403, 415), headers
        assert (await pool_of(site))["paused"] is False, headers


async def test_a_change_from_its_own_page_is_made(site: Site) -> None:
    own = str(site.client.base_url).rstrip("/")
    answer = await site.client.post(
        "/_executors/change/resize",
        json={"pool": "pdf", "max_workers": 2},
        headers={"origin": own, "sec-fetch-site": "same-origin"},
    )
    assert answer.status_code == 200


async def test_a_change_is_a_post(site: Site) -> None:
    for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"):
        answer = await site.client.request(method, "/_executors/change/pause", json={"pool": "pdf"})
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST"), method
    answer = await site.client.post("/_executors/snapshot", json={})
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_a_body_that_is_too_large_is_not_read(site: Site) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(2000):
            yield b" " * 1024

    for content in (b" " * 100_000, endless()):
        answer = await site.client.post(
            "/_executors/change/pause",
            content=content,
            headers={"content-type": "application/json"},
        )
        assert answer.status_code == 413


@pytest.mark.parametrize(
    "option",
    [
        {"metrics": "ajar"},
        {"tag": ""},
        {"tag": "A,B"},
        {"open": "yes"},
        {"open": 1},
        {"token": "short"},
        {"token": "sixteen letters and a space"},
        {"token": 1234567890123456},
    ],
)
def test_a_wrong_option_is_refused_with_what_is_allowed(option: dict[str, Any]) -> None:
    with pytest.raises(ExecutorConfigError, match=rf"ExecutorConsole: {next(iter(option))}="):
        ExecutorServer(applications=[(ExecutorConsole, option)])


def test_without_authentication_is_no_option_any_more() -> None:
    with pytest.raises(TypeError, match="without_authentication"):
        ExecutorServer(applications=[(ExecutorConsole, {"without_authentication": "everyone"})])


# -- on a stock server -------------------------------------------------------------------------


async def test_a_stock_server_gets_its_pools_from_the_console() -> None:
    server = AsgiServer(applications=[(ExecutorConsole, {"executors": POOLS}), Works], tasks=False)
    async with serving(server=server) as site:
        shown = await site.json("/_executors/snapshot")
        assert (await site.json("/works/report"))["pid"] != shown["server"]["pid"]
        answer = await site.get("/works/die")
        assert answer.json() == {"error": "Internal Server Error"}
        assert site.server.executors.healthy
    assert all(executor.closed for executor in server.executors.used.values())


async def test_applications_of_a_stock_server_use_the_pools_at_their_start_and_end() -> None:
    """Also an application that is written before the console."""

    class Uses(ExecutorApplication):
        mount = "uses"
        said: list[Any] = []

        async def on_startup(self) -> None:
            self.said.append(await self.executor.run_process(os.getpid))

        async def on_shutdown(self) -> None:
            self.said.append(await self.executor.run_process(divmod, 42, 5))

    pools = {"executors": {"cpu": {"max_workers": 1}}}
    server = AsgiServer(applications=[Uses, (ExecutorConsole, pools)], tasks=False)
    async with serving(server=server) as site:
        assert site.server.executors.get("cpu").pids == Uses.said
    assert Uses.said[1:] == [(8, 2)]


async def test_an_executor_servers_console_adds_its_pools_to_the_servers() -> None:
    console = (ExecutorConsole, {"executors": {"db": {"executor_type": "thread"}}})
    async with built(console, Works, executors={"pdf": {"max_workers": 1}}) as server:
        assert {"pdf", "db"} <= set(server.executors.names)
