# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""An application whose routes are profiled."""

from __future__ import annotations

import time
from typing import Any

from genro_routes import RoutingClass, route
from host import RoutedApplication
from profiled import cold, computes, hot


class Part(RoutingClass):
    """A section that is mounted twice."""

    def __init__(self, work: str = "") -> None:
        self.work = work

    @route(executor="cpus")
    def run(self) -> int:
        return hot() if self.work == "hot" else cold() + bool(time.sleep(0.01))


class Bench(RoutedApplication):
    """An application whose routes are profiled."""

    mount = "bench"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.add_branches({"name": "one", "instance": Part("hot")})
        self.add_branches({"name": "two", "instance": Part()})

    @route(executor="cpus")
    def compute(self) -> int:
        return computes()

    @route()
    async def here(self) -> str:
        return "here"
