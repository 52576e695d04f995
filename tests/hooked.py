# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

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
