# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``app.router.configure(...)``: all of it, or nothing at all, from the next call on."""

from __future__ import annotations

import asyncio
import copy
import inspect
import logging
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from apps.steered import Busy, Steered
from servers import built, serving

from genro_executor_plugin import ExecutorConfigError, UnknownExecutorError
from genro_executor_plugin.routing.tree import routes_below

POOLS: dict[str, Any] = {
    "a": {"executor_type": "thread", "max_workers": 2},
    "b": {"executor_type": "thread", "max_workers": 2},
    "p": {"max_workers": 1},
}


@pytest.fixture
async def app() -> AsyncIterator[Any]:
    async with built(Steered, executors=POOLS) as server:
        app = server.applications["steered"]
        app.route.nodes()  # as a server that serves has: everything is bound
        yield app


def routers_of(router: Any) -> dict[str, Any]:
    found = {"": router}
    for name, child in router._children.items():
        for path, below in routers_of(child).items():
            found[f"{name}/{path}"] = below
    return found


def everything(app: Any) -> Any:
    """What the plugins of the whole tree have stored, as a copy."""
    return {
        path: copy.deepcopy(router._plugin_info) for path, router in routers_of(app.route).items()
    }


async def pool_at(app: Any, path: str) -> str:
    """The pool that a call of ``path`` runs in now."""
    thread = app.route.node(path)()
    if inspect.isawaitable(thread):
        thread = await thread
    if not thread.startswith("genro-executor-"):
        return "none"
    return str(thread.removeprefix("genro-executor-").rpartition("-")[0])


PATHS = (
    "report",
    "report_async",
    "billing/gen_bill",
    "billing/gen_note",
    "billing/send",
    "billing/year/gen_total",
)
UNCHANGED = dict.fromkeys(PATHS, "a")


async def pools_of(app: Any) -> dict[str, str]:
    return {path: await pool_at(app, path) for path in PATHS}


@pytest.mark.parametrize(
    ("target", "moved"),
    [
        ("report", ["report"]),
        ("report*", ["report", "report_async"]),
        ("/report", ["report"]),
        ("billing/send", ["billing/send"]),
        ("billing/gen_*", ["billing/gen_bill", "billing/gen_note"]),
        ("bill*/gen_*", ["billing/gen_bill", "billing/gen_note"]),
        ("billing/year/gen_total", ["billing/year/gen_total"]),
        ("*/*/gen_*", ["billing/year/gen_total"]),
        ("billing/[gs]en?", ["billing/send"]),
    ],
)
async def test_a_target_names_routes_by_name_path_and_glob(
    app: Any, target: str, moved: list[str]
) -> None:
    """These routes change their pool, these only, and the answer says which they were."""
    done = app.router.configure(target, executor_pool="b")
    assert done == {"target": target, "updated": sorted(done["updated"])}
    assert sorted(done["updated"]) == sorted(moved)
    assert await pools_of(app) == {**UNCHANGED, **dict.fromkeys(moved, "b")}


async def test_without_a_target_it_is_the_whole_router_with_its_sections(app: Any) -> None:
    app.router.configure(executor_disabled=True)
    assert set((await pools_of(app)).values()) == {"none"}
    app.router.configure(executor_disabled=False)
    assert await pools_of(app) == UNCHANGED
    app.router.configure("plain", executor="b")  # the plugin's default parameter
    assert await pool_at(app, "plain") == "b"


async def test_what_a_route_says_itself_is_above_what_the_router_says(app: Any) -> None:
    app.router.configure("asks", executor_disabled=True)  # it takes what cannot travel
    app.router.configure(executor_pool="b")
    assert await pools_of(app) == UNCHANGED
    assert await pool_at(app, "plain") == "b"
    app.router.configure("report", executor_pool=None)
    assert await pool_at(app, "report") == "none"


async def test_a_lazy_branch_that_is_named_is_built(app: Any) -> None:
    assert "archive" in app.branches
    done = app.router.configure("archive/find", executor_pool="b")
    assert done["updated"] == ["archive/find"]
    assert await pool_at(app, "archive/find") == "b"


async def test_options_of_any_plugin_that_is_attached(app: Any) -> None:
    """Several plugins at once; a section that has no word of its own follows the router."""
    app.router.configure("report", executor_pool="b", logging_before=False, logging_after=True)
    assert app.route.logging.configuration("report")["before"] is False
    assert await pool_at(app, "report") == "b"
    app.router.configure(logging_before=False)
    assert app.route.logging.configuration("plain")["before"] is False
    assert app.billing.route.logging.configuration("send")["before"] is False
    app.router.configure("billing/send", logging_before=True)
    assert app.billing.route.logging.configuration("send")["before"] is True
    assert app.billing.route.logging.configuration("gen_bill")["before"] is False
    app.router.configure("report", auth_rule="admin")
    assert app.route.node("report").error == "not_authenticated"


WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "unknown route": ("reports", {"executor_timeout": 5}, "reports"),
    "unknown section": ("bills/send", {"executor_disabled": True}, "bills/send"),
    "glob that matches nothing": ("zzz_*", {"executor_disabled": True}, "zzz_"),
    "section instead of a route": ("billing", {"executor_disabled": True}, "billing"),
    "unknown plugin": ("report", {"cache_size": 5}, "cache"),
    "plugin that is not attached": ("report", {"channel_channels": "mcp"}, "channel"),
    "unknown option": ("report", {"executor_speed": 5}, "speed"),
    "unknown option of another plugin": ("report", {"logging_loud": True}, "loud"),
    "no option": ("report", {"executor": "b", "nothing": 1}, "nothing"),
    "no options at all": ("report", {}, "nothing to configure"),
    "wrong type": ("report", {"executor_timeout": "soon"}, "timeout"),
    "wrong type of another plugin": ("report", {"logging_before": "perhaps"}, "before"),
    "impossible value": ("limited", {"executor_timeout": -1}, "timeout"),
    "undeclared pool": ("report", {"executor_pool": "nowhere"}, "nowhere"),
    "undeclared pool by the short name": ("report", {"executor": "nowhere"}, "nowhere"),
    "undeclared pool for all": ("", {"executor_pool": "nowhere"}, "nowhere"),
    "timeout on a thread pool": ("report", {"executor_timeout": 5}, "timeout"),
    "retries on a thread pool": ("report", {"executor_retries": 2}, "retries"),
    "pool that cannot keep the timeout": ("limited", {"executor_pool": "b"}, "timeout"),
    "_request": ("asks", {"executor_pool": "p"}, "_request"),
    "hidden parameter": ("report", {"executor__target": "plain"}, "_target"),
    "hidden flags": ("report", {"executor_flags": "disabled"}, "flags"),
    "one good and one bad option": (
        "report",
        {"executor_pool": "b", "executor_timeout": "soon"},
        "timeout",
    ),
    "one good and one bad plugin": (
        "report",
        {"logging_before": False, "executor_pool": "nowhere"},
        "nowhere",
    ),
    "one good and one bad route": ("*", {"executor_pool": "b"}, "limited|asks"),
    "a router whose routes cannot keep it": ("", {"executor_timeout": 5}, "report"),
}


async def test_a_pool_for_the_whole_router_leaves_a_route_with_the_live_request_alone(
    app: Any,
) -> None:
    app.router.configure("", executor_pool="p")
    options = {route.path: route.options for route in routes_below(app.route) if route.entry}
    assert options["plain"].offloaded
    assert not options["asks"].offloaded


@pytest.mark.parametrize("case", WRONG)
async def test_a_mistake_changes_nothing_at_all(app: Any, case: str) -> None:
    """The error names what is wrong; every plugin of every router has what it had."""
    target, options, named = WRONG[case]
    before = everything(app)
    with pytest.raises(ExecutorConfigError, match=named):
        app.router.configure(target, **options)
    assert everything(app) == before
    assert await pools_of(app) == UNCHANGED
    assert app.server.get_executor("p").pids == []


async def test_a_router_wide_pool_that_a_route_cannot_use_is_refused() -> None:
    """A route's own timeout holds under the router's pool, so that pool has to keep it."""

    class Timed(Steered):
        code = mount = "timed"

    async with built(Timed, executors=POOLS) as server:
        app = server.applications["timed"]
        app.router.configure("limited", executor_pool=None)
        del app.route._plugin_info["executor"]["limited"]["config"]["pool"]
        app.router.configure("asks", executor_disabled=True)
        before = everything(app)
        with pytest.raises(ExecutorConfigError, match="limited"):
            app.router.configure(executor_pool="b")
        assert everything(app) == before


async def test_a_mistake_says_what_there_is(app: Any) -> None:
    with pytest.raises(ExecutorConfigError, match=r"report.*billing/send") as caught:
        app.router.configure("nowhere", executor_disabled=True)
    assert "nowhere" in str(caught.value)
    with pytest.raises(UnknownExecutorError, match=r"'a'.*'b'.*'blocking'.*'cpu'.*'p'"):
        app.router.configure("report", executor_pool="nowhere")
    with pytest.raises(ExecutorConfigError, match=r"disabled.*on_overload.*pool.*timeout"):
        app.router.configure("report", executor_speed=1)
    with pytest.raises(ExecutorConfigError, match=r"auth.*executor.*logging"):
        app.router.configure("report", cache_size=1)


@pytest.mark.parametrize("target", [None, 3, ["report"]])
async def test_a_target_that_is_no_text_is_a_mistake(app: Any, target: Any) -> None:
    with pytest.raises(ExecutorConfigError):
        app.router.configure(target, executor_disabled=True)


async def test_a_mistake_builds_no_lazy_branch(app: Any) -> None:
    """Not even the branch that it names: nothing is changed."""
    with pytest.raises(ExecutorConfigError):
        app.router.configure("archive/find", executor_pool="nowhere")
    assert "archive" in app.branches


async def test_an_alias_is_configured_or_refused(app: Any) -> None:
    """It never looks as if it had worked while the route goes on as before."""
    refused = None
    try:
        app.router.configure("send_now", executor_pool="b")
    except ExecutorConfigError as error:
        refused = error
    assert await pool_at(app, "send_now") == ("b" if refused is None else "a")
    assert refused is None or "send_now" in str(refused)


async def test_the_stock_door_does_the_same(app: Any) -> None:
    """genro-routes' own ``routing.configure``: one route, globs, the whole router."""
    app.routing.configure("executor/report", pool="b")
    assert await pool_at(app, "report") == "b"
    app.billing.routing.configure("executor/gen_*", disabled=True)
    assert await pool_at(app, "billing/gen_bill") == "none"
    assert await pool_at(app, "billing/send") == "a"
    app.routing.configure("executor", disabled=True)
    assert await pool_at(app, "billing/send") == "none"
    app.routing.configure({"target": "executor/_all_", "disabled": False})
    assert await pool_at(app, "billing/send") == "a"
    description = app.routing.configure("?")
    (executor,) = [item for item in description["plugins"] if item["name"] == "executor"]
    assert executor["overrides"]["report"]["pool"] == "b"


async def test_it_works_with_no_server() -> None:
    app = Steered()
    app.route.plug("executor")
    assert app.router.configure("report", executor_pool="anything")["updated"] == ["report"]
    assert app.route.executor.configuration("report")["pool"] == "anything"


# -- while it serves ------------------------------------------------------------------------------


async def test_it_holds_from_the_next_call_on_while_calls_run(gate: Any) -> None:
    """The running call ends where it began; those after it run where they are told to now."""
    async with serving(Busy, executors={"p": {"max_workers": 1}, "q": {"max_workers": 1}}) as site:
        app = site.app("busy")
        running = asyncio.create_task(site.json("/busy/held", gate=gate.path))
        worker = await gate.entered()

        app.router.configure("pid", executor_disabled=True)
        assert await site.json("/busy/pid") == os.getpid()
        app.router.configure(executor_disabled=True)
        inline = asyncio.create_task(site.json("/busy/held", gate=gate.path))
        assert await gate.entered() == os.getpid()
        app.router.configure(executor_disabled=False)
        app.router.configure("*", executor_pool="q", executor_disabled=False)
        other = await site.json("/busy/pid")
        assert other not in (worker, os.getpid())
        assert [other] == site.server.get_executor("q").pids

        gate.release()
        assert await running == worker
        assert await inline == os.getpid()


async def test_options_hold_from_the_next_call_on(gate: Any) -> None:
    async with serving(Busy, executors={"p": {"max_workers": 1}}) as site:
        app = site.app("busy")
        app.router.configure("held", executor_timeout=0.1)
        assert (await site.get("/busy/held", gate=gate.path)).status_code == 504
        await gate.entered()
        app.router.configure("held", executor_timeout=None)
        call = asyncio.create_task(site.json("/busy/held", gate=gate.path))
        pid = await gate.entered()
        app.router.configure("pid", executor_queue_timeout=0.01)
        assert (await site.get("/busy/pid")).status_code == 503
        gate.release()
        assert await call == pid


async def test_a_mistake_through_the_stock_door_is_a_500_that_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """That door knows no pools; what went in wrong there is told at the call, to the log."""
    async with serving(Busy, executors={"p": {"max_workers": 1}}) as site:
        app = site.app("busy")
        app.routing.configure("executor/pid", pool="nowhere")
        with caplog.at_level(logging.ERROR, logger="genro_executor_plugin"):
            # As a browser: genro-asgi itself logs what it answers to callers that take JSON.
            answer = await site.client.get("/busy/pid", headers={"accept": "text/html"})
        assert (answer.status_code, answer.text) == (500, "Internal Server Error")
        assert "nowhere" in caplog.text
        app.routing.configure("executor/pid", pool="p")
        assert await site.json("/busy/pid") != os.getpid()
