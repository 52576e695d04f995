# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The end of a real server while calls run: in bounded time, and nothing is left of it."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from programs import TESTS, RunningProgram, started
from servers import until

PROGRAM = TESTS / "apps" / "ending.py"
STOCK_PROGRAM = TESTS / "apps" / "ending_stock.py"
"""The same on a stock server, to which the console brings the pools."""

LONG_SECONDS = 60.0
"""A limit that no test waits for."""

BOUND_SECONDS = 25.0
"""How long an end may take whose own limits are half a second each, on a busy machine."""


@asynccontextmanager
async def ending(
    tmp_path: Path, *seconds: float, program: Path = PROGRAM, **environment: str
) -> AsyncIterator[tuple[RunningProgram, httpx.AsyncClient]]:
    with started(
        program, *map(str, seconds), cwd=tmp_path, imported=True, **environment
    ) as process:
        await asyncio.to_thread(process.until_it_serves)
        async with process.client() as client:
            yield process, client


async def end_of(process: RunningProgram, number: int) -> None:
    """The server has ended by itself after signal ``number``, and took everything along."""
    code = await asyncio.to_thread(process.wait)
    # uvicorn raises the signal again after its own, ordered shutdown
    assert code in (0, -number), (code, process.log)
    assert "Application shutdown complete" in process.log, process.log
    assert not await asyncio.to_thread(process.left)


@pytest.mark.parametrize(
    ("number", "to_all"),
    [(signal.SIGTERM, False), (signal.SIGINT, True)],
    ids=["SIGTERM", "SIGINT to all, as a terminal sends it"],
)
async def test_calls_in_flight_are_answered(
    gate: Any, tmp_path: Path, number: int, to_all: bool
) -> None:
    """Running ones and one in the line; also when the workers are signalled, too."""
    async with ending(tmp_path, 20) as (process, client):
        calls = [
            asyncio.create_task(client.get("/ending/held", params={"gate": gate.path}))
            for _ in range(4)
        ]
        first = {await gate.entered() for _ in range(3)}
        process.descendants()
        (process.signal_all if to_all else process.signal)(number)
        await asyncio.to_thread(process.until_it_says, "Shutting down")
        gate.release()
        assert await gate.entered() in first
        gate.release()
        answers = await asyncio.gather(*calls)
        assert [answer.status_code for answer in answers] == [200] * 4
        assert {answer.json() for answer in answers} == first
        await end_of(process, number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_endless_calls_hold_no_server(gate: Any, tmp_path: Path, number: int) -> None:
    """Running in processes and in a thread, and one in the line."""
    async with ending(tmp_path, 0.5) as (process, client):
        routes = ["endless", "endless", "endless", "endless", "endless_thread"]
        calls = [
            asyncio.create_task(client.get(f"/ending/{route}", params={"gate": gate.path}))
            for route in routes
        ]
        inside = {await gate.entered() for _ in range(4)}
        assert process.pid in inside
        gate.release()
        process.descendants()
        began = time.monotonic()
        process.signal(number)
        await end_of(process, number)
        assert time.monotonic() - began < BOUND_SECONDS
        await asyncio.gather(*calls, return_exceptions=True)


@pytest.mark.parametrize("program", [PROGRAM, STOCK_PROGRAM], ids=lambda path: path.stem)
async def test_a_request_has_the_time_of_its_pool(gate: Any, tmp_path: Path, program: Path) -> None:
    """Not that of the host, which is shorter."""
    async with ending(tmp_path, 30, 0.2, program=program) as (process, client):
        call = asyncio.create_task(client.get("/ending/held", params={"gate": gate.path}))
        await gate.entered()
        process.descendants()
        process.signal(signal.SIGTERM)
        await asyncio.to_thread(process.until_it_says, "Waiting for connections to close")
        await asyncio.sleep(1.0)  # longer than the host would wait
        gate.release()
        answer = await call
        assert answer.status_code == 200, answer.text
        await end_of(process, signal.SIGTERM)


@pytest.mark.parametrize("program", [PROGRAM, STOCK_PROGRAM], ids=lambda path: path.stem)
async def test_a_request_that_has_to_end_is_answered(
    gate: Any, tmp_path: Path, program: Path
) -> None:
    """With a 503, when its pool's time is up, and the queue's calls too; then the server ends."""
    async with ending(tmp_path, 1.0, 0.2, program=program) as (process, client):
        routes = ["endless", "held", "held", "held", "endless_thread"]
        calls = [
            asyncio.create_task(client.get(f"/ending/{route}", params={"gate": gate.path}))
            for route in routes
        ]
        for _ in range(4):
            await gate.entered()
        process.descendants()
        process.signal(signal.SIGTERM)
        answers = await asyncio.gather(*calls)
        assert [answer.status_code for answer in answers] == [503] * 5
        await end_of(process, signal.SIGTERM)


async def test_a_killed_server_takes_its_workers_along(gate: Any, tmp_path: Path) -> None:
    """One spins in a call and hears no signals, one waits in a call, one is idle."""
    async with ending(tmp_path, 0.5) as (process, client):
        endless = asyncio.create_task(client.get("/ending/endless", params={"gate": gate.path}))
        await gate.entered()
        gate.release()
        held = asyncio.create_task(client.get("/ending/held", params={"gate": gate.path}))
        await gate.entered()
        await client.get("/ending/pid")
        assert len(process.descendants()) == 4  # and their template
        process.signal(signal.SIGKILL)
        assert await asyncio.to_thread(process.wait) == -signal.SIGKILL
        assert not await asyncio.to_thread(process.left)
        await asyncio.gather(endless, held, return_exceptions=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_server_that_ends_while_workers_start_leaves_nothing(
    tmp_path: Path, number: int
) -> None:
    async with ending(tmp_path, 0.5) as (process, client):
        calls = [asyncio.create_task(client.get("/ending/pid")) for _ in range(4)]
        await until(process.descendants)
        process.signal(number)
        await asyncio.gather(*calls, return_exceptions=True)
        await asyncio.to_thread(process.wait)
        assert not await asyncio.to_thread(process.left)


@pytest.mark.parametrize(
    ("first", "second"),
    [(signal.SIGTERM, signal.SIGTERM), (signal.SIGTERM, signal.SIGINT), (signal.SIGINT,) * 2],
    ids=lambda number: number.name,
)
async def test_a_second_signal_hurries(
    gate: Any, tmp_path: Path, first: signal.Signals, second: signal.Signals
) -> None:
    """Running calls are ended at once, whatever they do, and the one in the line never begins."""
    async with ending(tmp_path, LONG_SECONDS) as (process, client):
        routes = ["endless", "held", "held", "endless_thread", "held"]
        calls = [
            asyncio.create_task(client.get(f"/ending/{route}", params={"gate": gate.path}))
            for route in routes
        ]
        for _ in range(4):
            await gate.entered()
        process.descendants()
        process.signal(first)
        await asyncio.to_thread(process.until_it_says, "Waiting for connections to close")
        began = time.monotonic()
        process.signal(second)
        await asyncio.to_thread(process.wait)
        assert time.monotonic() - began < BOUND_SECONDS
        assert not await asyncio.to_thread(process.left)
        gate.release()
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert all(getattr(answer, "status_code", 503) >= 500 for answer in answers)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_hurries_a_server_that_waits_for_its_pools(
    gate: Any, tmp_path: Path, second: signal.Signals
) -> None:
    """No request is left, and a call that nobody on the network waits for is."""
    async with ending(tmp_path, LONG_SECONDS) as (process, client):
        answer = await client.get("/ending/in_the_background", params={"gate": gate.path})
        assert answer.status_code == 200
        await gate.entered()
        process.descendants()
        process.signal(signal.SIGTERM)
        await client.aclose()
        await asyncio.to_thread(process.until_it_says, "Waiting for application shutdown")
        began = time.monotonic()
        process.signal(second)
        await end_of(process, signal.SIGTERM)
        assert time.monotonic() - began < BOUND_SECONDS


async def test_workers_run_their_shutdown_hooks_at_the_servers_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with ending(tmp_path, 5, ENDING_LOG=str(log)) as (process, client):
        pid = (await client.get("/ending/pid")).json()
        process.descendants()
        process.signal(signal.SIGTERM)
        await end_of(process, signal.SIGTERM)
        assert log.read_text().split() == [str(pid)]


@pytest.mark.parametrize(
    ("program", "number"), [(PROGRAM, signal.SIGINT), (STOCK_PROGRAM, signal.SIGTERM)]
)
async def test_a_finalizer_that_hangs_on_a_pools_event_loop_holds_no_server(
    tmp_path: Path, number: int, program: Path
) -> None:
    async with ending(tmp_path, 0.5, 0.5, program=program, ENDING_HANGS="1") as (process, client):
        assert (await client.get("/ending/coroutine")).json() == process.pid
        began = time.monotonic()
        process.signal(number)
        await end_of(process, number)
        assert time.monotonic() - began < BOUND_SECONDS
        assert "pool 'coroutines': its finalizer has not ended" in process.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_does_not_wait_for_a_finalizer(tmp_path: Path, number: int) -> None:
    async with ending(tmp_path, LONG_SECONDS, ENDING_HANGS="1") as (process, client):
        await client.get("/ending/coroutine")
        await client.aclose()
        process.signal(number)
        await asyncio.to_thread(process.until_it_says, "Waiting for application shutdown")
        began = time.monotonic()
        process.signal(number)
        await end_of(process, number)
        assert time.monotonic() - began < BOUND_SECONDS
