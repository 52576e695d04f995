# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A program whose server has a trouble at its start or its end: ``starting.py <host> <trouble>``.

``host`` is ``server`` for an ``ExecutorServer`` and ``console`` for a stock server with a console.
A worker that ends in order writes its pid to the file ``ended``.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

from genro_routes import route
from grace import give_workers_time_to_end
from host import AsgiServer, FatalBootError, RoutedApplication

from genro_executor_plugin import (
    ExecutorApplication,
    ExecutorConfigError,
    ExecutorConsole,
    ExecutorServer,
)
from genro_executor_plugin.engines.thread import ThreadEngine
from genro_executor_plugin.tasks.store import opened


class OddError(BaseException):
    """What no ``except Exception`` sees, and what does not survive a pickle."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(f"{one} {two}")


class Starting(ExecutorApplication):
    mount = "starting"

    @route(executor="p")
    def pid(self) -> int:
        return os.getpid()


class Fatal(RoutedApplication):
    """Declares that it cannot do without its database."""

    mount = "fatal"

    async def on_startup(self) -> None:
        raise FatalBootError("no database")


class Unroutable(RoutedApplication):
    """Fails when its server first looks at its routes."""

    mount = "unroutable"

    @property
    def route(self) -> Any:
        if self.server is not None:
            raise ZeroDivisionError("no routes today")
        return super().route


class Odd(RoutedApplication):
    """Fails in a way that its host does not live with."""

    mount = "odd"

    async def on_startup(self) -> None:
        raise OddError("not", "today")


class Cancelled(RoutedApplication):
    """Waits for something that was cancelled."""

    mount = "cancelled"

    async def on_startup(self) -> None:
        waiting = asyncio.get_running_loop().create_future()
        waiting.cancel()
        await waiting


class Exits(RoutedApplication):
    """Ends its process as a program does."""

    mount = "exits"

    async def on_startup(self) -> None:
        sys.exit("no licence")


class Interrupted(RoutedApplication):
    mount = "interrupted"

    async def on_startup(self) -> None:
        raise KeyboardInterrupt("enough")


class Plain(RoutedApplication):
    """Fails in a way that a stock server lives with."""

    mount = "plain"

    async def on_startup(self) -> None:
        raise LookupError("no cache")


class PlainSync(RoutedApplication):
    mount = "sync"

    def on_startup(self) -> None:
        raise LookupError("no file")


class OfAnotherKind(RoutedApplication):
    mount = "other"

    @route(executor="mine")
    def work(self) -> None: ...


class Unending(ThreadEngine):
    """A kind of pool whose end fails."""

    name = "mine"

    async def close(self) -> None:
        await super().close()
        raise LookupError("it does not end")


def unmakeable(name: str, **_options: Any) -> Any:
    raise KeyError(f"no device for pool {name}")


def refusing(name: str, **_options: Any) -> Any:
    raise ExecutorConfigError(f"no device for pool {name}")


def odd_initializer() -> None:
    raise OddError("not", "here")


def hang() -> None:
    print("the initializer hangs", flush=True)
    time.sleep(600)


def note_end() -> None:
    with open("ended", "a") as file:
        file.write(f"{os.getpid()}\n")


APPLICATIONS = {
    "cancelled": Cancelled,
    "exits": Exits,
    "fatal": Fatal,
    "interrupted": Interrupted,
    "kind": OfAnotherKind,
    "odd": Odd,
    "plain": Plain,
    "sync": PlainSync,
    "refusing": OfAnotherKind,
    "routes": Unroutable,
    "undeclared": OfAnotherKind,
}
KINDS: dict[str, Any] = {"kind": unmakeable, "refusing": refusing, "end": Unending}


def built(host: str, trouble: str) -> Any:
    """The server, for ``main`` or for a program such as uvicorn."""
    pools: dict[str, Any] = {"p": {"max_workers": 2, "warm": True, "finalizer": note_end}}
    if trouble == "initializer":
        pools["q"] = {"max_workers": 1, "warm": True, "initializer": odd_initializer}
    if trouble == "impatient":
        opened.START_PATIENCE_SECONDS = 0.5
    if trouble.startswith("hangs"):
        seconds = float(trouble.removeprefix("hangs"))
        for options in pools.values():
            options["shutdown_timeout"] = seconds
        pools["q"] = {**pools["p"], "initializer": hang}
    applications: list[Any] = [Starting]
    if trouble in APPLICATIONS:
        applications.append(APPLICATIONS[trouble])
    given: dict[str, Any] = {"executors": pools, "long_tasks": {"path": "jobs"}}
    server: Any
    if host == "server":
        server = ExecutorServer(applications=[ExecutorConsole, *applications], tasks=False, **given)
    else:
        server = AsgiServer(applications=[(ExecutorConsole, given), *applications])
    if trouble in KINDS:
        server.executors.register_factory("mine", KINDS[trouble])
        server.executors.declare("mine", executor_type="mine")
    if trouble == "end":
        server.executors.get("mine")
    return server


def main(host: str, trouble: str) -> None:
    give_workers_time_to_end()
    built(host, trouble).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
