# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""An application whose handlers run on an agent."""

from __future__ import annotations

import logging
from typing import Any

from genro_routes import RoutingClass, route

from genro_executor_plugin import ExecutorApplication


def warn(text: str) -> int:
    logging.getLogger("shop").warning(text)
    return 1


class Cellar(RoutingClass):
    @route(executor="jobs")
    def bottles(self, shelf: int) -> int:
        return shelf * 12


class Shop(ExecutorApplication):
    mount = "shop"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = "corner shop"
        self.greeted = 0
        self.add_branches({"name": "cellar", "instance": Cellar()})

    @route(executor="jobs", executor_timeout=30.0)
    def greet(self, whom: str) -> str:
        self.greeted += 1
        return f"{self.name}: hello {whom}"
