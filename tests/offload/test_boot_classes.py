# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Classes of applications that no worker finds by name: they travel, or the server does not start.

Also what a bypassed pool says of ``self``, and what ``check`` sees of globals.
"""

from __future__ import annotations

import importlib.util
import sqlite3
import sys
import types
from contextlib import closing
from pathlib import Path
from typing import Any

import host
import pytest
from apps import shapes
from genro_routes import route
from host import RoutedApplication
from servers import boot_message, built

from genro_executor_plugin import ExecutorServer, SerializationError
from genro_executor_plugin.cli.changed_globals import changed_globals

P: dict[str, Any] = {"p": {"max_workers": 1}}


def made_by_a_factory(held: Any) -> Any:
    class Local(RoutedApplication):
        mount = "local"

        @route(executor="p")
        def get(self) -> int:
            return 1

        @route()
        def other(self) -> Any:
            return held

    return Local


async def test_a_class_of_a_factory_travels_by_value() -> None:
    async with built(made_by_a_factory(3), executors=P) as server:
        assert await server.applications["local"].route.node("get")() == 1


async def test_a_class_that_cannot_travel_stops_the_start() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        cls = made_by_a_factory(connection)
        said = await boot_message(ExecutorServer(applications=[cls], executors=P, tasks=False))
    assert said["type"] == "lifespan.startup.failed"
    assert "has no name under which a worker finds it" in said["message"]
    assert "Define it at the top level of a module" in said["message"]


async def test_a_class_of_a_module_that_code_has_made_stops_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = types.ModuleType("made_of_code")
    monkeypatch.setitem(sys.modules, "made_of_code", module)
    exec(SHOP, module.__dict__)
    said = await boot_message(ExecutorServer(applications=[module.Shop], executors=P, tasks=False))
    assert "the module 'made_of_code' is made by code" in said["message"]


SHOP = host.written("""
from host import RoutedApplication
from genro_routes import route

class Shop(RoutedApplication):
    mount = "shop"

    @route(executor="p")
    def get(self) -> int:
        return 1
""")


async def test_a_module_that_was_loaded_by_path_under_a_dotted_name_is_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "shop.py"
    file.write_text(SHOP)
    spec = importlib.util.spec_from_file_location("absent_plugins.deep.shop", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    async with built(module.Shop, executors=P) as server:
        assert await server.applications["shop"].route.node("get")() == 1


class CatchAll(RoutedApplication):
    mount = "catch"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return lambda: f"called {name}"

    @route(executor="p")
    def get(self) -> str:
        return str(self.whatever())


async def test_a_class_that_answers_to_every_name_travels() -> None:
    async with built(CatchAll, executors=P) as server:
        (app,) = (app for app in server.applications.values() if isinstance(app, CatchAll))
        assert await app.route.node("get")() == "called whatever"


class Bypassed(RoutedApplication):
    mount = "bypassed"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.db = shapes.connection()
        self.opened: Any = None
        self.count = 0

    def on_worker_startup(self) -> None:
        self.opened = 1

    @route(executor="p")
    def uses(self, what: str) -> Any:
        self.count += 1
        return str(getattr(self, what).total_changes if what == "db" else getattr(self, what))


@pytest.mark.parametrize("bypass", [True, False])
async def test_a_bypassed_pool_has_of_self_what_a_worker_has(bypass: bool) -> None:
    executors = {"p": {"max_workers": 1, "bypass": bypass}}
    async with built(Bypassed, executors=executors) as server:
        uses = server.applications["bypassed"].route.node("uses")
        with pytest.raises(SerializationError, match=r"Bypassed\.db cannot travel"):
            await uses(what="db")
        with pytest.raises(SerializationError, match="the server is not in the worker"):
            await uses(what="server")
        assert await uses(what="mount") == "bypassed"
        assert server.applications["bypassed"].count == (3 if bypass else 0)


def test_globals_that_a_module_changes_are_seen(tmp_path: Path) -> None:
    file = tmp_path / "counting_globals.py"
    file.write_text("COUNT = 0\n\ndef bump():\n    global COUNT\n    COUNT += 1\n")
    spec = importlib.util.spec_from_file_location("counting_globals", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (said,) = changed_globals([module])
    assert said.startswith(f"{file}:4: bump() changes the global COUNT")
