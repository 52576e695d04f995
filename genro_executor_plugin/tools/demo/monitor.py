# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How late the server's event loop is, and what its pools say of themselves.

An application of its own: what it notes every few milliseconds is no part of the application
whose calls travel to workers.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from time import perf_counter
from typing import Any

from genro_routes import route

from ...hosts.names import RoutedApplication

__all__ = ["Monitor"]

_PERIOD_SECONDS = 0.001


class Monitor(RoutedApplication):
    """Asks the event loop to be woken every millisecond, and notes how late that happens."""

    code = "monitor"
    mount = "monitor"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._worst_seconds = 0.0
        self._watch: asyncio.Task[None] | None = None

    # genro-asgi awaits both hooks when they are coroutine functions; its annotations are the sync
    # ones.
    async def on_startup(self) -> None:  # type: ignore[override]
        """Begin to watch."""
        # The demo asks hundreds of times a second: a log line for each would be what it measures.
        logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
        # A full collection over all that was imported takes the loop for some 0.1 s: it would be
        # the worst gap of every measurement, whatever else is measured.
        gc.collect()
        gc.freeze()
        self._watch = asyncio.create_task(self._look())

    async def on_shutdown(self) -> None:  # type: ignore[override]
        """Watch no longer."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])

    async def _look(self) -> None:
        while True:
            # Not the loop's own time: uvloop tells it in whole milliseconds, as of the last turn.
            due = perf_counter() + _PERIOD_SECONDS
            await asyncio.sleep(_PERIOD_SECONDS)
            self._worst_seconds = max(self._worst_seconds, perf_counter() - due)

    @route()
    async def gap(self, reset: bool = False) -> dict[str, float]:
        """The longest time for which the event loop did nothing, since the last ``reset``."""
        worst = self._worst_seconds
        if reset:
            self._worst_seconds = 0.0
        return {"worst_ms": round(worst * 1000, 2)}

    @route()
    async def pools(self) -> dict[str, Any]:
        """The metrics of every pool, and the processes of its workers."""
        server: Any = self.server
        metrics: dict[str, dict[str, Any]] = server.get_executor_metrics()
        for name, values in metrics.items():
            values["pids"] = sorted(getattr(server.get_executor(name), "pids", ()))
        return {"server_pid": os.getpid(), "pools": metrics}
