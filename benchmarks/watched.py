# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``python -m benchmarks.watched``: what it costs short calls that somebody watches.

One server, one warm pool, no-op calls. Stretches with and without take turns in the same process.
Counting cannot be switched off; where it is, here, the pool's counters are replaced by some that
do nothing. Watched means: a console is
sampled every 2 s, scraped by a Prometheus every second and looked at by an open page every 2 s
(real servers are scraped every 15 s or less). What counting costs is measured on its own, too, and
set against a call.

Exits with 1 when counting, or being watched, costs more than 3 % of the CPU time of a call.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any

import uvicorn

from benchmarks.functions import answer
from genro_executor_plugin import BaseExecutor, ExecutorConsole, ExecutorServer
from genro_executor_plugin.metrics.counters import PoolMetrics

LIMIT_PERCENT = 3.0
CALLERS = (1, 64)
SHORT_ROUNDS = 20
"""Into how many stretches one is cut where nothing happens in the background."""


@dataclass(slots=True)
class Stretch:
    """Calls per second, and microseconds of the server's CPU time for each, of many stretches."""

    rates: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)


async def _calls(executor: BaseExecutor, callers: int, seconds: float, into: Stretch) -> None:
    end = time.perf_counter() + seconds

    async def call() -> int:
        done = 0
        while time.perf_counter() < end:
            await executor.submit(answer)
            done += 1
        return done

    began, used = time.perf_counter(), time.process_time()
    done = sum(await asyncio.gather(*(call() for _ in range(callers))))
    into.costs.append((time.process_time() - used) / max(done, 1) * 1e6)
    into.rates.append(done / (time.perf_counter() - began))


WATCHER = """
import sys, time, urllib.request
turn = 0
while True:
    for path in ("metrics", "snapshot")[: 1 if turn % 2 else 2]:
        url = f"http://127.0.0.1:{sys.argv[1]}/_executors/{path}"
        request = urllib.request.Request(url, headers={"genro-executor-token": sys.argv[2]})
        urllib.request.urlopen(request).read()
    turn += 1
    time.sleep(1.0)
"""
"""Whoever looks, in a process of its own: what it does itself is not the server's."""


async def _measure(rounds: int, seconds: float) -> list[dict[str, Any]]:
    server = ExecutorServer(
        applications=[ExecutorConsole],
        executors={"p": {"max_workers": 1, "warm": True, "max_pending": 1000}},
        tasks=False,
    )
    running = uvicorn.Server(uvicorn.Config(server, port=0, log_level="error", lifespan="on"))
    serving = asyncio.create_task(running.serve())
    while not running.started:  # noqa: ASYNC110 - uvicorn tells nobody
        await asyncio.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    executor, console = server.get_executor("p"), server.applications["_executors"]
    command = [sys.executable, "-c", WATCHER, str(port), console.token.value]
    watcher = subprocess.Popen(command)
    try:
        results = [
            await _turns(executor, console, watcher, callers, rounds, seconds)
            for callers in CALLERS
        ]
        assert watcher.poll() is None, "the watcher has ended"
    finally:
        watcher.kill()
        watcher.wait()
    running.should_exit = True
    await serving
    return results


class _Uncounted(PoolMetrics):
    """Counters of which two additions are left."""

    def ran(self, path: str, waited: Any, ran: Any) -> None:
        """Forget it."""


async def _turns(
    executor: BaseExecutor, console: Any, watcher: Any, callers: int, rounds: int, seconds: float
) -> dict[str, Any]:
    await _calls(executor, callers, seconds, Stretch())
    uncounted, counted, alone, watched = Stretch(), Stretch(), Stretch(), Stretch()
    counters = executor._metrics
    for turn in range(rounds * SHORT_ROUNDS):
        for is_counted in (False, True) if turn % 2 else (True, False):
            executor._metrics = counters if is_counted else _Uncounted()
            try:
                stretch = counted if is_counted else uncounted
                await _calls(executor, callers, seconds / SHORT_ROUNDS, stretch)
            finally:
                executor._metrics = counters
    for turn in range(rounds):
        for is_watched in (False, True) if turn % 2 else (True, False):
            watcher.send_signal(signal.SIGCONT if is_watched else signal.SIGSTOP)
            console._history.stop()
            if is_watched:
                console._history.start()
            await _calls(executor, callers, seconds, watched if is_watched else alone)
    counting, watching = _more(uncounted, counted), _more(alone, watched)
    return {
        "callers": callers,
        "uncounted_cpu_us": round(statistics.median(uncounted.costs), 2),
        "counted_cpu_us": round(statistics.median(counted.costs), 2),
        "counting_percent": round(counting * 100, 2),
        "alone_per_second": round(statistics.median(alone.rates)),
        "watched_per_second": round(statistics.median(watched.rates)),
        "alone_cpu_us": round(statistics.median(alone.costs), 2),
        "watched_cpu_us": round(statistics.median(watched.costs), 2),
        "watching_percent": round(watching * 100, 2),
        "everything_percent": round(((1 + counting) * (1 + watching) - 1) * 100, 2),
    }


def _more(less: Stretch, more: Stretch) -> float:
    """By which share a call costs more in ``more``, turn by turn."""
    pairs = zip(less.costs, more.costs, strict=True)
    return statistics.median(with_it / without for without, with_it in pairs) - 1


def _counting_ns() -> float:
    """Nanoseconds that all counting of one completed call takes."""
    counters, calls = PoolMetrics(), 100_000
    began = time.process_time()
    for _ in range(calls):
        counters.submitted += 1
        counters.ran("app/route", 0.00001, 0.00002)
        (counters.routes.get("app/route") or counters.route("app/route")).completed += 1
    return (time.process_time() - began) / calls * 1e9


def main(arguments: list[str]) -> int:
    """Measure and print; 1 if being watched costs more than ``LIMIT_PERCENT``."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.watched", description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="stretches of each kind")
    parser.add_argument("--seconds", type=float, default=4.0, help="how long a stretch lasts")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    chosen = parser.parse_args(arguments)
    results = asyncio.run(_measure(chosen.rounds, chosen.seconds))
    counting = min(_counting_ns() for _ in range(5))
    share = counting / 10 / results[0]["alone_cpu_us"]
    if chosen.json:
        document = {"results": results, "counting_ns": round(counting), "counting_percent": share}
        print(json.dumps(document))
    else:
        for found in results:
            print(
                f"{found['callers']:3} callers: CPU time of the server per call "
                f"{found['uncounted_cpu_us']:.1f} us uncounted, {found['counted_cpu_us']:.1f} us "
                f"counted: {found['counting_percent']:+.1f} %; "
                f"{found['alone_cpu_us']:.1f} us alone, {found['watched_cpu_us']:.1f} us watched: "
                f"{found['watching_percent']:+.1f} %; together "
                f"{found['everything_percent']:+.1f} % "
                f"({found['alone_per_second']:,}/s, {found['watched_per_second']:,}/s watched)"
            )
        print(f"counting one call: {counting:.0f} ns, {share:.1f} % of that CPU time")
    return int(any(found["everything_percent"] > LIMIT_PERCENT for found in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
