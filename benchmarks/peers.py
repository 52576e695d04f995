# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The pools side by side, each used as its own documentation says, behind one small face.

Nothing of a peer is imported before it is opened: most runs have only some of them installed.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.functions import awaited

__all__ = ["PEERS", "Call", "Pool", "Product"]

WORKERS = 2

Call = Callable[..., Awaitable[Any]]
"""``await call(func, *args)``."""


@dataclass(frozen=True, slots=True)
class Pool:
    """An open pool.

    Attributes:
        call: runs a function in it.
        pids: the process ids of its workers, ``None`` if it does not tell.
        within: as ``call``, with the seconds that a run may take first; ``None`` if it has no
            such limit.
    """

    call: Call
    pids: Callable[[], list[int]] | None = None
    within: Callable[..., Awaitable[Any]] | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """A way to have a pool.

    Attributes:
        title: what a reader calls it.
        opened: opens a pool of two workers.
        distribution: what has to be installed, empty for the standard library.
    """

    title: str
    opened: Callable[[], AbstractAsyncContextManager[Pool]]
    distribution: str = ""


@asynccontextmanager
async def _ours() -> AsyncIterator[Pool]:
    from genro_executor_plugin import ProcessExecutor

    pool = ProcessExecutor("bench", max_workers=WORKERS, max_pending=1000)

    def _within(seconds: float, func: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        return pool.options(timeout=seconds).submit(func, *args)

    try:
        yield Pool(pool.submit, lambda: pool.pids, _within)
    finally:
        await pool.shutdown()


@asynccontextmanager
async def _standard(start_method: str) -> AsyncIterator[Pool]:
    from concurrent.futures import ProcessPoolExecutor

    context = multiprocessing.get_context(start_method)
    loop = asyncio.get_running_loop()
    with ProcessPoolExecutor(WORKERS, mp_context=context) as pool:
        yield Pool(partial(loop.run_in_executor, pool), lambda: list(pool._processes or ()))


@asynccontextmanager
async def _loky() -> AsyncIterator[Pool]:
    import loky

    loop = asyncio.get_running_loop()
    pool = loky.get_reusable_executor(max_workers=WORKERS)
    try:
        yield Pool(partial(loop.run_in_executor, pool), lambda: list(pool._processes or ()))
    finally:
        pool.shutdown(wait=True)


@asynccontextmanager
async def _pebble() -> AsyncIterator[Pool]:
    import pebble

    pool = pebble.ProcessPool(max_workers=WORKERS)

    def call(func: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        return asyncio.wrap_future(pool.schedule(func, args=args))

    def within(seconds: float, func: Callable[..., Any], *args: Any) -> Awaitable[Any]:
        return asyncio.wrap_future(pool.schedule(func, args=args, timeout=seconds))

    try:
        yield Pool(call, lambda: list(pool._pool_manager.worker_manager.workers), within)
    finally:
        pool.close()
        pool.join()


@asynccontextmanager
async def _mpire() -> AsyncIterator[Pool]:
    import mpire

    loop = asyncio.get_running_loop()

    def settle(future: asyncio.Future[Any], failed: bool, outcome: Any) -> None:
        if not future.done():
            future.set_exception(outcome) if failed else future.set_result(outcome)

    with mpire.WorkerPool(n_jobs=WORKERS) as pool:

        def call(func: Callable[..., Any], *args: Any) -> Awaitable[Any]:
            future = loop.create_future()
            pool.apply_async(
                func,
                args,
                callback=lambda result: loop.call_soon_threadsafe(settle, future, False, result),
                error_callback=lambda error: loop.call_soon_threadsafe(settle, future, True, error),
            )
            return future

        yield Pool(call)
        pool.stop_and_join()


@asynccontextmanager
async def _aiomultiprocess() -> AsyncIterator[Pool]:
    import aiomultiprocess

    async with aiomultiprocess.Pool(processes=WORKERS) as pool:

        async def call(func: Callable[..., Any], *args: Any) -> Any:
            return await pool.apply(awaited, (func, *args))

        yield Pool(call)


@asynccontextmanager
async def _anyio() -> AsyncIterator[Pool]:
    import anyio
    import anyio.to_process

    limiter = anyio.CapacityLimiter(WORKERS)

    async def call(func: Callable[..., Any], *args: Any) -> Any:
        return await anyio.to_process.run_sync(func, *args, limiter=limiter)

    yield Pool(call)  # its processes end with the event loop


@asynccontextmanager
async def _dask() -> AsyncIterator[Pool]:
    from dask.distributed import Client

    client = Client(
        n_workers=WORKERS,
        threads_per_worker=1,
        processes=True,
        asynchronous=True,
        dashboard_address=None,
    )
    async with client:

        async def call(func: Callable[..., Any], *args: Any) -> Any:
            # Not pure: a result that is known already must not stand in for a call.
            return await client.submit(func, *args, pure=False)

        yield Pool(call)


PEERS: dict[str, Product] = {
    "ours": Product("genro-executor-plugin", _ours),
    "fork": Product("ProcessPoolExecutor (fork)", partial(_standard, "fork")),
    "forkserver": Product("ProcessPoolExecutor (forkserver)", partial(_standard, "forkserver")),
    "spawn": Product("ProcessPoolExecutor (spawn)", partial(_standard, "spawn")),
    "loky": Product("loky", _loky, "loky"),
    "pebble": Product("pebble", _pebble, "pebble"),
    "mpire": Product("mpire", _mpire, "mpire"),
    "aiomultiprocess": Product("aiomultiprocess", _aiomultiprocess, "aiomultiprocess"),
    "anyio": Product("anyio.to_process", _anyio, "anyio"),
    "dask": Product("dask.distributed", _dask, "distributed"),
}
"""Every pool there is a comparison with, ours first."""
