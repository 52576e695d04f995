# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""An application with long jobs, its users, and requests made as one of them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import task_functions as tf
from genro_routes import route
from host import HTTPException, RoutedApplication
from servers import Site, serving
from worker_functions import hold

from genro_executor_plugin import ExecutorApplication, cancelled, progress
from genro_executor_plugin.tasks.http.routes import TaskSection

ANN, BOB, ROOT = ("ann", "a"), ("bob", "b"), ("root", "r")

USERS = {
    "basic": {
        "ann": {"password": "a"},
        "bob": {"password": "b"},
        "root": {"password": "r", "tags": "SERVER_ADMIN"},
    }
}


class Press(ExecutorApplication):
    mount = "press"

    @route(executor="jobs", executor_background=True)
    def book(self, title: str, pages: int = 1) -> dict[str, Any]:
        progress(1.0, f"bound {title}")
        return {"title": title, "pages": pages}

    @route(executor="jobs", executor_background=True, media_type="application/pdf")
    def cover(self) -> bytes:
        return b"%PDF-1.7"

    @route(executor="jobs", executor_background=True)
    def held(self, gate: str) -> str:
        progress(0.25, "at the gate")
        hold(gate)
        return "released"

    @route(executor="jobs", executor_background=True)
    def stubborn(self, gate: str) -> str:
        hold(gate)
        while not cancelled():
            time.sleep(0.005)
        return "stopped"

    @route(executor="jobs", executor_background=True)
    def broken(self) -> None:
        raise LookupError("no ink")

    @route(executor="jobs", executor_background=True)
    def sold_out(self) -> None:
        raise HTTPException(410, "sold out")

    @route()
    async def submitted(self) -> dict[str, Any]:
        return {"task_id": await self.tasks.submit(tf.add, 1, 2)}

    @route()
    def submitted_in_a_thread(self) -> dict[str, Any]:
        return {"task_id": self.tasks.submit(tf.add, 1, 2)}


class Office(RoutedApplication):
    """Mounts the routes as a section of its own."""

    mount = "office"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_branches({"name": "tasks", "instance": TaskSection()})


@asynccontextmanager
async def press(tmp_path: Path, *, kind: str = "process", **options: Any) -> AsyncIterator[Site]:
    """A server whose jobs run in a pool of ``kind``: threads need no imports and are there soon."""
    options.setdefault("auth", USERS)
    settings = {"path": tmp_path / "store", "cancel_grace": 10.0, "shutdown_timeout": 0.2}
    executors = {"jobs": {"executor_type": kind, "max_workers": 2, "shutdown_timeout": 1.0}}
    async with serving(
        Press, Office, executors=executors, long_tasks={**settings, "pool": "jobs"}, **options
    ) as site:
        yield site


async def ask(
    site: Site, method: str, url: str, who: tuple[str, str] | None = ANN, **options: Any
) -> httpx.Response:
    site.client.cookies.clear()  # who is asking is told by ``who`` alone
    return await site.client.request(method, url, auth=who or httpx.USE_CLIENT_DEFAULT, **options)
