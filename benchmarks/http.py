# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Real servers under real HTTP: what offloading a route costs, and what it keeps responsive.

The servers of all variants run side by side; every round puts each of them under load once,
beginning with another one each time.
"""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from urllib.parse import quote

from benchmarks.figures import Metric, Table, Target, rotated
from benchmarks.load import Connection, connected, crowd, one_by_one
from benchmarks.processes import ModuleProcess
from benchmarks.settings import Settings

__all__ = ["run_http"]

CONNECTIONS = 32
WAITING = 200
_WORKERS = 2
_BURN_MILLISECONDS = 50
_BURNING = 4
_START_SECONDS = 30.0
_FACT_SECONDS = 30.0
_WARM_UP_SECONDS = 0.3
_AS_FAST = 1.25
"""What still counts as the same latency: two measurements of one idle server differ by as much."""

_OFFLOADED = "offloaded, two workers"
_SYNC = "stock server, sync handler (its threads)"
_NO_OP: dict[str, tuple[str, str]] = {
    _OFFLOADED: ("offloaded", "/bench/offloaded"),
    "ExecutorServer, sync handler, not offloaded": ("offloaded", "/bench/plain"),
    "stock server, async handler": ("stock", "/bench/awaited"),
    _SYNC: ("stock", "/bench/plain"),
    "naive: run_in_executor(ProcessPoolExecutor)": ("naive", "/bench/naive"),
}
"""Variant -> server and path."""

_LATENCY = (Metric("p50_ms", "p50, ms", 2), Metric("p99_ms", "p99, ms", 2))

Measurement = Callable[[], Coroutine[None, None, dict[str, float]]]


def run_http(settings: Settings, progress: Callable[[str], None]) -> Iterator[Table]:
    """The tables of HTTP, on asyncio's loop and on uvloop where that is installed."""
    for loop in ("asyncio", "uvloop"):
        if loop == "uvloop" and find_spec("uvloop") is None:
            continue
        suite = _Suite(settings, progress, loop)
        if not any(map(settings.wants, suite.keys)):
            continue
        progress(f"http, {loop}: starting servers")
        with ExitStack() as stack:
            servers = {
                kind: stack.enter_context(ModuleProcess("benchmarks.servers", kind, loop))
                for kind in ("offloaded", "stock", "naive")
            }
            suite.servers = servers
            suite.ports = {
                kind: int(server.first_line(_START_SECONDS)) for kind, server in servers.items()
            }
            asyncio.run(suite.warm_up())
            yield from suite.tables()


class _Suite:
    def __init__(self, settings: Settings, progress: Callable[[str], None], loop: str) -> None:
        self._settings = settings
        self._progress = progress
        self._loop = loop
        self.servers: dict[str, ModuleProcess] = {}
        self.ports: dict[str, int] = {}
        self.keys = [f"http-{name}-{loop}" for name in ("no-op", "waiting", "ping")]

    async def warm_up(self) -> None:
        """Every route once under load: workers are up and code paths are warm."""
        for server, path in _NO_OP.values():
            async with connected(self.ports[server], CONNECTIONS) as connections:
                await crowd(connections, path, _WARM_UP_SECONDS)

    def tables(self) -> Iterator[Table]:
        for key, make in zip(self.keys, (self._no_op, self._waiting, self._ping), strict=True):
            if self._settings.wants(key):
                yield make(key)

    # -- the experiments -----------------------------------------------------------------------

    def _no_op(self, key: str) -> Table:
        table = Table(
            key,
            f"HTTP: a no-op route, {CONNECTIONS} keep-alive connections, {self._loop}",
            "Each connection sends its next request when it has the answer to its last one.",
            (
                Metric("per_second", "requests/s"),
                *_LATENCY,
                Metric("cpu_us", "server's own CPU per request, us"),
            ),
            _OFFLOADED,
        )

        def measurement(server: str, path: str) -> Measurement:
            async def measure() -> dict[str, float]:
                async with connected(self.ports[server], CONNECTIONS) as connections:
                    before = self.servers[server].cpu_seconds()
                    figures = await crowd(connections, path, self._settings.seconds)
                    used = self.servers[server].cpu_seconds() - before
                    return {**figures, "cpu_us": used / figures["requests"] * 1e6}

            return measure

        text = f"HTTP no-op ({self._loop}), offloaded against the stock server's threads"
        target = Target(text, "per_second", 1.0, _OFFLOADED, _SYNC, at_least=True)
        variants = {name: measurement(*where) for name, where in _NO_OP.items()}
        return self._measured(table, variants, target)

    def _waiting(self, key: str) -> Table:
        full, idle = f"{WAITING} offloaded calls waiting", "idle server"
        table = Table(
            key,
            f"HTTP: a plain sync route while {WAITING} offloaded calls wait, {self._loop}",
            f"Both workers of the pool are held, {WAITING} more requests wait for them; the plain "
            "route runs on the server's own threads, asked by one client with pauses of 2 ms.",
            _LATENCY,
            full,
        )
        port = self.ports["offloaded"]
        seconds = self._settings.seconds

        async def measure_idle() -> dict[str, float]:
            async with connected(port, 1) as (client,):
                return await one_by_one(client, "/bench/plain", seconds)

        async def measure_full() -> dict[str, float]:
            async with _held(port), connected(port, 1) as (client,):
                return await one_by_one(client, "/bench/plain", seconds)

        text = f"plain sync route ({self._loop}) while {WAITING} calls wait"
        targets = [
            Target(f"{text}, {name} against idle", f"{name}_ms", _AS_FAST, full, idle)
            for name in ("p50", "p99")
        ]
        return self._measured(table, {full: measure_full, idle: measure_idle}, *targets)

    def _ping(self, key: str) -> Table:
        ours = "offloaded, both workers saturated"
        table = Table(
            key,
            f"HTTP: /ping while two CPU-bound handlers run all the time, {self._loop}",
            f"{_BURNING} clients keep asking for {_BURN_MILLISECONDS} ms of CPU time each; one "
            "client asks /ping, with pauses of 2 ms, and competes for the CPUs as well.",
            (Metric("p99_ms", "p99, ms", 2), Metric("p50_ms", "p50, ms", 2)),
            ours,
        )
        seconds = 2 * self._settings.seconds  # a p99 needs some hundred answers

        def measurement(port: int, pool: bool, burning: int) -> Measurement:
            async def measure() -> dict[str, float]:
                async with _burned(port, burning), connected(port, 1) as (client,):
                    if pool:
                        await _until(client, lambda state: state.running == _WORKERS)
                    return await one_by_one(client, "/bench/ping", seconds)

            return measure

        variants = {
            ours: measurement(self.ports["offloaded"], True, _BURNING),
            "the same in the stock server's threads": measurement(
                self.ports["stock"], False, _BURNING
            ),
            "idle server": measurement(self.ports["offloaded"], False, 0),
        }
        text = f"/ping p99 ({self._loop}) while both workers are saturated"
        return self._measured(table, variants, Target(text, "p99_ms", 20.0, ours, unit="ms"))

    def _measured(self, table: Table, variants: dict[str, Measurement], *targets: Target) -> Table:
        rounds = self._settings.rounds
        for turn in range(rounds):
            for name in rotated(list(variants), turn):
                self._progress(f"{table.key}: round {turn + 1} of {rounds}, {name}")
                table.add(name, asyncio.run(variants[name]()))
        table.judge(targets)
        return table


@dataclass(frozen=True, slots=True)
class _PoolState:
    """How many calls of the pool run, and how many wait."""

    running: int
    queued: int


async def _until(client: Connection, reached: Callable[[_PoolState], bool]) -> None:
    """Wait until the pool is in a state."""
    async with asyncio.timeout(_FACT_SECONDS):
        while True:
            pool = json.loads(await client.get("/bench/metrics"))["pools"].get("calls")
            if pool and reached(_PoolState(pool["running"], pool["queued"])):
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def _held(port: int) -> AsyncIterator[None]:
    """The pool full: its workers in calls that last, and ``WAITING`` calls behind them."""
    with tempfile.NamedTemporaryFile() as gate:
        path = f"/bench/hold?path={quote(gate.name)}"
        async with (
            connected(port, _WORKERS + WAITING) as clients,
            connected(port, 1) as (observer,),
        ):
            calls = [asyncio.create_task(client.get(path)) for client in clients]
            try:
                await _until(observer, lambda state: state.queued == WAITING)
                yield
            finally:
                gate.close()  # and with that it is gone
                await asyncio.gather(*calls)


@asynccontextmanager
async def _burned(port: int, clients: int) -> AsyncIterator[None]:
    """``clients`` that ask for CPU-bound work all the time."""
    ending = asyncio.Event()

    async def keep_asking(connection: Connection) -> None:
        while not ending.is_set():
            await connection.get(f"/bench/burn?milliseconds={_BURN_MILLISECONDS}")

    async with connected(port, clients) as connections:
        tasks = [asyncio.create_task(keep_asking(connection)) for connection in connections]
        try:
            yield
        finally:
            ending.set()
            await asyncio.gather(*tasks)
