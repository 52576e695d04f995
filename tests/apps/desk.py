# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Routes of every shape that a router has: sections, nested ones, lazy branches, aliases."""

from __future__ import annotations

import os
import threading
from typing import Any

from genro_routes import RoutingClass, route
from host import McpOpenApiApplication, RoutedApplication
from worker_functions import hold

from genro_executor_plugin import ExecutorApplication


def where() -> dict[str, Any]:
    """Where the caller runs."""
    return {"pid": os.getpid(), "thread": threading.current_thread().name}


class Box(RoutingClass):
    """A section of a section."""

    @route(executor="pdf")
    def deep(self) -> dict[str, Any]:
        return where()


class Drawer(RoutingClass):
    """A section."""

    def __init__(self) -> None:
        self.box = Box()
        self.add_branches({"name": "box", "instance": self.box})

    @route(executor="pdf")
    def papers(self) -> dict[str, Any]:
        return where()

    @route(executor="pdf")
    async def letters(self) -> dict[str, Any]:
        return where()

    @route()
    def here(self) -> dict[str, Any]:
        return where()


class Attic(RoutingClass):
    """A lazy branch: built by the first request for it."""

    def __init__(self, label: str) -> None:
        self.label = label

    @route(executor="pdf")
    def trunk(self) -> dict[str, Any]:
        return {**where(), "label": self.label}


class Desk(RoutedApplication):
    """An application with all of it."""

    mount = "desk"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.drawer = Drawer()
        self.add_branches(
            [
                {"name": "drawer", "instance": self.drawer},
                {"name": "attic", "cls": Attic, "params": {"label": "dusty"}},
                {"name": "shortcut", "alias": "drawer/box"},
            ]
        )
        self.route.include(self.drawer.route.node("papers"), name="papers_on_top")
        self.route.include(self.drawer.box.route, name="second_way")

    @route(executor="pdf")
    def report(self, title: str = "", pages: int = 1) -> dict[str, Any]:
        return {**where(), "title": title, "pages": pages}

    @route(executor="pdf")
    async def report_async(self, title: str = "") -> dict[str, Any]:
        return {**where(), "title": title}

    @route()
    def plain(self) -> dict[str, Any]:
        return where()

    @route()
    async def plain_async(self) -> dict[str, Any]:
        return where()

    @route(executor="pdf", name="first_name")
    @route(executor="pdf", name="second_name")
    def twice(self) -> dict[str, Any]:
        return where()


class Place(RoutingClass):
    """A section whose routes say where they run; its pool comes from its router, if at all."""

    def __init__(self, **options: Any) -> None:
        if options:
            self.route.plug("executor", **options)

    @route()
    def at(self) -> str:
        return threading.current_thread().name

    @route()
    async def at_async(self) -> str:
        return threading.current_thread().name


class Places(ExecutorApplication):
    """An application whose pool is named by its router."""

    mount = "places"

    def __init__(self, pool: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.before = Place()
        self.own = Place(pool="own")
        self.add_branches({"name": "before", "instance": self.before})
        self.add_branches({"name": "own", "instance": self.own})
        if pool is not None:
            self.route.plug("executor", pool=pool)
        self.after = Place()
        self.stays = Place(pool=None)
        self.add_branches({"name": "after", "instance": self.after})
        self.add_branches({"name": "stays", "instance": self.stays})
        self.add_branches({"name": "later", "cls": Place})
        self.below = Place()
        self.after.add_branches({"name": "below", "instance": self.below})

    @route()
    def at(self) -> str:
        return threading.current_thread().name

    @route(executor="own")
    def at_own(self) -> str:
        return threading.current_thread().name

    @route(executor_disabled=True)
    def at_home(self) -> str:
        return threading.current_thread().name

    @route(executor_pool=None)
    def at_none(self) -> str:
        return threading.current_thread().name


class Surface(McpOpenApiApplication):
    """Handlers that are looked at from outside: schema, tools, tree, command line."""

    mount = "surface"

    @route(executor="pdf", channel_channels="mcp,rest", openapi_tags="reports")
    def make(self, title: str, pages: int = 1, wide: bool = False) -> dict[str, Any]:
        """Make a report.

        With pages.
        """
        return {"title": title, "pages": pages, "wide": wide, "pid": os.getpid()}

    @route(executor="pdf", channel_channels="mcp,rest")
    async def make_async(self, title: str) -> list[str]:
        """Make it on a loop."""
        return [title, str(os.getpid())]

    @route(executor="pdf", channel_channels="mcp,rest", media_type="text/plain")
    def undeclared(self, *parts, sep=", ", **more):  # type: ignore[no-untyped-def]
        return sep.join(parts)

    @route(executor="pdf", auth_rule="admin")
    def guarded(self, data: dict[str, Any]) -> dict[str, Any]:
        return data


class Chores(RoutedApplication):
    """Handlers that tasks and the scheduler call."""

    mount = "chores"

    @route(executor="pdf")
    def sweep(self, gate: str) -> dict[str, Any]:
        return {"said": hold(gate), "pid": os.getpid()}

    @route(executor="pdf", task="nightly")
    def nightly(self, gate: str) -> str:
        return str(hold(gate))

    @route(executor="pdf", task="nightly_async")
    async def nightly_async(self, gate: str) -> str:
        return str(hold(gate))


class Console(RoutingClass):
    """A service for the command line, with no server anywhere."""

    def __init__(self) -> None:
        self.route.plug("executor", pool="pdf")

    @route()
    def say(self, word: str, times: int = 1) -> str:
        """Say it."""
        return f"{word * times} {os.getpid()}"

    @route()
    async def say_async(self, word: str) -> str:
        return f"{word} {os.getpid()}"
