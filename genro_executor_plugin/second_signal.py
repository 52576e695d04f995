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

"""A second signal hurries: a server that is leaving already ends what runs in its pools at once.

genro-asgi calls ``start_leaving`` from the handler of every signal, and once from its lifespan.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from .registry import ExecutorRegistry

__all__ = ["SecondSignal"]


class SecondSignal:
    """Tells the second signal from the first, and from the end of the lifespan."""

    def __init__(self, registry: ExecutorRegistry) -> None:
        self._registry = registry
        self._lifespan_ends = False

    def lifespan_ends(self) -> None:
        """The next call of ``start_leaving`` is the lifespan's own."""
        self._lifespan_ends = True

    def leaving(self, server: Any) -> None:
        """``server`` was told to leave; it is called before its state turns."""
        uvicorn_server = getattr(server, "uvicorn_server", None)
        if self._lifespan_ends:
            self._lifespan_ends = False
        elif uvicorn_server is not None and uvicorn_server.should_exit:
            # A signal's handler runs on the thread of the event loop, in the middle of anything.
            with suppress(RuntimeError):
                asyncio.get_running_loop().call_soon_threadsafe(self._registry.hurry)
