# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The measurements: real pools, real calls, on the CPUs this process is granted."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from statistics import median
from time import perf_counter
from typing import Any

import psutil

from ...executors import BaseExecutor, ProcessExecutor, ThreadExecutor
from ...options.checks import granted_cpus
from .figures import (
    Machine,
    Measured,
    Overhead,
    Point,
    Subject,
)
from .functions import nothing, timed

__all__ = ["machine", "measure", "overhead", "usual_counts"]

SEQUENTIAL_CALLS = 500
CALLERS = 64
ALONE_RUNS = 5
CALLERS_PER_WORKER = 2
COMPUTES_FROM = 0.5
"""From this share of computing on, workers beyond the CPUs have nothing to run on."""

Progress = Callable[[str], None]


def machine() -> Machine:
    """This machine, now."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Machine(granted_cpus(), load, platform.python_version())


async def overhead(kind: str, seconds: float, progress: Progress) -> Overhead:
    """What a call costs in a pool of ``kind``."""
    progress(f"calls that do nothing, in a {kind} pool")
    async with _pool(kind, granted_cpus() if kind == "process" else 40) as executor:
        taken = []
        for _ in range(SEQUENTIAL_CALLS):
            began = perf_counter()
            await executor.submit(nothing)
            taken.append((perf_counter() - began) * 1e6)
        calls, elapsed = await _calls(executor, Subject("nothing", nothing), CALLERS, seconds)
    taken.sort()
    return Overhead(
        kind,
        round(median(taken), 1),
        round(taken[round(0.99 * (len(taken) - 1))], 1),
        round(calls / elapsed, 1),
    )


async def measure(
    subject: Subject, counts: Sequence[int], seconds: float, progress: Progress
) -> Measured:
    """``subject`` alone, and with each number of workers in ``counts`` (none: the usual ones)."""
    progress(f"{subject.name}: alone")
    async with _pool("process", 1) as executor:
        runs = []
        for _ in range(ALONE_RUNS):
            runs.append(await executor.submit(timed, subject.func, subject.args, subject.kwargs))
        worker = psutil.Process(executor.pids[0]) if isinstance(executor, ProcessExecutor) else None
        memory = worker.memory_info().rss if worker is not None else 0
    wall, cpu = median(run[0] for run in runs), median(run[1] for run in runs)
    share = min(1.0, cpu / wall) if wall > 0 else 0.0
    points = []
    for count in counts or usual_counts(share, granted_cpus()):
        progress(f"{subject.name}: {count} worker{'s' if count > 1 else ''}")
        async with _pool("process", count) as executor:
            calls, elapsed = await _calls(executor, subject, CALLERS_PER_WORKER * count, seconds)
        points.append(Point(count, calls, round(calls / elapsed, 2)))
    return Measured(
        subject.name, round(wall * 1e3, 3), round(share, 3), round(memory / 1e6, 1), tuple(points)
    )


def usual_counts(cpu_share: float, cpus: int) -> list[int]:
    """The numbers of workers worth trying for a function that computes for ``cpu_share``."""
    most = 2 * cpus if cpu_share >= COMPUTES_FROM else 16 * cpus
    counts = {cpus, *([cpus + 1] if cpu_share >= COMPUTES_FROM else [])}
    count = 1
    while count <= most:
        counts.add(count)
        count *= 2
    return sorted(counts)


async def _calls(
    executor: BaseExecutor, subject: Subject, callers: int, seconds: float
) -> tuple[int, float]:
    """How many calls ``callers`` make in ``seconds``, one after the other, and how long it took.

    Calls that are under way when the time is over are waited for, and count.
    """
    began = perf_counter()
    end = began + seconds
    done = 0

    async def caller() -> None:
        nonlocal done
        while True:
            await executor.submit(subject.func, *subject.args, **subject.kwargs)
            done += 1
            if perf_counter() >= end:
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(callers):
            group.create_task(caller())
    return done, perf_counter() - began


@asynccontextmanager
async def _pool(kind: str, workers: int) -> AsyncIterator[BaseExecutor]:
    """A pool with all its workers up."""
    given: dict[str, Any] = {
        "max_workers": workers,
        "max_pending": CALLERS + CALLERS_PER_WORKER * workers,
    }
    executor: BaseExecutor
    if kind == "process":
        executor = ProcessExecutor("bench", warm=True, shutdown_timeout=1.0, **given)
        await executor.warm()
    else:
        executor = ThreadExecutor("bench", **given)
    try:
        yield executor
    finally:
        await executor.shutdown()
