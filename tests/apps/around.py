# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Plugins that stand around a call, and routes for them to stand around."""

from __future__ import annotations

import inspect
import os
import threading
import time
from contextvars import ContextVar
from typing import Any

from genro_routes import Router, RoutingClass, route
from genro_routes.plugins import BasePlugin
from host import OpenAPIPlugin, RoutedApplication
from worker_functions import hold

from genro_executor_plugin import ExecutorApplication

REQUEST_ID: ContextVar[str] = ContextVar("REQUEST_ID", default="none")


class Doubling(BasePlugin):
    """Works on the result, as a plugin does that adds something to every answer."""

    plugin_code = "doubling"
    plugin_description = "Adds to a number that is called 'number'"

    def configure(self, enabled: bool = True, by: int = 2) -> None:  # type: ignore[override]
        """How much to multiply by."""

    def wrap_handler(self, router: Any, entry: Any, call_next: Any) -> Any:
        def doubled(*args: Any, **kwargs: Any) -> Any:
            result = call_next(*args, **kwargs)
            by = self.configuration(entry.name).get("by", 2)
            return {**result, "number": result["number"] * by, "post_pid": os.getpid()}

        return doubled


class Counting(BasePlugin):
    """Counts calls and says when each began and ended, and where, and in which context."""

    plugin_code = "counting"
    plugin_description = "Counts calls"

    def __init__(self, router: Any, **config: Any) -> None:
        self.calls: list[dict[str, Any]] = []
        super().__init__(router, **config)

    def configure(self, enabled: bool = True) -> None:  # type: ignore[override]
        """Nothing to say."""

    def wrap_handler(self, router: Any, entry: Any, call_next: Any) -> Any:
        def counted(*args: Any, **kwargs: Any) -> Any:
            call = {
                "name": entry.name,
                "pid": os.getpid(),
                "thread": threading.current_thread().name,
                "context": REQUEST_ID.get(),
                "began": time.monotonic(),
            }
            self.calls.append(call)
            result = call_next(*args, **kwargs)
            call["result"] = result
            call["ended"] = time.monotonic()
            return result

        return counted


class Guarding(BasePlugin):
    """Answers some calls by itself: the handler is never called."""

    plugin_code = "guarding"
    plugin_description = "Answers calls with number 0"

    def configure(self, enabled: bool = True) -> None:  # type: ignore[override]
        """Nothing to say."""

    def wrap_handler(self, router: Any, entry: Any, call_next: Any) -> Any:
        def guarded(*args: Any, **kwargs: Any) -> Any:
            if kwargs.get("number") == 0:
                return {"number": 0, "pid": os.getpid()}
            try:
                return call_next(*args, **kwargs)
            except LookupError as error:
                return {"number": -1, "caught": str(error)}

        return guarded


class Retrying(BasePlugin):
    """Calls the handler twice."""

    plugin_code = "retrying"
    plugin_description = "Calls everything twice"

    def configure(self, enabled: bool = True) -> None:  # type: ignore[override]
        """Nothing to say."""

    def wrap_handler(self, router: Any, entry: Any, call_next: Any) -> Any:
        def twice(*args: Any, **kwargs: Any) -> Any:
            first = call_next(*args, **kwargs)
            second = call_next(*args, **kwargs)
            return {"number": first["number"] + second["number"], "pid": second["pid"]}

        return twice


class Reading(BasePlugin):
    """Looks at what it stands around, as a plugin does that caches by arguments."""

    plugin_code = "reading"
    plugin_description = "Reads names and signatures"

    def __init__(self, router: Any, **config: Any) -> None:
        self.seen: list[tuple[str, list[str]]] = []
        super().__init__(router, **config)

    def configure(self, enabled: bool = True) -> None:  # type: ignore[override]
        """Nothing to say."""

    def wrap_handler(self, router: Any, entry: Any, call_next: Any) -> Any:
        def reading(*args: Any, **kwargs: Any) -> Any:
            self.seen.append((call_next.__name__, list(inspect.signature(call_next).parameters)))
            return call_next(*args, **kwargs)

        return reading


for plugin in (Doubling, Counting, Guarding, Retrying, Reading, OpenAPIPlugin):
    Router.register_plugin(plugin)


def answer(number: int) -> dict[str, Any]:
    return {"number": number, "pid": os.getpid(), "at": time.monotonic()}


class Middle(RoutingClass):
    """What the plugins of ``order`` stand around."""

    def __init__(self, order: tuple[str, ...] = ()) -> None:
        for name in order:
            self.route.plug(name, **({"pool": "pdf"} if name == "executor" else {}))

    @route()
    def sync(self, number: int) -> dict[str, Any]:
        return answer(number)

    @route()
    async def coro(self, number: int) -> dict[str, Any]:
        return answer(number)

    @route()
    def lost(self, number: int) -> dict[str, Any]:
        raise LookupError(f"no number {number}")

    @route(auth_rule="admin")
    def secret(self, number: int) -> dict[str, Any]:
        return answer(number)


class Onion(RoutedApplication):
    """One section for every order of plugins."""

    mount = "onion"

    def __init__(self, orders: list[tuple[str, ...]], **options: Any) -> None:
        super().__init__(**options)
        self.sections = {"-".join(order): Middle(order) for order in orders}
        for name, section in self.sections.items():
            self.add_branches({"name": name, "instance": section})


class Cleaned(ExecutorApplication):
    """Says where its handlers ran, and where the cleanup after them."""

    mount = "cleaned"

    def __init__(self, plugins: tuple[str, ...] = (), **options: Any) -> None:
        super().__init__(**options)
        for name in plugins:
            self.route.plug(name)
        self.cleanups: list[tuple[int, int]] = []

    def route_cleanup(self) -> None:
        self.cleanups.append((os.getpid(), threading.get_ident()))

    def _answer(self, number: int) -> dict[str, Any]:
        return {
            "number": number,
            "pid": os.getpid(),
            "thread": threading.current_thread().name,
            "ident": threading.get_ident(),
            "context": REQUEST_ID.get(),
            "cleanups": list(self.cleanups),
        }

    @route(executor="pdf")
    def sync(self, number: int = 1) -> dict[str, Any]:
        return self._answer(number)

    @route(executor="pdf")
    async def coro(self, number: int = 1) -> dict[str, Any]:
        return self._answer(number)

    @route(executor="pdf")
    def failing(self) -> None:
        raise RuntimeError("in vain")

    @route(executor="pdf")
    def held(self, gate: str, number: int = 1) -> dict[str, Any]:
        hold(gate)
        return {"number": number}

    @route()
    def plain(self) -> dict[str, Any]:
        return {"pid": os.getpid()}
