# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""genro-asgi's own batch tasks and schedules, in the pools of their routes."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from conftest import Gate
from genro_routes import route
from host import new_descriptor
from servers import Site, serving, until, until_answered
from worker_functions import hold

from genro_executor_plugin import (
    ExecutorApplication,
    TaskNotFoundError,
    cancelled,
    progress,
)


class Mill(ExecutorApplication):
    mount = "mill"

    @route(executor="jobs")
    def grind(self, gate: str) -> int:
        progress(0.5, "grinding", sacks=3)
        hold(gate)
        return os.getpid()

    @route(executor="jobs", executor_background=True)
    def later(self) -> str:
        progress(0.5, "halfway")
        return "done"

    @route(executor="jobs")
    def stop_when_asked(self, gate: str) -> str:
        hold(gate)
        while not cancelled():
            pass
        return "stopped"

    @route(executor="jobs", task="nightly", task_every="1h")
    def nightly(self, gate: str = "") -> int:
        progress(0.1, "begun")
        if gate:
            hold(gate)
        return os.getpid()


@asynccontextmanager
async def mill(folder: Path, grace: float = 20.0) -> AsyncIterator[Site]:
    async with serving(
        Mill,
        executors={"jobs": {"max_workers": 2, "shutdown_timeout": 1.0}},
        storage=[{"name": "site", "protocol": "local", "base_path": str(folder)}],
        long_tasks={"cancel_grace": grace, "shutdown_timeout": 1.0},
        tasks={"tick_seconds": 0.05},
    ) as site:
        yield site


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    async with mill(tmp_path) as site:
        yield site


def submit(site: Site, path: str, session: str | None = None, **params: Any) -> str:
    task_id = uuid.uuid4().hex
    spool = site.server.tasks.spool
    spool.create(new_descriptor(task_id, "ann", "mill", path, session), params)
    return task_id


async def in_state(site: Site, task_id: str, status: str) -> dict[str, Any]:
    async def there() -> Any:
        try:
            found = site.server.tasks.spool.get(task_id)
        except ValueError:
            return None  # the host writes it where it is read
        return found if found and found["status"] == status else None

    found: dict[str, Any] = await until_answered(there, 0.02)
    return found


async def result(site: Site, task_id: str) -> Any:
    """What ``task_id`` has returned; its folder may still be on the move."""

    async def there() -> Any:
        return site.server.tasks.spool.read_result(task_id)

    return await until_answered(there, 0.02)


async def test_a_batch_task_runs_in_its_routes_pool_and_tells_its_progress(
    site: Site, gate: Gate
) -> None:
    tasks = site.server.tasks
    queue = tasks.hub.subscribe("the session")
    task_id = submit(site, "grind", "the session", gate=gate.path)
    pid = await gate.entered()
    assert pid in site.server.executors.get("jobs").pids

    async def written() -> Any:
        return tasks.spool.read_progress(task_id)

    said = await until_answered(written, 0.02)
    assert (said["fraction"], said["message"], said["data"]) == (0.5, "grinding", {"sacks": 3})
    gate.release()
    await in_state(site, task_id, "terminated")
    assert await result(site, task_id) == pid
    kinds = [(await asyncio.wait_for(queue.get(), 20))["type"] for _ in range(3)]
    assert kinds == ["started", "progress", "settled"]
    tasks.hub.unsubscribe("the session", queue)


async def test_a_cancel_marker_kills_what_does_not_listen(tmp_path: Path, gate: Gate) -> None:
    async with mill(tmp_path, grace=0.1) as site:
        task_id = submit(site, "grind", gate=gate.path)
        pid = await gate.entered()
        site.server.tasks.spool.request_cancel(task_id)
        found = await in_state(site, task_id, "aborted")
        assert (found["outcome"], "was cancelled" in found["error"]) == ("cancelled", True)
        await until(lambda: pid not in site.server.executors.get("jobs").pids)


async def test_a_cancel_marker_asks_first(site: Site, gate: Gate) -> None:
    task_id = submit(site, "stop_when_asked", gate=gate.path)
    await gate.entered()
    gate.release()
    site.server.tasks.spool.request_cancel(task_id)
    await in_state(site, task_id, "terminated")
    assert await result(site, task_id) == "stopped"


async def test_a_schedule_runs_in_its_routes_pool_and_can_be_cancelled(
    site: Site, gate: Gate
) -> None:
    scheduler = site.server.tasks.scheduler
    with pytest.raises(TaskNotFoundError, match="does not run now"):
        scheduler.cancel("nightly")

    async def known() -> Any:
        return scheduler.store.get("nightly")

    record = await until_answered(known, 0.02)
    scheduler.store.save({**record, "kwargs": {"gate": gate.path}})
    assert await asyncio.to_thread(scheduler.run_now, "nightly") == "started"
    pid = await gate.entered()
    assert pid in site.server.executors.get("jobs").pids
    assert scheduler.progress("nightly").message == "begun"
    assert scheduler.cancel("nightly", grace=0.1)

    async def recorded() -> Any:
        return scheduler.store.get("nightly")["last_outcome"]

    assert await until_answered(recorded, 0.02) == "error"
    assert "TaskCancelledError" in scheduler.store.get("nightly")["last_error"]
    await until(lambda: pid not in site.server.executors.get("jobs").pids)


async def test_the_servers_event_hub_tells_of_long_jobs(site: Site) -> None:
    hub = site.server.tasks.hub
    queue = hub.subscribe("an MCP session")
    headers = {"mcp-session-id": "an MCP session"}
    job = (await site.client.post("/mill/later", headers=headers)).json()
    assert await site.app("mill").tasks.result(job["task_id"]) == "done"
    events = [queue.get_nowait() for _ in range(queue.qsize())]
    assert {event["task_id"] for event in events} == {job["task_id"]}
    assert [(event["type"], event["data"]["state"]) for event in events] == [
        ("state", "running"),
        ("progress", "running"),
        ("state", "succeeded"),
    ]
    hub.unsubscribe("an MCP session", queue)


async def test_a_background_route_runs_at_once_where_there_is_no_request(site: Site) -> None:
    task_id = submit(site, "later")
    await in_state(site, task_id, "terminated")
    assert site.server.tasks.spool.read_result(task_id) == "done"
