# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Offloading that was probably meant and does not happen is told when a server starts."""

from __future__ import annotations

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import host
import pytest
from apps import doubtful
from host import AsgiServer, BaseServer
from programs import run_program
from servers import boot_message, serving

from genro_executor_plugin import ExecutorConfigError, ExecutorServer
from genro_executor_plugin.cli import main

LOGGER = "genro_executor_plugin"
PDF = {"pdf": {"max_workers": 1}}


def server_with(*applications: Any, **options: Any) -> ExecutorServer:
    return ExecutorServer(applications=list(applications), executors=PDF, tasks=False, **options)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == LOGGER and record.levelno == logging.WARNING
    ]


@pytest.mark.parametrize(
    ("route", "written", "cure"),
    [
        ("executer", "executer='pdf'", "write executor='pdf'"),
        ("pool", "pool='pdf'", "write executor='pdf'"),
        ("timeout", "timeout=5", "write executor_timeout=5"),
        ("lonely", "executor_timeout=5", "add executor=..."),
        ("executors", "executors_timeout=5", "write executor_timeout=5"),
    ],
)
async def test_an_option_that_does_nothing_is_told_with_its_cure(
    caplog: pytest.LogCaptureFixture, route: str, written: str, cure: str
) -> None:
    await boot_message(server_with(doubtful.Misspelt))
    (warning,) = (text for text in warnings_in(caplog) if f"misspelt/{route} " in text)
    assert "doubtful.py:" in warning
    assert written in warning
    assert warning.endswith(cure)


async def test_what_only_looks_doubtful_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    await boot_message(server_with(doubtful.Right, doubtful.Named))
    assert warnings_in(caplog) == []


async def test_a_strict_server_does_not_start_with_doubts() -> None:
    answer = await boot_message(server_with(doubtful.Misspelt, strict=True))
    assert answer["type"] == "lifespan.startup.failed"
    assert "write executor='pdf'" in answer["message"]
    answer = await boot_message(server_with(doubtful.Right, strict=True))
    assert answer["type"] == "lifespan.startup.complete"


def test_strict_is_true_or_false() -> None:
    with pytest.raises(ExecutorConfigError, match="strict='yes'"):
        server_with(strict="yes")


async def test_a_stock_server_whose_routes_name_pools_says_that_it_has_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    await boot_message(AsgiServer(applications=[doubtful.Named, doubtful.Misspelt], tasks=False))
    (warning,) = warnings_in(caplog)
    assert "named/invoice (pool 'pdf')" in warning
    assert "misspelt/timeout (pool 'pdf')" in warning
    assert "ExecutorServer" in warning


async def test_a_stock_server_with_the_plugin_and_without_pools_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    server = AsgiServer(applications=[doubtful.Named], plugins={"executor": {}}, tasks=False)
    await boot_message(server)
    (warning,) = warnings_in(caplog)
    assert "named/invoice (pool 'pdf')" in warning


async def test_a_stock_server_without_such_routes_says_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Plain(doubtful.RoutedApplication):
        mount = "plain"

    await boot_message(AsgiServer(applications=[Plain], tasks=False))
    assert warnings_in(caplog) == []


def test_the_bare_server_of_a_remote_application_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """Its process starts the application by itself, and no server."""
    BaseServer(applications=[doubtful.Named()])
    (warning,) = warnings_in(caplog)
    assert "named/invoice (pool 'pdf')" in warning


def test_a_recipe_full_of_pools_on_a_stock_server_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.py").write_text(
        "from genro_executor_plugin import ExecutorConfigBuilder\n"
        "class ServerConfiguration(ExecutorConfigBuilder):\n"
        "    def main(self, root):\n"
        "        root.configuration().executors().pool(code='pdf', max_workers=1)\n"
    )
    shown = run_program(
        "-c",
        host.written(
            "import asyncio, logging, sys\n"
            "logging.basicConfig(stream=sys.stdout)\n"
            "from host import AsgiServer\n"
            f"server = AsgiServer(config={str(tmp_path / 'config.py')!r})\n"
            "async def start():\n"
            "    await server.lifespan.startup()\n"
            "    await server.lifespan.shutdown()\n"
            "asyncio.run(start())\n"
        ),
    )
    assert "section 'executors', but a AsgiServer has none" in shown


@pytest.mark.parametrize("first", ["genro_routes", "genro_executor_plugin"])
def test_importing_the_package_registers_the_plugin_whichever_is_imported_first(
    first: str,
) -> None:
    other = {"genro_routes": "genro_executor_plugin"}.get(first, "genro_routes")
    shown = run_program(
        "-c",
        f"import {first}, {other}, sys\n"
        "from genro_routes import Router, RoutingClass, route\n"
        "class Section(RoutingClass):\n"
        "    @route(executor='pdf')\n"
        "    def mean(self): ...\n"
        "section = Section()\n"
        "section.route.nodes()\n"
        "section.route.plug('executor')\n"
        "print(section.route.node('mean').metadata.get('executor'),"
        " type(next(iter(section.route.iter_plugins()))).__name__)\n",
    )
    assert shown.split() == ["None", "ExecutorPlugin"]


def test_check_tells_doubts_and_counts_them_when_strict(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    application = tmp_path / "misspelt_shop.py"
    application.write_text(
        host.written(
            "from host import RoutedApplication\n"
            "from genro_routes import route\n"
            "class Shop(RoutedApplication):\n"
            "    mount = 'shop'\n"
            "    @route(executer='cpu')\n"
            "    def report(self): ...\n"
        )
    )
    monkeypatch.chdir(tmp_path)
    target = f"application={application}:Shop"
    assert main(["check", target]) == 0
    assert "Warning: route shop/report" in capsys.readouterr().out
    assert main(["check", "--strict", "--json", target]) == 1
    document = json.loads(capsys.readouterr().out)
    assert not document["ok"]
    assert "write executor='cpu'" in document["warnings"][0]


# -- tools -----------------------------------------------------------------------------------------


def call(tool: str) -> dict[str, Any]:
    return {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": tool, "arguments": {}},
    }


@pytest.mark.parametrize(("application", "path"), [("Mcp", "/mcp"), ("Both", "/both/mcp")])
async def test_tools_run_in_their_pool_and_their_clients_get_a_stable_text(
    application: str, path: str
) -> None:
    async with serving(getattr(doubtful, application), executors=PDF) as site:
        result = (await site.post(path, call("where"))).json()["result"]
        assert result["structuredContent"]["pid"] != os.getpid()
        answer = (await site.post(path, call("dies"))).json()
        assert answer["error"]["message"] == "Internal Server Error"
        answer = (await site.post(path, call("refuses"))).json()
        assert answer["error"]["message"] == "an error of the tool itself"


async def test_an_undeclared_pool_of_a_tool_stops_the_start() -> None:
    answer = await boot_message(server_with(doubtful.McpOfNoPool))
    assert answer["type"] == "lifespan.startup.failed"
    assert f"mcpofnopool/{host.TOOLS}where" in answer["message"]
    assert "'nowhere'" in answer["message"]


def test_the_routes_of_tools_are_configured_and_listed_like_any_other() -> None:
    server = server_with(doubtful.Mcp)
    server.arm_tools()
    assert sys.modules[LOGGER] is not None
    from genro_executor_plugin.routing.tree import routes_of

    tools = {f"mcp/{host.TOOLS}{name}" for name in ("where", "dies", "refuses")}
    assert tools <= {route.path for route in routes_of(server)}
