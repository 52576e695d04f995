# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The example: reports as PDF, made in the pool ``pdf``.

It is written as an application of yours could be written. ``running`` and ``enough`` are there
for the demo, which wants to know the process of a call while that call still runs.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal

from genro_routes import route
from pydantic import Field

from ...serving.application import ExecutorApplication
from .pdf import make_report, sales_of
from .settings import LIMIT_SECONDS

__all__ = ["Reports"]

_PDF = "application/pdf"
_CALL_NAME = Field(pattern="^[a-z]{1,20}$")
_PRODUCTS = Field(ge=1, le=2000)


class Reports(ExecutorApplication):
    """Sales reports."""

    code = "reports"
    mount = ""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.notes = Path()

    def on_startup(self) -> None:
        """Make the folder in which ``/annual`` notes its process."""
        self.notes = Path(tempfile.mkdtemp(prefix="genro-executor-demo-"))

    def on_shutdown(self) -> None:
        """Remove it; calls that still run in a worker see that, and come to their end."""
        shutil.rmtree(self.notes, ignore_errors=True)

    @route()
    async def ping(self) -> dict[str, int]:
        """Answer at once, from the event loop."""
        return {"pid": os.getpid()}

    @route(executor="pdf", media_type=_PDF)
    def report(
        self, title: str = "Sales of the year", products: Annotated[int, _PRODUCTS] = 80
    ) -> bytes:
        """Make a report of some pages: tenths of a second of pure computing."""
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
        note.with_suffix(".new").rename(note)  # whoever sees the note sees all of it
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
