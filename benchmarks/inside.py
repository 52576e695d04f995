# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``python -m benchmarks.inside``: where a call hangs, and what a profile costs.

**stacks**: how soon it is told where a call is. A call hangs in each way that a call may hang in,
and is asked where it is again and again: on its own, and while two more workers compute and 32
callers keep the server busy.

**profile**: a worker does a fixed amount of work again and again. Stretches in which samples are
taken at 100 Hz take turns with stretches without; what is compared is the CPU time of the
worker's process for the same work, the thread that takes the samples included.

Exits with 1 where a goal is not reached.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from benchmarks import stuck
from benchmarks.figures import percentile
from benchmarks.functions import answer
from genro_executor_plugin import BaseExecutor, ProcessExecutor, WorkerCrashedError
from genro_executor_plugin.executors import Call
from genro_executor_plugin.metrics.profiles import ProfileTarget

IDLE_MS, LOADED_MS = 5.0, 50.0
COST_PERCENT = 2.0

_PATH = "benchmark/route"
_CALLERS = 32
_STEPS = 100_000
_COROUTINES = 50


# -- where a call is -------------------------------------------------------------------------------


async def _inside(pool: BaseExecutor, name: str, calls: int = 1) -> None:
    """Wait until ``calls`` calls of ``pool`` are in the function ``name``."""
    async with asyncio.timeout(60):
        found: list[Any] = []
        while sum(f"in {name}" in one.stack for one in found) < calls:
            found = await pool.stacks()
            await asyncio.sleep(0.005)


@asynccontextmanager
async def _hanging(func: Callable[..., Any]) -> AsyncIterator[BaseExecutor]:
    async with ProcessExecutor("stuck", max_workers=1) as pool:
        call = asyncio.create_task(pool.submit(func))
        await _inside(pool, func.__name__)
        try:
            yield pool
        finally:
            for worker in pool.worker_states():
                if worker.pid is not None:
                    pool.kill_worker(worker.pid)
            await asyncio.gather(call, return_exceptions=True)
            if not isinstance(call.exception(), WorkerCrashedError):
                raise RuntimeError(f"{func.__name__} has ended")


@asynccontextmanager
async def _load(is_loaded: bool) -> AsyncIterator[None]:
    if not is_loaded:
        yield
        return
    async with (
        ProcessExecutor("computes", max_workers=2) as computing,
        ProcessExecutor("short", max_workers=1, max_pending=1000) as short,
    ):
        await short.submit(answer)
        busy = True

        async def calls() -> None:
            while busy:
                await short.submit(answer)

        long = [asyncio.create_task(computing.submit(stuck.busy_loop)) for _ in range(2)]
        await _inside(computing, "busy_loop", 2)
        callers = [asyncio.create_task(calls()) for _ in range(_CALLERS)]
        try:
            yield
        finally:
            busy = False
            await asyncio.gather(*callers)
            for worker in computing.worker_states():
                if worker.pid is not None:
                    computing.kill_worker(worker.pid)
            await asyncio.gather(*long, return_exceptions=True)


async def _stacks(times: int, progress: Callable[[str], None]) -> list[dict[str, Any]]:
    found = []
    for func in stuck.CATALOGUE:
        for is_loaded in (False, True):
            progress(f"{func.__name__}, {'loaded' if is_loaded else 'idle'}")
            taken, known = [], 0
            async with _hanging(func) as pool, _load(is_loaded):
                for _ in range(times):
                    began = time.perf_counter()
                    answers = await pool.stacks()
                    taken.append((time.perf_counter() - began) * 1000)
                    known += f"in {func.__name__}" in answers[0].stack
                    await asyncio.sleep(0.01)
            taken.sort()
            limit = LOADED_MS if is_loaded else IDLE_MS
            median = statistics.median(taken)
            found.append(
                {
                    "case": func.__name__,
                    "loaded": is_loaded,
                    "median_ms": round(median, 2),
                    "p95_ms": round(percentile(taken, 95), 2),
                    "worst_ms": round(taken[-1], 2),
                    "known_percent": round(known / times * 100, 1),
                    "reached": median <= limit and known == times,
                }
            )
    return found


# -- what a profile costs --------------------------------------------------------------------------


async def _work(pool: BaseExecutor, func: Callable[..., float], seconds: float) -> float:
    """Seconds of CPU time that the worker takes for one call."""
    options = pool.check_call("a benchmark", {}, route="route", path=_PATH)

    async def call() -> float:
        used: float = await pool.run(Call(func, (_STEPS,), {}, options))
        return used

    end = time.perf_counter() + seconds
    first = last = await call()
    done = 0
    while time.perf_counter() < end or not done:
        last = await call()
        done += 1
    return (last - first) / done


async def _profile(
    rounds: int, seconds: float, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    cases = (
        ("computes", stuck.shallow, 0),
        ("computes below 200 frames", stuck.deep, 0),
        (f"computes beside {_COROUTINES} coroutines", stuck.shallow, _COROUTINES),
    )
    found = []
    for title, func, coroutines in cases:
        pairs, looks, samples = [], 0, 0
        async with ProcessExecutor("profiled", max_workers=1, max_pending=1000) as pool:
            await _work(pool, func, 0.1)
            waiting = [
                asyncio.create_task(pool.submit(stuck.awaited, 3600)) for _ in range(coroutines)
            ]
            for turn in range(rounds):
                progress(f"{title}, round {turn + 1} of {rounds}")
                costs = {}
                for is_profiled in (False, True) if turn % 2 else (True, False):
                    profiling = asyncio.create_task(
                        pool.profile(ProfileTarget(_PATH, func), seconds + 0.2, 100)
                        if is_profiled
                        else asyncio.sleep(0, [])
                    )
                    await asyncio.sleep(0.05)
                    costs[is_profiled] = await _work(pool, func, seconds)
                    for profile in await profiling:
                        looks += profile.looks
                        samples += profile.stacks.total()
                pairs.append(costs[True] / costs[False])
            for worker in pool.worker_states():
                if worker.pid is not None and waiting:
                    pool.kill_worker(worker.pid)
            await asyncio.gather(*waiting, return_exceptions=True)
        more = (statistics.median(pairs) - 1) * 100
        found.append(
            {
                "case": title,
                "more_cpu_percent": round(more, 2),
                "lowest_percent": round((min(pairs) - 1) * 100, 2),
                "highest_percent": round((max(pairs) - 1) * 100, 2),
                "looks_per_second": round(looks / rounds / (seconds + 0.2), 1),
                "samples": samples,
                "reached": more <= COST_PERCENT,
            }
        )
    return found


def main(arguments: list[str]) -> int:
    """Measure and print; 1 where a goal is not reached."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.inside", description=__doc__)
    parser.add_argument("part", nargs="?", choices=["stacks", "profile", "all"], default="all")
    parser.add_argument("--times", type=int, default=50, help="how often each call is asked")
    parser.add_argument("--rounds", type=int, default=40, help="pairs of stretches")
    parser.add_argument("--seconds", type=float, default=0.3, help="how long a stretch lasts")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    chosen = parser.parse_args(arguments)
    logging.getLogger("genro_executor_plugin").setLevel(logging.ERROR)  # workers are killed here
    document: dict[str, list[dict[str, Any]]] = {"stacks": [], "profile": []}
    if chosen.part != "profile":
        document["stacks"] = asyncio.run(_stacks(chosen.times, _progress))
    if chosen.part != "stacks":
        document["profile"] = asyncio.run(_profile(chosen.rounds, chosen.seconds, _progress))
    _progress("")
    print(json.dumps(document) if chosen.json else _shown(document))
    return int(not all(one["reached"] for part in document.values() for one in part))


def _shown(document: dict[str, list[dict[str, Any]]]) -> str:
    lines = []
    for one in document["stacks"]:
        lines.append(
            f"{one['case']:26} {'under load' if one['loaded'] else 'idle':10} "
            f"median {one['median_ms']:6.2f} ms, p95 {one['p95_ms']:6.2f} ms, "
            f"worst {one['worst_ms']:6.2f} ms, known {one['known_percent']:g} %"
            f"{'' if one['reached'] else '  NOT REACHED'}"
        )
    for one in document["profile"]:
        lines.append(
            f"{one['case']:32} CPU {one['more_cpu_percent']:+.2f} % "
            f"({one['lowest_percent']:+.2f} to {one['highest_percent']:+.2f}), "
            f"{one['looks_per_second']:g} looks/s, {one['samples']} samples"
            f"{'' if one['reached'] else '  NOT REACHED'}"
        )
    return "\n".join(lines)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
