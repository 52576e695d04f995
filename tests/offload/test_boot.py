# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is wrong with a route stops the server before its first request, and says what and where."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import host
import pytest
from apps import mistaken
from genro_routes import route
from host import RoutedApplication, ServerApplication
from programs import started
from servers import boot_message, serving

from genro_executor_plugin import ExecutorConfigError, ExecutorPlugin, ExecutorServer
from genro_executor_plugin.routing.tree import routes_of


def server_with(*applications: Any, **options: Any) -> ExecutorServer:
    return ExecutorServer(applications=list(applications), tasks=False, **options)


async def refusal(*applications: Any, **options: Any) -> str:
    """The message that the server of ``applications`` does not start with."""
    answer = await boot_message(server_with(*applications, **options))
    assert answer["type"] == "lifespan.startup.failed", answer
    return str(answer["message"])


async def test_an_undeclared_pool_names_route_pool_and_the_known_ones() -> None:
    """Every route that has one, in sections too."""
    message = await refusal(mistaken.Undeclared, executors={"pdf": {}, "ml": {}})
    for word in (
        "undeclared/report",
        "'pfd'",
        "undeclared/section/inner/learn",
        "'mll'",
        "'blocking'",
        "'cpu'",
        "'ml'",
        "'pdf'",
    ):
        assert word in message


async def test_a_routers_undeclared_pool_is_found() -> None:
    message = await refusal(mistaken.RouterWide)
    assert "wide/report" in message
    assert "'wiide'" in message


async def test_a_lazy_branchs_undeclared_pool_is_found_without_building_it() -> None:
    server = server_with(mistaken.Lazy)
    answer = await boot_message(server)
    assert answer["type"] == "lifespan.startup.failed"
    assert "lazy/attic/learn" in answer["message"]
    assert "'mll'" in answer["message"]
    assert "attic" in server.applications["lazy"].branches


async def test_a_lazy_branch_that_asks_for_what_its_pool_cannot_keep_is_found() -> None:
    message = await refusal(mistaken.LazyTimeout)
    assert "lazytimeout/attic/slow" in message
    assert "timeout" in message


async def test_a_lazy_branch_is_judged_by_the_methods_it_really_has() -> None:
    """What a derived class has replaced is no route of it any more."""
    async with serving(mistaken.LazyNewer, executors={"cpu": {"max_workers": 1}}) as site:
        assert [await site.json("/newer/attic/job")] == site.server.get_executor("cpu").pids


async def test_the_live_request_is_refused_on_an_offloaded_handler() -> None:
    message = await refusal(mistaken.TakesRequest)
    assert "request/login" in message
    assert "_request" in message
    assert "'cpu'" in message


async def test_the_live_request_is_fine_where_nothing_is_offloaded() -> None:
    async with serving(mistaken.TakesRequestDisabled) as site:
        assert (await site.get("/request/login")).text == "GET"


async def test_the_live_request_is_fine_on_threads_where_nothing_travels() -> None:
    async with serving(mistaken.TakesRequestOnThreads) as site:
        answer = (await site.get("/request/login")).text
    assert answer == "GET on genro-executor-blocking-0"


async def test_a_pool_for_a_whole_application_leaves_alone_what_is_not_the_users() -> None:
    """The host's own pages need the server, and nobody named a pool for the live request."""
    async with serving(mistaken.PoolForAll, executors={"cpu": {"max_workers": 1}}) as site:
        assert [await site.json("/all/pid")] == site.server.get_executor("cpu").pids
        assert (await site.get("/all/method")).text == f"GET in {os.getpid()}"
        assert "/pid" in (await site.json("/all/_meta/schema_json"))["paths"]
        console = {route.path: route.options.offloaded for route in routes_of(site.server)}
        assert console["poolforall/pid"] is True
        assert console["poolforall/method"] is False
        assert not any(console[path] for path in console if "/_meta/" in path)


async def test_a_pool_for_every_router_leaves_the_hosts_own_application_alone() -> None:
    server = ExecutorServer(
        applications=[mistaken.Fine, (ServerApplication, {"code": "_server"})],
        executors={"cpu": {"max_workers": 1}},
        plugins={"executor": {"pool": "cpu"}},
        plugin_registry={"executor": ExecutorPlugin},
        tasks=False,
    )
    answer = await boot_message(server)
    assert answer["type"] == "lifespan.startup.complete"


async def test_a_timeout_on_threads_is_refused() -> None:
    message = await refusal(mistaken.ThreadTimeout)
    for word in ("slow", "timeout=5", "'blocking'", "abandon_on_timeout"):
        assert word in message
    patient = {"blocking": {"executor_type": "thread", "abandon_on_timeout": True}}
    answer = await boot_message(server_with(mistaken.ThreadTimeout, executors=patient))
    assert answer["type"] == "lifespan.startup.complete"


async def test_a_message_names_the_application_of_every_route() -> None:
    """Two applications may have a route of the same name."""
    message = await refusal(
        mistaken.ThreadTimeout, (mistaken.ThreadTimeout, {"code": "second", "mount": "second"})
    )
    assert "threadtimeout/slow" in message
    assert "second/slow" in message


async def test_all_mistakes_are_told_at_once() -> None:
    message = await refusal(mistaken.EverythingWrong, mistaken.ThreadTimeout, mistaken.Lazy)
    for word in (
        "everythingwrong/report",
        "everythingwrong/section/inner/learn",
        "everythingwrong/login",
        "again",
        "slow",
        "lazy/attic/learn",
    ):
        assert word in message


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"executor_timout": 5}, ["Typo.job", "executor_timout", "timeout"]),
        ({"executor_timeout": "soon"}, ["Typo.job", "executor_timeout='soon'"]),
        ({"executor_on_overload": "wat"}, ["Typo.job", "on_overload", "wait"]),
    ],
)
async def test_an_option_that_is_wrong_stops_the_boot(
    options: dict[str, Any], words: list[str]
) -> None:
    class Typo(RoutedApplication):
        @route(executor="cpu", **options)
        def job(self) -> None: ...

    message = await refusal(Typo)
    for word in words:
        assert word in message


async def test_nothing_is_started_for_a_server_that_does_not_start() -> None:
    server = server_with(mistaken.Fine, mistaken.Undeclared)
    assert (await boot_message(server))["type"] == "lifespan.startup.failed"
    assert all(pool["workers"] == 0 for pool in server.get_executor_metrics())


@pytest.mark.parametrize(
    ("executors", "words"),
    [
        ({"pdf": {"max_worker": 2}}, ["'pdf'", "max_worker", "max_workers"]),
        ({"pdf": {"max_workers": 0}}, ["'pdf'", "max_workers=0"]),
        ({"pdf": {"max_workers": "2"}}, ["'pdf'", "max_workers='2'"]),
        ({"pdf": {"executor_type": "fiber"}}, ["'pdf'", "'fiber'", "thread"]),
        ({"pdf": {"executor_type": "thread", "timeout": 5}}, ["'pdf'", "timeout=5"]),
        ({"pdf": 2}, ["'pdf'", "2"]),
        ({"": {}}, ["name"]),
        ([{"max_workers": 2}], ["name"]),
        ([{"name": "pdf"}, {"name": "pdf"}], ["'pdf'", "twice"]),
        ("pdf", ["'pdf'"]),
        (3, ["3"]),
    ],
)
def test_a_pool_that_is_wrong_is_refused_when_it_is_declared(
    executors: Any, words: list[str]
) -> None:
    with pytest.raises(ExecutorConfigError) as caught:
        server_with(mistaken.Fine, executors=executors)
    for word in words:
        assert word in str(caught.value)


# -- as a program ---------------------------------------------------------------------------------


def test_a_program_with_an_undeclared_pool_ends_and_says_why(tmp_path: Path) -> None:
    program = tmp_path / "site.py"
    program.write_text(
        "from apps.mistaken import Undeclared\n"
        "from genro_executor_plugin import ExecutorServer\n"
        "if __name__ == '__main__':\n"
        "    ExecutorServer(applications=[Undeclared], executors={'pdf': {}}).serve()\n"
    )
    with started(program, cwd=tmp_path) as process:
        assert process.wait() not in (0, None)
        for word in ("undeclared/report", "'pfd'", "'pdf'", "'blocking'"):
            assert word in process.log
        assert not process.left()


@pytest.mark.parametrize("router_wide", [False, True], ids=["", "with a pool for all"])
def test_a_router_that_was_bound_before_the_plugin_came_is_refused(
    tmp_path: Path, router_wide: bool
) -> None:
    """Its ``executor=`` would silently mean nothing."""
    program = tmp_path / "site.py"
    program.write_text(
        host.written(
            "from host import RoutedApplication\n"
            "from genro_routes import RoutingClass, route\n"
            "class Early(RoutingClass):\n"
            "    @route(executor='pdf')\n"
            "    def job(self): ...\n"
            "early = Early()\n"
            "early.route.nodes()\n"
            "from genro_executor_plugin import ExecutorServer\n"
            "class App(RoutedApplication):\n"
            "    mount = 'app'\n"
            "    def __init__(self, **options):\n"
            "        super().__init__(**options)\n"
            "        self.add_branches({'name': 'early', 'instance': early})\n"
        )
        + ("        self.route.plug('executor', pool='cpu')\n" if router_wide else "")
        + "if __name__ == '__main__':\n"
        "    ExecutorServer(applications=[App], executors={'pdf': {}}, tasks=False).serve()\n"
    )
    with started(program, cwd=tmp_path) as process:
        try:
            process.until_it_serves()
        except AssertionError:
            pass
        else:
            pytest.fail("it serves, and the route's pool means nothing")
        assert process.wait() not in (0, None)
        for word in ("app/early/job", "'pdf'", "import"):
            assert word in process.log
