# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A class with a worker shutdown hook, in a module that a worker imports in no time."""

from __future__ import annotations

import os

from genro_routes import RoutingClass
from strikes import strike


class Hooked(RoutingClass):
    """Its replica strikes at the end of its worker."""

    def __init__(self, gate: str, way: str) -> None:
        self.gate, self.way = gate, way

    def on_worker_shutdown(self) -> None:
        strike(self.gate, self.way)

    def pid(self) -> int:
        return os.getpid()

    async def pid_async(self) -> int:
        return os.getpid()
