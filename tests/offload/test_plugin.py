# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``@route(executor=...)``: which pool a route runs in, and what nobody may notice of it."""

from __future__ import annotations

import inspect
import os
import typing
from contextlib import suppress
from pathlib import Path
from typing import Any

import host
import pytest
from apps.desk import Chores, Console, Desk, Drawer, Places, Surface
from genro_routes import RoutingClass, route
from genro_routes.cli import RoutingCli
from host import AsgiServer, new_descriptor
from servers import built, serving

from genro_executor_plugin import ExecutorConfigError, ExecutorPlugin
from genro_executor_plugin.offload.plan import call_options
from genro_executor_plugin.routing.tree import adapter_of, options_of

PDF = {"pdf": {"max_workers": 1}}
THREADS = {name: {"executor_type": "thread", "max_workers": 2} for name in ("a", "b", "own")}


def pool_of(thread: str) -> str | None:
    """The pool a thread belongs to, ``None`` for the server's own threads."""
    if not thread.startswith("genro-executor-"):
        return None
    return thread.removeprefix("genro-executor-").rpartition("-")[0]


async def pool_at(app: Any, path: str) -> str | None:
    thread = app.route.node(path)()
    return pool_of(await thread if inspect.isawaitable(thread) else thread)


class Lender(RoutingClass):
    @route()
    def lent(self) -> str:
        return "lent"


# -- where routes run -----------------------------------------------------------------------------


async def test_every_kind_of_route_runs_in_its_pool() -> None:
    """Sync and async, in the application, sections, lazy branches, aliases: all in one worker."""
    async with serving(Desk, executors=PDF) as site:
        pids = {}
        for path in (
            "report?title=x&pages=3",
            "report_async?title=y",
            "first_name",
            "second_name",
            "papers_on_top",
            "drawer/papers",
            "drawer/letters",
            "drawer/box/deep",
            "shortcut/deep",
            "second_way/deep",
            "attic/trunk",
        ):
            said = await site.json(f"/desk/{path}")
            pids[path] = said["pid"]
            assert said.get("title", "x") in ("x", "y"), said
            assert said.get("label", "dusty") == "dusty"
        (worker,) = site.server.get_executor("pdf").pids
        assert set(pids.values()) == {worker}, pids
        for path in ("plain", "plain_async", "drawer/here"):
            assert (await site.json(f"/desk/{path}"))["pid"] == os.getpid()
        assert site.server.get_executor("pdf").metrics["completed"] == len(pids)


async def test_a_router_names_the_pool_for_its_routes_and_sections() -> None:
    """Sections inherit it, whenever they were added; their own and their routes' word is first."""
    async with built((Places, {"pool": "a"}), executors=THREADS) as server:
        app = server.applications["places"]
        pools = {
            path: await pool_at(app, path)
            for path in (
                "at",
                "at_own",
                "at_home",
                "at_none",
                "before/at",
                "before/at_async",
                "after/at",
                "after/below/at",
                "later/at",
                "own/at",
                "own/at_async",
                "stays/at",
            )
        }
        assert pools == {
            "at": "a",
            "at_own": "own",
            "at_home": None,
            "at_none": None,
            "before/at": "a",
            "before/at_async": "a",
            "after/at": "a",
            "after/below/at": "a",
            "later/at": "a",
            "own/at": "own",
            "own/at_async": "own",
            "stays/at": None,
        }


async def test_sections_follow_their_parent_at_run_time() -> None:
    """What is set on a router later holds for the sections below it, too."""
    async with built(Places, executors=THREADS) as server:
        app = server.applications["places"]
        inheriting = ["at", "before/at", "after/at", "after/below/at", "later/at"]
        assert {await pool_at(app, path) for path in inheriting} == {None}

        app.routing.configure("executor", pool="a")
        assert {await pool_at(app, path) for path in inheriting} == {"a"}
        app.after.routing.configure("executor", pool="b")
        assert await pool_at(app, "at") == "a"
        assert await pool_at(app, "after/at") == await pool_at(app, "after/below/at") == "b"
        assert await pool_at(app, "own/at") == "own"

        app.routing.configure("executor", disabled=True)
        assert {await pool_at(app, path) for path in [*inheriting, "own/at"]} == {None}
        app.own.routing.configure("executor", disabled=False)
        assert await pool_at(app, "own/at") == "own"
        assert await pool_at(app, "at") is None


async def test_a_section_that_moves_follows_its_new_parent() -> None:
    async with built(
        (Places, {"pool": "a", "code": "one", "mount": "one"}),
        (Places, {"pool": "b", "code": "two", "mount": "two"}),
        executors=THREADS,
    ) as server:
        one, two = server.applications["one"], server.applications["two"]
        assert await pool_at(one, "before/at") == "a"
        one.remove_branch("before")
        one.route.detach_instance(one.before)
        two.add_branches({"name": "moved", "instance": one.before})
        assert await pool_at(two, "moved/at") == "b"


async def test_options_of_a_route_reach_its_calls() -> None:
    """An entry's options are above its router's, and these above the pool's."""

    class App(Places):
        code = mount = "app"

        @route(executor_timeout=3, executor_on_overload="fail")
        def narrow(self) -> str:
            return ""

        @route()
        def wide(self) -> str:
            return ""

    options = {"pool": "cpu", "timeout": 7, "queue_timeout": 2, "retries": 1}
    async with built(App) as server:
        app = server.applications["app"]
        app.routing.configure("executor", **options)
        app.route.nodes()  # binds the router, which reads the options of its routes
        executor = server.get_executor("cpu")

        def of_calls(name: str) -> Any:
            return call_options(executor, app.route, name, options_of(app.route, name))

        assert of_calls("narrow").timeout == 3.0
        assert of_calls("narrow").on_overload == "fail"
        assert of_calls("narrow").queue_timeout == 2.0
        assert of_calls("narrow").route == "narrow"
        assert (of_calls("wide").timeout, of_calls("wide").retries) == (7.0, 1)
        assert of_calls("wide").on_overload is None


# -- the plugin's contract ------------------------------------------------------------------------


def test_offloading_an_entry_again_changes_nothing() -> None:
    drawer = Drawer()
    drawer.route.plug("executor")
    entry = drawer.route._entries["papers"]
    func, chain, adapter = entry.func, entry.handler, adapter_of(entry)
    assert adapter is not None
    for _ in range(3):
        drawer.route.executor.on_decore(drawer.route, entry.func, entry)
    assert (entry.func, entry.handler, adapter_of(entry)) == (func, chain, adapter)
    assert not inspect.iscoroutinefunction(adapter.original)


def test_an_alias_is_not_offloaded_for_the_router_that_borrows_it() -> None:
    """Its options are those of its own router, which has no plugin here."""
    lender, borrower, above = Lender(), RoutingClass(), RoutingClass()
    borrower.route.include(lender.route.node("lent"), name="borrowed")
    above.route.plug("executor", pool="pdf")
    above.add_branches({"name": "borrower", "instance": borrower})
    assert lender.route.node("lent")() == "lent"
    assert above.route.node("borrower/borrowed")() == "lent"


def test_an_option_that_does_not_exist_names_the_route_and_the_options() -> None:
    class Wrong(RoutingClass):
        def __init__(self) -> None:
            self.route.plug("executor")

        @route(executor="a", executor_time_out=3)
        def slow(self) -> None: ...

    with pytest.raises(ExecutorConfigError, match=r"Wrong\.slow.*executor_time_out.*timeout"):
        Wrong().route.nodes()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("pool", ""),
        ("pool", 3),
        ("timeout", 0),
        ("timeout", -1.5),
        ("timeout", float("nan")),
        ("timeout", "soon"),
        ("queue_timeout", float("inf")),
        ("on_overload", "panic"),
        ("retries", -1),
        ("disabled", "perhaps"),
    ],
)
def test_an_impossible_option_names_the_route_the_option_and_the_value(
    option: str, value: Any
) -> None:
    def slow(self: Any) -> None: ...

    routed = type("Wrong", (RoutingClass,), {"slow": route(**{f"executor_{option}": value})(slow)})
    instance = routed()
    instance.route.plug("executor")
    with pytest.raises(ExecutorConfigError) as caught:
        instance.route.nodes()
    assert "Wrong.slow" in str(caught.value)
    assert f"executor_{option}={value!r}" in str(caught.value)


@pytest.mark.parametrize("text", ["false", "0", "off", "no"])
async def test_a_text_for_a_switch_means_what_it_says_or_is_refused(text: str) -> None:
    """A switch that comes out of a file is a text; "false" must never switch something on."""
    async with built((Places, {"pool": "a"}), executors=THREADS) as server:
        app = server.applications["places"]
        with suppress(ExecutorConfigError):
            app.routing.configure("executor/at", disabled=text)
        assert await pool_at(app, "at") == "a"


async def test_a_text_for_a_number_is_refused_or_understood() -> None:
    """Whatever was accepted works at the next call."""
    async with built((Places, {"pool": "cpu"}), executors={"cpu": PDF["pdf"]}) as server:
        app = server.applications["places"]
        with suppress(ExecutorConfigError):
            app.routing.configure("executor/at", timeout="30", retries="1")
        assert await app.route.node("at")()


def test_the_plugin_describes_itself() -> None:
    assert ExecutorPlugin.plugin_code == "executor"
    assert ExecutorPlugin.plugin_default_param == "pool"
    assert ExecutorPlugin.plugin_description
    drawer = Drawer()
    drawer.route.plug("executor")
    assert drawer.route.nodes()["entries"]["papers"]["plugins"]["executor"]["config"]["pool"] == (
        "pdf"
    )


# -- what is seen from outside --------------------------------------------------------------------


def _seen(value: Any) -> Any:
    """A tree from ``nodes()`` without what names this very instance, or this plugin."""
    if isinstance(value, dict):
        hidden = ("router", "instance", "plugin_info", "executor", "model")
        return {key: _seen(item) for key, item in value.items() if key not in hidden}
    if isinstance(value, list | tuple):
        return [_seen(item) for item in value]
    if inspect.isroutine(value):
        return {
            "name": value.__name__,
            "qualname": value.__qualname__,
            "module": value.__module__,
            "doc": inspect.getdoc(value),
            "signature": str(inspect.signature(value)),
            "hints": typing.get_type_hints(value),
        }
    return value


@pytest.mark.parametrize("app_class", [Desk, Surface])
async def test_the_tree_is_the_same_as_without_the_plugin(app_class: Any) -> None:
    """Names, docs, signatures, hints, parameters and results of ``nodes()``."""
    stock = AsgiServer(applications=[app_class], tasks=False)
    async with built(app_class, executors=PDF) as server:
        mine, theirs = (next(iter(one.applications.values())) for one in (server, stock))
        for eager in (False, True):
            wanted = _seen(theirs.route.nodes(_eager=eager, forbidden=True))
            assert wanted["entries"]
            assert _seen(mine.route.nodes(_eager=eager, forbidden=True)) == wanted


async def test_schema_tools_and_documentation_are_the_same_as_without_the_plugin() -> None:
    """OpenAPI and MCP, over HTTP, of the same application on a stock server."""
    listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}
    stock = AsgiServer(applications=[Surface], tasks=False)
    async with serving(server=stock) as site:
        schema = await site.json("/surface/_meta/schema_json")
        tools = (await site.post("/surface/mcp", listing)).json()
    async with serving(Surface, executors=PDF) as site:
        assert await site.json("/surface/_meta/schema_json") == schema
        assert (await site.post("/surface/mcp", listing)).json() == tools
    assert "/make" in schema["paths"]
    assert {tool["name"] for tool in tools["result"]["tools"]} == {
        "make",
        "make_async",
        "undeclared",
    }


async def test_a_tool_runs_in_the_pool_of_its_route() -> None:
    def calling(name: str, **arguments: Any) -> dict[str, Any]:
        params = {"name": name, "arguments": arguments}
        return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}

    async with serving(Surface, executors=PDF) as site:
        made = (await site.post("/surface/mcp", calling("make", title="t", pages=2))).json()
        (worker,) = site.server.get_executor("pdf").pids
        assert made["result"]["structuredContent"] == {
            "title": "t",
            "pages": 2,
            "wide": False,
            "pid": worker,
        }
        made = (await site.post("/surface/mcp", calling("make_async", title="t"))).json()
        assert str(worker) in made["result"]["content"][0]["text"]
        wrong = (await site.post("/surface/mcp", calling("make", title=3))).json()
        assert wrong["result"]["isError"] is True
        said = wrong["result"]["content"][0]["text"]
        assert "title" in said or host.IS_KAJENN, "kajenn names the route alone"


# -- without a server -----------------------------------------------------------------------------


def test_the_command_line_runs_handlers_here(capsys: pytest.CaptureFixture[str]) -> None:
    """genro_routes' command-line interface knows no server: its commands run inline."""
    cli = RoutingCli(Console)
    assert set(cli.click_group.commands) == {"say", "say-async"}
    say = cli.click_group.commands["say"]
    assert [parameter.name for parameter in say.params] == ["word", "times"]
    assert say.help == "Say it."
    cli.run(["say", "ho", "--times", "2"], standalone_mode=False)
    cli.run(["say-async", "hey"], standalone_mode=False)
    assert capsys.readouterr().out.split() == ["hoho", str(os.getpid()), "hey", str(os.getpid())]


async def test_a_handler_that_no_server_serves_runs_here() -> None:
    app = Desk()
    app.route.plug("executor")
    for path in ("report", "report_async", "drawer/papers", "drawer/letters", "attic/trunk"):
        assert (await app.route.node(path)())["pid"] == os.getpid()
    assert (await app.route.node("report")(title="x", pages=2))["pages"] == 2


async def test_a_handler_that_takes_no_self_fails_when_it_is_called_and_not_before() -> None:
    section = Lender()
    section.route.plug("executor", pool="a")
    section.route.add_entry(lambda: "no self", name="selfless")
    assert set(section.route.nodes()["entries"]) == {"lent", "selfless"}
    assert await section.route.node("lent")() == "lent"
    with pytest.raises(ValueError, match="signature"):
        section.route.node("selfless")()


async def test_a_server_without_pools_runs_handlers_here() -> None:
    """A stock server with the plugin armed: as if no pool had been named."""
    server = AsgiServer(
        applications=[Desk],
        plugins={"executor": True},
        plugin_registry={"executor": ExecutorPlugin},
        tasks=False,
    )
    async with serving(server=server) as site:
        for path in ("report", "report_async", "drawer/papers", "attic/trunk"):
            assert (await site.json(f"/desk/{path}"))["pid"] == os.getpid()
        assert (await site.json("/desk/report"))["thread"].startswith(host.THREAD_PREFIX)


# -- tasks and the scheduler ----------------------------------------------------------------------


async def test_tasks_and_schedules_run_in_the_pool(
    gate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch task and scheduled ones, sync and async, run in the worker, not in the server."""
    monkeypatch.chdir(tmp_path)  # where the spool of a server without a home is
    async with serving(Chores, executors=PDF, tasks=True) as site:
        tasks = site.server.tasks
        tasks.spool.create(new_descriptor("t1", "me", "chores", "sweep"), {"gate": gate.path})
        pid = await gate.entered()
        assert [pid] == site.server.get_executor("pdf").pids
        assert site.server.pool.metrics["busy"] == 0
        gate.release()

        for name in ("nightly", "nightly_async"):
            tasks.task_store.upsert_default(
                {
                    "code": name,
                    "task_name": name,
                    "target_kind": "task",
                    "kwargs": {"gate": gate.path},
                    "kind": "every",
                    "spec": "1h",
                    "enabled": True,
                    "next_run_ts": None,
                }
            )
            assert tasks.scheduler.run_now(name) == "started"
            assert await gate.entered() == pid
            gate.release()
