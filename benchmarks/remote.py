# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls over NATS on loopback: what one costs, and whether agents are kept busy."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.figures import Metric, Table, Target, percentile
from benchmarks.functions import answer, rest
from benchmarks.settings import Settings

__all__ = ["run_remote"]

_OURS = "genro-executor-plugin, one agent"
_BARE = "nats-py, a bare request of the same size"
_AGENTS = 3
_REST_SECONDS = 0.2
_CALLS = 15
_BYTES = 1500
"""About what a call of a function without arguments has, its signature included."""

_ECHO = """
import asyncio, sys
import nats
async def main():
    client = await nats.connect(sys.argv[1])
    async def echo(message):
        await message.respond(message.data)
    await client.subscribe("echo", cb=echo)
    await client.flush()
    print("there", flush=True)
    await asyncio.Event().wait()
asyncio.run(main())
"""


def run_remote(settings: Settings, progress: Callable[[str], None]) -> Iterator[Table]:
    """The tables of calls over NATS."""
    if settings.wants("nats-no-op"):
        table = Table(
            "nats-no-op",
            "No-op over NATS on loopback, one caller",
            "A bare request goes to one other process; a call goes to an agent and from there to "
            "its worker, and is signed and checked both ways.",
            (Metric("p50_us", "p50, µs"), Metric("p99_us", "p99, µs")),
            _OURS,
        )
        for _ in range(settings.rounds):
            progress("nats: a no-op")
            with _agents(1) as url:
                for title, figures in asyncio.run(_no_op(url, settings.seconds)).items():
                    table.add(title, figures)
        table.judge([Target("a no-op over NATS", "p50_us", 1.5, _OURS, _BARE)])
        yield table
    if settings.wants("nats-agents"):
        ours = f"{_AGENTS} agents with one worker each"
        table = Table(
            "nats-agents",
            f"{_CALLS} calls of {_REST_SECONDS:g} s over {_AGENTS} agents, all at once",
            "Ideal is the number of calls by that of agents, times what one takes.",
            (Metric("by_ideal", "time by ideal", 3),),
            ours,
        )
        for _ in range(settings.rounds):
            progress("nats: three agents")
            with _agents(_AGENTS) as url:
                table.add(ours, {"by_ideal": asyncio.run(_shared(url))})
        table.judge([Target("calls over three agents", "by_ideal", 1.05, ours)])
        yield table


@contextmanager
def _agents(count: int) -> Iterator[str]:
    """A nats-server with ``count`` agents, and its address."""
    beside = shutil.which("nats-server", path=str(Path(sys.executable).parent))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    url = f"nats://127.0.0.1:{port}"
    os.environ["GENRO_EXECUTOR_NATS_SECRET"] = secrets.token_hex()
    with ExitStack() as running:

        def start(*command: str, says: str = "") -> None:
            output = subprocess.PIPE if says else subprocess.DEVNULL
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
            running.callback(process.wait)
            running.callback(process.terminate)
            while says and process.stdout is not None:
                line = process.stdout.readline().decode()
                if not line:
                    raise RuntimeError(f"{command[0]} has ended before it was there")
                if says in line:
                    break

        start(beside or "nats-server", "-a", "127.0.0.1", "-p", port)
        for _ in range(200):
            with suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), 1):
                break
            time.sleep(0.02)
        worker = "-m", "genro_executor_plugin.cli", "worker", "--url", url, "--subject", "bench"
        for _ in range(count):
            start(sys.executable, *worker, "--pool", "max_workers=1", says=" serves ")
        start(sys.executable, "-c", _ECHO, url, says="there")
        yield url


async def _no_op(url: str, seconds: float) -> dict[str, dict[str, float]]:
    import nats

    from genro_executor_plugin import NatsExecutor

    client = await nats.connect(url)
    try:
        async with NatsExecutor("bench", url=url, subject="bench") as pool:
            payload = b"x" * _BYTES

            async def bare() -> Any:
                return await client.request("echo", payload, timeout=10)

            found: dict[str, list[float]] = {_OURS: [], _BARE: []}
            end = time.perf_counter() + 2 * seconds
            await pool.submit(answer)
            while time.perf_counter() < end or len(found[_OURS]) < 20:
                for title, once in ((_OURS, lambda: pool.submit(answer)), (_BARE, bare)):
                    began = time.perf_counter()
                    await once()
                    found[title].append(time.perf_counter() - began)
    finally:
        await client.close()
    return {
        title: {
            "p50_us": percentile(sorted(times), 50) * 1e6,
            "p99_us": percentile(sorted(times), 99) * 1e6,
        }
        for title, times in found.items()
    }


async def _shared(url: str) -> float:
    from genro_executor_plugin import NatsExecutor

    async with NatsExecutor("bench", url=url, subject="bench") as pool:
        await pool.warm()
        while pool.metrics["workers"] < _AGENTS:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.05)
        await asyncio.gather(*(pool.submit(answer) for _ in range(4 * _AGENTS)))
        began = time.perf_counter()
        await asyncio.gather(*(pool.submit(rest, _REST_SECONDS) for _ in range(_CALLS)))
        return (time.perf_counter() - began) / (_CALLS / _AGENTS * _REST_SECONDS)
