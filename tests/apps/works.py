# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A site with work of every kind, for the console to show: quick, slow, failing, crashing."""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from genro_routes import RoutingClass, route
from host import RoutedApplication
from worker_functions import hold

LIMIT = 10


class Invoices(RoutingClass):
    """A section."""

    @route(executor="pdf", executor_timeout=20.0)
    def render(self, number: int = 1) -> dict[str, Any]:
        return {"pid": os.getpid(), "sum": sum(range(number * 1000))}


class Works(RoutedApplication):
    """An application whose routes run in pools."""

    mount = "works"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_branches({"name": "invoices", "instance": Invoices()})

    @route(executor="pdf")
    def report(self, pages: int = 1) -> dict[str, Any]:
        return {"pid": os.getpid(), "sum": sum(range(pages * 1000))}

    @route(executor="pdf")
    def hold(self, path: str) -> str:
        return str(hold(path))

    @route(executor="pdf")
    def fail(self, secret: str = "") -> None:
        raise ValueError("the page has no margins")

    @route(executor="pdf")
    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    @route(executor="db", executor_on_overload="fail")
    def query(self, seconds: float = 0.0) -> str:
        time.sleep(min(seconds, LIMIT))
        return "done"

    @route()
    async def ping(self) -> str:
        return "pong"
