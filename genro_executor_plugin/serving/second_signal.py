# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A second signal hurries: a server that is leaving already ends what runs in its pools at once.

genro-asgi calls ``start_leaving`` from the handler of every signal, and once from its lifespan.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from ..executors.registry import ExecutorRegistry

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
