# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Long jobs: what accepting one costs, also with a full store, and how soon progress is seen."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import httpx
import uvicorn

from benchmarks.figures import Metric, Table, Target, percentile, rotated
from benchmarks.functions import answer, tell
from benchmarks.settings import Settings
from genro_executor_plugin import ExecutorApplication, ExecutorServer

__all__ = ["run_long_jobs"]

FULL_STORE = 10_000
_TOGETHER = 32
_ENDED = 200
_TELL_EVERY_SECONDS = 0.02

_DURABLE = "durable (the default)"
_STOCKED = f"durable, {FULL_STORE:,} jobs in the store"
_NORMAL = "synchronous='NORMAL'"
_NORMAL_STOCKED = f"synchronous='NORMAL', {FULL_STORE:,} jobs in the store"
_FOLLOWED = "one job, one client"


@dataclass(frozen=True, slots=True)
class _Variant:
    settings: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)
    stored: int = 0
    together: int = 1


_VARIANTS = {
    _DURABLE: _Variant(),
    _STOCKED: _Variant(stored=FULL_STORE),
    f"durable, {_TOGETHER} callers": _Variant(together=_TOGETHER),
    _NORMAL: _Variant({"synchronous": "NORMAL"}),
    _NORMAL_STOCKED: _Variant({"synchronous": "NORMAL"}, stored=FULL_STORE),
    "durable=False": _Variant(options={"durable": False}),
}

_SUBMIT = (
    Metric("submit_p50_ms", "submit p50, ms", 3),
    Metric("submit_p99_ms", "submit p99, ms", 3),
    Metric("per_second", "submitted/s"),
    Metric("status_p50_ms", "status of an ended one p50, ms", 3),
)
_SUBMIT_GOALS = (
    Target("accepting a long job, durable", "submit_p50_ms", 1.0, _DURABLE, unit="ms"),
    Target(
        f"accepting a long job, durable, {FULL_STORE:,} in the store",
        "submit_p50_ms",
        1.0,
        _STOCKED,
        unit="ms",
    ),
    # Without the disk's own share, which differs more than what is looked for.
    Target(
        f"submit (NORMAL) with {FULL_STORE:,} jobs in the store, against an empty one",
        "submit_p50_ms",
        1.25,
        _NORMAL_STOCKED,
        _NORMAL,
    ),
    Target(
        f"status (NORMAL) with {FULL_STORE:,} jobs in the store, against an empty one",
        "status_p50_ms",
        1.25,
        _NORMAL_STOCKED,
        _NORMAL,
    ),
)

_PROGRESS = (Metric("p50_ms", "p50, ms", 2), Metric("p99_ms", "p99, ms", 2))
_PROGRESS_GOALS = (
    Target("progress of a long job, from the worker to an SSE client, p99", "p99_ms", 100.0,
           _FOLLOWED, unit="ms"),
)  # fmt: skip


class Bench(ExecutorApplication):
    mount = "bench"


def run_long_jobs(settings: Settings, progress: Callable[[str], None]) -> Iterator[Table]:
    """The tables of long jobs."""
    if settings.wants("long-jobs-submit"):
        table = Table(
            "long-jobs-submit",
            "Accepting a long job",
            "Submitted and awaited, one after the other, with a time to begin that is far off; "
            "then the status of jobs that have ended is asked for.",
            _SUBMIT,
            _DURABLE,
        )
        for turn in range(settings.rounds):
            for title in rotated(list(_VARIANTS), turn):
                progress(f"long jobs: round {turn + 1} of {settings.rounds}, {title}")
                table.add(title, asyncio.run(_submit(_VARIANTS[title], settings.seconds)))
        table.judge(_SUBMIT_GOALS)
        yield table
    if settings.wants("long-jobs-progress"):
        table = Table(
            "long-jobs-progress",
            "Progress of a long job",
            "From the call of progress() in a worker process until a client on loopback has read "
            "the event.",
            _PROGRESS,
            _FOLLOWED,
        )
        for turn in range(settings.rounds):
            progress(f"long jobs: round {turn + 1} of {settings.rounds}, progress")
            table.add(_FOLLOWED, asyncio.run(_progress(max(settings.seconds, 0.5))))
        table.judge(_PROGRESS_GOALS)
        yield table


@asynccontextmanager
async def _served(settings: dict[str, Any]) -> AsyncIterator[tuple[Any, str]]:
    """The application of a server that serves, and its address."""
    with tempfile.TemporaryDirectory(prefix="long-jobs-") as folder:
        server = ExecutorServer(
            applications=[Bench],
            auth={"basic": {"ann": {"password": "secret"}}},
            long_tasks={"path": folder, "shutdown_timeout": 0.0, **settings},
            tasks=False,
        )
        running = uvicorn.Server(uvicorn.Config(server, port=0, log_level="error", lifespan="on"))
        serving = asyncio.create_task(running.serve())
        while not running.started:  # noqa: ASYNC110 - uvicorn has no event for it
            await asyncio.sleep(0.01)
        host, port = running.servers[0].sockets[0].getsockname()[:2]
        try:
            yield server.applications["bench"], f"http://{host}:{port}"
        finally:
            running.should_exit = True
            await serving


async def _submit(variant: _Variant, seconds: float) -> dict[str, float]:
    async with _served(variant.settings) as (application, _):
        tasks = application.tasks.options(eta=timedelta(days=1), **variant.options)
        await asyncio.gather(*(tasks.submit(answer) for _ in range(variant.stored)))
        ended = [await tasks.submit(answer) for _ in range(_ENDED)]
        for task_id in ended:
            await application.tasks.cancel(task_id)
        times: list[float] = []
        began = time.perf_counter()

        async def caller() -> None:
            while (start := time.perf_counter()) < began + seconds:
                await tasks.submit(answer)
                times.append(time.perf_counter() - start)

        await asyncio.gather(*(caller() for _ in range(variant.together)))
        took = time.perf_counter() - began
        asked = [await _asked(application, task_id) for task_id in ended]
        return {
            "submit_p50_ms": _ms(times, 50),
            "submit_p99_ms": _ms(times, 99),
            "per_second": len(times) / took,
            "status_p50_ms": _ms(asked, 50),
        }


async def _asked(application: Any, task_id: str) -> float:
    began = time.perf_counter()
    await application.tasks.status(task_id)
    return time.perf_counter() - began


async def _progress(seconds: float) -> dict[str, float]:
    async with _served({}) as (application, url), httpx.AsyncClient(base_url=url) as client:
        tasks = application.tasks.options(submitter="ann")
        await tasks.result(await tasks.submit(answer))  # its workers are up
        steps = int(seconds / _TELL_EVERY_SECONDS)
        task_id = await tasks.submit(tell, steps, _TELL_EVERY_SECONDS)
        events = client.stream("GET", f"/_tasks/events/{task_id}", auth=("ann", "secret"))
        delays, kind = [], ""
        async with events as answered:
            async for line in answered.aiter_lines():
                if line.startswith("event: "):
                    kind = line
                elif line.startswith("data: ") and kind == "event: progress":
                    said = json.loads(line.removeprefix("data: "))["progress"]
                    delays.append(time.time() - said["at"])
        return {"p50_ms": _ms(delays, 50), "p99_ms": _ms(delays, 99)}


def _ms(seconds: list[float], percent: float) -> float:
    return percentile(sorted(seconds), percent) * 1000
