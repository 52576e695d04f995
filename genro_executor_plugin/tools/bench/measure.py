# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Measures real calls in real pools, on the CPUs that this process is granted."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from statistics import median
from time import perf_counter
from typing import Any

from ...executors import BaseExecutor
from ...executors.registry import ExecutorRegistry
from ...options.granted import granted_cpus
from .figures import (
    Machine,
    Measured,
    Overhead,
    Point,
    Subject,
)
from .functions import nothing, timed

__all__ = ["OVERHEAD_KINDS", "machine", "measure", "overhead", "usual_counts"]

SEQUENTIAL_CALLS = 500
CALLERS = 64
ALONE_RUNS = 5
THREADS = 40
CALLERS_PER_WORKER = 2
COMPUTES_FROM = 0.5
"""From this share of computing on, workers beyond the CPUs have nothing to run on."""

Progress = Callable[[str], None]


def machine() -> Machine:
    """A description of this machine as it is now."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Machine(granted_cpus(), load, platform.python_version())


async def overhead(kind: str, seconds: float, progress: Progress) -> Overhead:
    """The cost of a call that does nothing in a pool of ``kind``, one of ``OVERHEAD_KINDS``."""
    progress(f"calls that do nothing, in a {kind} pool")
    async with _OVERHEAD_POOLS[kind]() as executor:
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
    """Measure ``subject`` alone, then with each number of workers in ``counts``.

    Where ``counts`` is empty, the usual numbers for such a function are tried.
    """
    progress(f"{subject.name}: alone")
    async with _processes(1) as executor:
        runs = []
        for _ in range(ALONE_RUNS):
            runs.append(await executor.submit(timed, subject.func, subject.args, subject.kwargs))
        memory = max((state.memory_bytes or 0 for state in executor.worker_states()), default=0)
    wall, cpu = median(run[0] for run in runs), median(run[1] for run in runs)
    share = min(1.0, cpu / wall) if wall > 0 else 0.0
    points = []
    for count in counts or usual_counts(share, granted_cpus()):
        progress(f"{subject.name}: {count} worker{'s' if count > 1 else ''}")
        async with _processes(count) as executor:
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
async def _pool(kind: str, workers: int, **options: Any) -> AsyncIterator[BaseExecutor]:
    """A pool of ``kind`` with ``workers`` workers; those of ``warm=True`` are up."""
    registry = ExecutorRegistry()
    most = CALLERS + CALLERS_PER_WORKER * workers
    registry.declare("bench", executor_type=kind, max_workers=workers, max_pending=most, **options)
    executor = registry.get("bench")
    try:
        await registry.warm()
        yield executor
    finally:
        await registry.shutdown_all()


def _processes(workers: int) -> AbstractAsyncContextManager[BaseExecutor]:
    return _pool("process", workers, warm=True, shutdown_timeout=1.0)


_OVERHEAD_POOLS: Mapping[str, Callable[[], AbstractAsyncContextManager[BaseExecutor]]] = {
    "process": lambda: _processes(granted_cpus()),
    "thread": lambda: _pool("thread", THREADS),
}

OVERHEAD_KINDS = tuple(_OVERHEAD_POOLS)
"""The kinds of pools whose cost of a call is measured."""
