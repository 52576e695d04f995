# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Many that listen to one job: each event is encoded once, and the event loop stays free."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from conftest import Gate
from genro_routes import route
from servers import Site, serving, until

from genro_executor_plugin import ExecutorApplication, TaskState, TaskStatus, progress
from genro_executor_plugin.tasks.listeners import FEW, Listeners


class Desk(ExecutorApplication):
    mount = "desk"

    @route(executor="jobs", executor_background=True)
    def held(self, gate: str) -> str:
        from worker_functions import hold

        progress(0.5, "held")
        hold(gate)
        return "done"


@asynccontextmanager
async def desk(folder: Path, **settings: Any) -> AsyncIterator[Site]:
    async with serving(
        Desk,
        executors={"jobs": {"max_workers": 1}},
        long_tasks={"path": folder / "store", "pool": "jobs", **settings},
        middleware={"session": False},
    ) as site:
        yield site


def all_listen(listeners: Listeners, count: int) -> bool:
    return [len(feed.listeners) for feed in listeners._feeds.values()] == [count]


STATUS = TaskStatus("id", TaskState.RUNNING, "title", "pool")


async def test_many_listeners_get_the_latest_and_the_end_and_the_loop_stays_free() -> None:
    """A thousand listeners of a job that reports at once, again and again."""
    encoded: list[int] = []
    arrived: asyncio.Queue[TaskStatus] = asyncio.Queue()

    async def follow(_: str) -> AsyncIterator[tuple[str, TaskStatus]]:
        while True:
            status = await arrived.get()
            yield "state" if status.state.final else "progress", status
            if status.state.final:
                return

    def shown(status: TaskStatus) -> dict[str, Any]:
        encoded.append(1)
        return {"attempts": status.attempts}

    listeners = Listeners(follow)

    async def listen() -> list[bytes]:
        return [frame async for frame in listeners.listen("id", "own", shown)]

    turns = 0

    async def watch() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    listening = [asyncio.create_task(listen()) for _ in range(1000)]
    await until(lambda: all_listen(listeners, 1000))
    watching = asyncio.create_task(watch())
    for number in range(200):
        arrived.put_nowait(replace(STATUS, attempts=number))
        await asyncio.sleep(0.002)
    arrived.put_nowait(replace(STATUS, attempts=200, state=TaskState.SUCCEEDED))
    received = await asyncio.gather(*listening)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    assert len(encoded) == 201
    for frames in received:
        assert frames[-1].startswith(b"id: end\nevent: state\n")
        assert len(frames) < 100  # coalesced
    assert turns > 3 * 1000 / FEW  # the event loop has done other things between all slices
    assert not listeners._feeds


async def test_few_listeners_get_every_event() -> None:
    arrived: asyncio.Queue[TaskStatus] = asyncio.Queue()

    async def follow(_: str) -> AsyncIterator[tuple[str, TaskStatus]]:
        while True:
            status = await arrived.get()
            yield "progress", status
            if status.state.final:
                return

    listeners = Listeners(follow)

    async def listen() -> list[bytes]:
        shown = listeners.listen("id", "own", lambda status: {"n": status.attempts})
        return [frame async for frame in shown]

    listening = [asyncio.create_task(listen()) for _ in range(FEW)]
    await until(lambda: all_listen(listeners, FEW))
    for number in range(20):
        arrived.put_nowait(replace(STATUS, attempts=number))
        await asyncio.sleep(0.001)
    arrived.put_nowait(replace(STATUS, attempts=20, state=TaskState.SUCCEEDED))
    for frames in await asyncio.gather(*listening):
        numbers = [json.loads(frame.split(b"data: ")[1])["n"] for frame in frames]
        assert numbers == list(range(21))


async def test_an_event_source_that_comes_back_after_the_end_is_told_to_stay_away(
    tmp_path: Path, gate: Gate
) -> None:
    async with desk(tmp_path) as site:
        job = (await site.client.post("/desk/held", params={"gate": gate.path})).json()
        await gate.entered()
        async with site.client.stream("GET", job["events_url"]) as events:
            lines = events.aiter_lines()
            assert await anext(lines) == "event: state"
            gate.release()
            rest = [line async for line in lines]
        assert "id: end" in rest
        again = await site.get(job["events_url"])  # asked without having been told
        assert (again.status_code, again.text.count("id: end")) == (200, 1)
        back = await site.client.get(job["events_url"], headers={"last-event-id": "end"})
        assert (back.status_code, back.content) == (204, b"")


async def test_one_caller_has_a_limited_number_of_listeners(tmp_path: Path, gate: Gate) -> None:
    async with desk(tmp_path, max_listeners_per_submitter=2) as site:
        job = (await site.client.post("/desk/held", params={"gate": gate.path})).json()
        await gate.entered()
        async with (
            site.client.stream("GET", job["events_url"]) as one,
            site.client.stream("GET", job["events_url"]) as two,
        ):
            assert (one.status_code, two.status_code) == (200, 200)
            assert (await site.get(job["events_url"])).status_code == 429
        await until(lambda: not site.server.long_tasks.listeners._of_caller)
        async with site.client.stream("GET", job["events_url"]) as three:
            assert three.status_code == 200
        gate.release()
