# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What pools are held against: the least that the system and Python cost by themselves."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter

from benchmarks.figures import percentile
from benchmarks.functions import burn, wait_for_end

__all__ = ["YARDSTICKS"]

_MESSAGE = b"x" * 64
_WARM_UP = 100


def raw(seconds: float) -> dict[str, float]:
    """A forked child and a socketpair: blocking writes and reads, 64 bytes there and back."""
    here, there = socket.socketpair()

    def echo() -> None:
        here.close()
        while data := there.recv(4096):
            there.sendall(data)

    with _forked(echo):
        there.close()
        times: list[float] = []
        end = perf_counter() + seconds
        while (began := perf_counter()) < end:
            here.sendall(_MESSAGE)
            here.recv(4096)
            times.append(perf_counter() - began)
        here.close()
    ordered = sorted(times[_WARM_UP:] or times)
    return {"p50_us": percentile(ordered, 50) * 1e6, "p99_us": percentile(ordered, 99) * 1e6}


def raw_pinned(seconds: float) -> dict[str, float]:
    """As ``raw``, on one CPU."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return raw(seconds)


def loop(seconds: float) -> dict[str, float]:
    """As ``raw``, with an event loop that watches the server's end, and nothing else around it."""
    return asyncio.run(_loop(seconds))


def loop_pinned(seconds: float) -> dict[str, float]:
    """As ``loop``, on one CPU."""
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return loop(seconds)


async def _loop(seconds: float) -> dict[str, float]:
    here, there = socket.socketpair()

    def echo() -> None:
        here.close()
        while data := there.recv(4096):
            there.sendall(data)

    with _forked(echo):
        there.close()
        here.setblocking(False)
        running = asyncio.get_running_loop()
        answered: asyncio.Future[bytes] = running.create_future()
        running.add_reader(here, lambda: answered.set_result(here.recv(4096)))
        times: list[float] = []
        end = perf_counter() + seconds
        while (began := perf_counter()) < end:
            answered = running.create_future()
            here.send(_MESSAGE)
            await answered
            times.append(perf_counter() - began)
        running.remove_reader(here)
        here.close()
    ordered = sorted(times[_WARM_UP:] or times)
    return {"p50_us": percentile(ordered, 50) * 1e6, "p99_us": percentile(ordered, 99) * 1e6}


def ideal(seconds: float) -> dict[str, float]:
    """Two forked loops, each with half of the 1 ms calls, and nothing between them."""
    calls = max(1, round(seconds * 1000))

    def loop() -> None:
        os.read(go_read, 1)
        for _ in range(calls):
            burn(1.0)

    go_read, go_write = os.pipe()
    with _forked(loop), _forked(loop):
        began = perf_counter()
        os.write(go_write, b"go")
    elapsed = perf_counter() - began
    for fd in (go_read, go_write):
        os.close(fd)
    return {"per_second": 2 * calls / elapsed}


def bare_child(seconds: float) -> dict[str, float]:
    """A child of multiprocessing's forkserver that has done nothing but say so."""
    import multiprocessing
    import time

    import psutil

    context = multiprocessing.get_context("forkserver")
    here, there = context.Pipe()
    child = context.Process(target=wait_for_end, args=(there,))
    child.start()
    here.recv()
    time.sleep(0.2)
    uss = psutil.Process(child.pid).memory_full_info().uss
    here.send(None)
    child.join()
    return {"worker_mb": uss / 1_000_000}


YARDSTICKS = {
    yardstick.__name__: yardstick
    for yardstick in (raw, raw_pinned, loop, loop_pinned, ideal, bare_child)
}
"""By name: ``yardstick(seconds)`` gives its figures."""


@contextmanager
def _forked(body: Callable[[], None]) -> Iterator[None]:
    """``body`` in a forked child, which has ended when the block has."""
    pid = os.fork()
    if pid == 0:
        try:
            body()
        finally:
            os._exit(0)
    yield
    os.waitpid(pid, 0)
