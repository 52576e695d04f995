# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is measured of a pool. Every measurement opens one of its own and closes it again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

from benchmarks.figures import percentile
from benchmarks.functions import answer, burn, grow, rest
from benchmarks.peers import Call, Product

__all__ = ["MEASURES"]

Figures = dict[str, float]

_CALLERS = 64
_LONG_MILLISECONDS = 500
_PAYLOAD = 10_000_000
_TICK_SECONDS = 0.001
_RECOVERY_SECONDS = 1.0
_LIMIT_SECONDS = 0.1


async def sequential(product: Product, seconds: float) -> Figures:
    """One no-op after the other: how long each takes."""
    async with product.opened() as pool:
        await _bring_up(pool.call)
        return _latencies(await _timed(pool.call, seconds))


async def pinned(product: Product, seconds: float) -> Figures:
    """As ``sequential``, with the server's side and the workers on one CPU."""
    with _on_one_cpu():
        return await sequential(product, seconds)


async def throughput(product: Product, seconds: float) -> Figures:
    """No-ops of 64 callers at a time."""
    async with product.opened() as pool:
        await _bring_up(pool.call)
        await _crowd(pool.call, min(seconds / 4, 0.2), answer)
        return {"per_second": await _crowd(pool.call, seconds, answer)}


async def work(product: Product, seconds: float) -> Figures:
    """Calls that use a CPU for 1 ms, of 64 callers at a time."""
    async with product.opened() as pool:
        await _bring_up(pool.call)
        return {"per_second": await _crowd(pool.call, seconds, burn, 1.0)}


async def payload(product: Product, seconds: float) -> Figures:
    """10 MB of bytes in, 10 MB of array out; and how late a 1 ms ticker is meanwhile."""
    data = b"\x01" * _PAYLOAD
    async with product.opened() as pool:
        await _bring_up(pool.call)
        for _ in range(2):  # the workers import numpy
            await asyncio.gather(pool.call(grow, data), pool.call(grow, data))
        idle = _Ticker()
        await asyncio.sleep(seconds)
        idle_gap = await idle.stop()
        ticker = _Ticker()
        times = await _timed(pool.call, seconds, grow, data)
        gap = await ticker.stop()
    return {
        "p50_ms": percentile(times, 50) * 1000,
        "gap_ms": gap * 1000,
        "idle_gap_ms": idle_gap * 1000,
        "added_gap_ms": (gap - idle_gap) * 1000,
    }


async def mixed(product: Product, seconds: float) -> Figures:
    """Calls of 1 ms, one after the other, while a call of 500 ms runs beside them all the time."""
    async with product.opened() as pool:
        await _bring_up(pool.call)
        enough = asyncio.Event()

        async def long_calls() -> None:
            while not enough.is_set():
                await pool.call(burn, _LONG_MILLISECONDS)

        long = asyncio.create_task(long_calls())
        times: list[float] = []
        end = perf_counter() + seconds
        while perf_counter() < end or len(times) < 2:
            await asyncio.sleep(2 * _TICK_SECONDS)
            began = perf_counter()
            await pool.call(burn, 1.0)
            times.append(perf_counter() - began)
        enough.set()
        await long
    times.sort()
    return {"p50_ms": percentile(times, 50) * 1000, "p99_ms": percentile(times, 99) * 1000}


async def overdue(product: Product, seconds: float) -> Figures:
    """How much later than its limit of 100 ms a call is ended, while the other worker is busy."""
    async with product.opened() as pool:
        assert pool.within is not None
        await _bring_up(pool.call)
        enough = asyncio.Event()

        async def short_calls() -> None:
            while not enough.is_set():
                await pool.call(burn, 1.0)

        busy = [asyncio.create_task(short_calls()) for _ in range(8)]
        late: list[float] = []
        end = perf_counter() + seconds
        while perf_counter() < end or len(late) < 3:
            marker = perf_counter()
            try:
                await pool.within(_LIMIT_SECONDS, rest, 60.0)
            except TimeoutError:
                # The run begins a little later than the call is made: that is lateness, too.
                late.append(perf_counter() - marker - _LIMIT_SECONDS)
        enough.set()
        await asyncio.gather(*busy)
    late.sort()
    return {"p50_ms": percentile(late, 50) * 1000, "worst_ms": late[-1] * 1000}


async def cold(product: Product, seconds: float) -> Figures:
    """From no pool at all to its first result."""
    began = perf_counter()
    async with product.opened() as pool:
        assert await pool.call(answer) == 42
        return {"first_ms": (perf_counter() - began) * 1000}


async def killed_one(product: Product, seconds: float) -> Figures:
    """From the SIGKILL of one of two idle workers to the next good result."""
    return await _killed(product, seconds, 1)


async def killed_both(product: Product, seconds: float) -> Figures:
    """From the SIGKILL of both workers, idle, to the next good result."""
    return await _killed(product, seconds, 2)


async def _killed(product: Product, seconds: float, victims: int) -> Figures:
    times: list[float] = []
    failed = 0
    end = perf_counter() + seconds
    while not times or perf_counter() < end:
        async with product.opened() as pool:
            assert pool.pids is not None
            await _bring_up(pool.call)
            pids = sorted(pool.pids())
            # Either one in turn: which of them a pool would have used next is its own affair.
            turn = len(times) % len(pids)
            chosen = (pids[turn:] + pids[:turn])[:victims]
            began = perf_counter()
            for pid in chosen:
                os.kill(pid, signal.SIGKILL)
            while True:
                try:
                    await pool.call(answer)
                except Exception as error:
                    failed += 1
                    if perf_counter() - began > _RECOVERY_SECONDS:
                        kind = type(error).__name__
                        raise RuntimeError(f"no good call any more: {kind}") from error
                    await asyncio.sleep(0)
                else:
                    break
            times.append(perf_counter() - began)
    times.sort()
    return {"next_ms": percentile(times, 50) * 1000, "failed": failed / len(times)}


async def memory(product: Product, seconds: float) -> Figures:
    """The memory that each idle worker has for itself, and what the pool keeps beside them."""
    import psutil

    async with product.opened() as pool:
        assert pool.pids is not None
        await _bring_up(pool.call)
        await asyncio.sleep(0.2)
        pids = set(pool.pids())
        uss = {p.pid: _uss_mb(p) for p in psutil.Process().children(recursive=True)}
        return {
            "worker_mb": sum(uss[pid] for pid in pids) / len(pids),
            "beside_mb": sum(size for pid, size in uss.items() if pid not in pids),
        }


def _uss_mb(process: object) -> float:
    uss: int = process.memory_full_info().uss  # type: ignore[attr-defined]
    return uss / 1_000_000


async def state(product: Product, seconds: float) -> Figures:
    """As ``benchmarks.state.state``: only this one needs genro-asgi, and pays for it."""
    from benchmarks import state as with_genro_asgi

    return await with_genro_asgi.state(product, seconds)


MEASURES = {
    measure.__name__: measure
    for measure in (
        sequential,
        pinned,
        throughput,
        work,
        payload,
        mixed,
        overdue,
        cold,
        killed_one,
        killed_both,
        memory,
        state,
    )
}
"""By name: ``await measure(product, seconds)`` gives its figures."""


async def _bring_up(call: Call) -> None:
    """Have both workers started, and the path to them warm."""
    for _ in range(3):
        await asyncio.gather(call(rest, 0.02), call(rest, 0.02))
    for _ in range(20):
        await call(answer)


async def _timed(call: Call, seconds: float, func: object = answer, *args: object) -> list[float]:
    """How long calls take one after the other, sorted."""
    times: list[float] = []
    end = perf_counter() + seconds
    while (began := perf_counter()) < end or len(times) < 3:
        await call(func, *args)
        times.append(perf_counter() - began)
    return sorted(times)


def _latencies(times: list[float]) -> Figures:
    return {"p50_us": percentile(times, 50) * 1e6, "p99_us": percentile(times, 99) * 1e6}


async def _crowd(call: Call, seconds: float, func: object, *args: object) -> float:
    """Calls per second that 64 callers get, each with one call under way."""
    done = 0

    async def caller() -> None:
        nonlocal done
        while perf_counter() < end:
            await call(func, *args)
            done += 1

    began = perf_counter()
    end = began + seconds
    await asyncio.gather(*(caller() for _ in range(_CALLERS)))
    return done / (perf_counter() - began)


@contextmanager
def _on_one_cpu() -> Iterator[None]:
    granted = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(granted)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, granted)


class _Ticker:
    """Wakes every millisecond and remembers how late it was at worst."""

    def __init__(self) -> None:
        self._worst = 0.0
        self._stopping = False
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while not self._stopping:
            began = perf_counter()
            await asyncio.sleep(_TICK_SECONDS)
            self._worst = max(self._worst, perf_counter() - began - _TICK_SECONDS)

    async def stop(self) -> float:
        """End it; the worst lateness in seconds."""
        self._stopping = True
        await self._task
        return self._worst
