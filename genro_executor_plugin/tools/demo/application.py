# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The example: reports as PDF, made in the pool ``pdf``, and a monitor beside them.

``Reports`` is written as an application of yours could be written. Its routes ``running`` and
``enough`` are there for the demo, which asks for the process of a call while that call still runs.

``Monitor`` tells how late the server's event loop is and what the pools say of themselves. It is
an application of its own, because what it notes every few milliseconds is no part of the
application whose calls travel to workers.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import shutil
import tempfile
import time
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any, Literal

from genro_routes import route
from pydantic import Field

from ...hosts.names import RoutedApplication
from ...serving.application import ExecutorApplication
from . import LIMIT_SECONDS
from .pdf import make_report, sales_of

__all__ = ["Monitor", "Reports"]

_PDF = "application/pdf"
_CALL_NAME = Field(pattern="^[a-z]{1,20}$")
_PRODUCTS = Field(ge=1, le=2000)
_PERIOD_SECONDS = 0.001


class Reports(ExecutorApplication):
    """Sales reports."""

    code = "reports"
    mount: str = ""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.notes: Path = Path()

    def on_startup(self) -> None:
        """Make the folder in which ``/annual`` notes its process."""
        self.notes = Path(tempfile.mkdtemp(prefix="genro-executor-demo-"))

    def on_shutdown(self) -> None:
        """Remove that folder; a call of ``/annual`` that still runs sees it and ends."""
        shutil.rmtree(self.notes, ignore_errors=True)

    @route()
    async def ping(self) -> dict[str, int]:
        """Answer at once, from the event loop."""
        return {"pid": os.getpid()}

    @route(executor="pdf", media_type=_PDF)
    def report(
        self, title: str = "Sales of the year", products: Annotated[int, _PRODUCTS] = 80
    ) -> bytes:
        """Make a report of some pages, which takes some tenths of a second of pure computing."""
        return make_report(title, sales_of(title, products))

    @route(executor="pdf", executor_timeout=LIMIT_SECONDS, media_type=_PDF)
    def endless(self) -> bytes:
        """Make a report that is never done."""
        for edition in count(1):
            make_report(f"Edition {edition}", sales_of("endless", 20))
        raise AssertionError("count() has no end")

    @route(executor="pdf", executor_timeout=60, media_type=_PDF)
    def annual(self, call: Annotated[str, _CALL_NAME]) -> bytes:
        """Work until ``/enough?call=...``; ``/running?call=...`` says in which process."""
        note = self.notes / f"{call}.pid"
        note.with_suffix(".new").write_text(str(os.getpid()), encoding="ascii")
        note.with_suffix(".new").rename(note)  # once the note can be seen, all of it can be read
        enough = self.notes / f"{call}.enough"
        while note.exists() and not enough.exists():
            time.sleep(0.005)
        return make_report(f"Annual report {call}", sales_of(call, 80))

    @route()
    def running(self, call: Annotated[str, _CALL_NAME]) -> dict[str, int | None]:
        """The process in which ``/annual?call=...`` runs, ``null`` when it does not run yet."""
        note = self.notes / f"{call}.pid"
        return {"pid": int(note.read_text(encoding="ascii")) if note.exists() else None}

    @route()
    def enough(self, call: Annotated[str, _CALL_NAME]) -> None:
        """Let ``/annual?call=...`` come to its end."""
        (self.notes / f"{call}.enough").touch()

    @route()
    async def configure(
        self, disabled: bool = False, on_overload: Literal["wait", "fail"] = "wait"
    ) -> dict[str, Any]:
        """Set how ``/report`` is run, from the next call on."""
        return self.router.configure(
            "report", executor_disabled=disabled, executor_on_overload=on_overload
        )


class Monitor(RoutedApplication):
    """Asks the event loop to be woken every millisecond, and notes how late that happens."""

    code = "monitor"
    mount: str = "monitor"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._worst_seconds = 0.0
        self._watch: asyncio.Task[None] | None = None

    # genro-asgi awaits both hooks when they are coroutine functions; its annotations only name the
    # sync form.
    async def on_startup(self) -> None:  # type: ignore[override]
        """Start watching the event loop."""
        # The demo asks hundreds of times a second: it would measure the log lines.
        logging.getLogger("uvicorn.access").setLevel(logging.WARNING)
        # A full collection of everything that was imported holds the loop for some 0.1 s: it would
        # be the worst gap of every measurement, whatever else is measured.
        gc.collect()
        gc.freeze()
        self._watch = asyncio.create_task(self._look())

    async def on_shutdown(self) -> None:  # type: ignore[override]
        """Stop watching the event loop."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.wait([self._watch])

    async def _look(self) -> None:
        while True:
            # The loop's own clock is too coarse: uvloop's counts whole milliseconds.
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
        metrics = {pool["name"]: pool for pool in server.get_executor_metrics()}
        for name, values in metrics.items():
            states = server.get_executor(name).worker_states()
            values["pids"] = sorted(state.pid for state in states if state.pid is not None)
        return {"server_pid": os.getpid(), "pools": metrics}
