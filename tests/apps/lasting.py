# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A program with long jobs, for tests that kill it: ``lasting.py <store> <folder> [settings]``.

Its jobs write down in ``folder`` that they begin, and hold a lock of their own name meanwhile:
a second run of the same job at the same time is written down, too.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

from genro_routes import route

from genro_executor_plugin import (
    ExecutorApplication,
    ExecutorServer,
    cancelled,
    progress,
)


def _write(folder: str, file: str, line: str) -> None:
    descriptor = os.open(Path(folder, file), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{line}\n".encode())
    finally:
        os.close(descriptor)


def work(folder: str, name: str, seconds: float) -> str:
    """Run for ``seconds``, or until there is a file ``<name>.enough``.

    What it returns can be told from what others return.
    """
    enough = Path(folder, f"{name}.enough")
    lock = os.open(Path(folder, f"{name}.lock"), os.O_RDWR | os.O_CREAT)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            _write(folder, "overlaps", name)
        _write(folder, "begun", f"{name} {os.getpid()} {time.time()}")
        end = time.monotonic() + seconds
        while time.monotonic() < end and not cancelled() and not enough.exists():
            progress((time.monotonic() - end + seconds) / seconds if seconds else 1.0, "working")
            time.sleep(min(0.01, seconds))
        return f"done {name}"
    finally:
        os.close(lock)


class Lasting(ExecutorApplication):
    """Submits ``work``, and tells of it."""

    mount = "lasting"
    folder = ""

    def on_startup(self) -> None:
        logging.getLogger("uvicorn.access").disabled = True  # nobody reads what it would fill

    @route(executor="jobs", executor_background=True)
    def background(self, name: str, seconds: float = 0.0) -> str:
        return work(self.folder, name, seconds)

    @route()
    async def repeatable(self, name: str, seconds: float = 0.0) -> dict[str, Any]:
        tasks = self.tasks.options(repeatable=True, key=name)
        return {"task_id": await tasks.submit(work, self.folder, name, seconds)}

    @route()
    async def once(self, name: str, seconds: float = 0.0) -> dict[str, Any]:
        tasks = self.tasks.options(key=name)
        return {"task_id": await tasks.submit(work, self.folder, name, seconds)}

    @route()
    async def jobs(self) -> dict[str, Any]:
        """Every job there is."""
        found = await self.tasks.list(limit=100_000)
        return {"jobs": [{"id": job.task_id, **job.as_dict()} for job in found]}

    @route()
    async def outcome(self, task_id: str) -> dict[str, Any]:
        return {"result": await self.tasks.result(task_id)}

    @route()
    async def cancel(self, task_id: str) -> dict[str, Any]:
        return {"state": (await self.tasks.cancel(task_id)).state.value}


def main(store: str, folder: str, settings: str = "{}") -> None:
    Lasting.folder = folder
    server = ExecutorServer(
        applications=[Lasting],
        executors={"jobs": {"max_workers": 2}},
        long_tasks={"path": store, "pool": "jobs", **json.loads(settings)},
        tasks=False,
        auth={"basic": {"ann": {"password": "secret"}}},
    )
    server.serve(port=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
