# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Right and wrong uses of what is public, for type checkers; nothing here is ever run.

A line with a wrong use ends with the error that each checker has to report there:
``# mypy: CODE, pyright: CODE``.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextvars import ContextVar
from datetime import timedelta
from typing import Any, assert_type

from genro_asgi.streaming import StreamingResponse

from genro_executor_plugin import (
    BaseExecutor,
    ExecutorApplication,
    ExecutorConsole,
    ExecutorRegistry,
    ExecutorServer,
    InlineExecutor,
    LocalExecutor,
    PoolDeclaration,
    ProcessExecutor,
    TaskStatus,
    ThreadExecutor,
    cancelled,
    progress,
    run_packed,
    worker_index,
)
from genro_executor_plugin.executors import BoundExecutor

LANGUAGE: ContextVar[str] = ContextVar("LANGUAGE")


def add(a: int, b: int = 0) -> int:
    return a + b


async def fetch(url: str, *, depth: int = 1) -> bytes:
    return url.encode() * depth


def anything(value):  # type: ignore[no-untyped-def]  # the code of a user without annotations
    return value


def numbers(count: int) -> Generator[int, None, None]:
    yield from range(count)


def lines(count: int) -> Iterator[str]:
    return iter(["line"] * count)


async def blocks(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"block"


async def opened(count: int) -> AsyncIterator[bytes]:
    return blocks(count)


def answer(count: int) -> StreamingResponse:
    return StreamingResponse(blocks(count))


class Report:
    def __init__(self, title: str) -> None:
        self.title = title

    def pages(self, size: int) -> list[str]:
        return [self.title] * size

    async def sent(self) -> bool:
        return True


async def submits(pool: BaseExecutor, bound: BoundExecutor) -> None:
    assert_type(await pool.submit(add, 1, b=2), int)
    assert_type(await pool.submit(fetch, "x", depth=2), bytes)
    assert_type(await pool.submit(Report, "x"), Report)
    assert_type(await pool.submit(Report("x").pages, 1), list[str])
    assert_type(await pool.submit(Report("x").sent), bool)
    assert_type(await pool.submit(len, "x"), int)
    assert_type(await pool.submit(lambda: 1), int)
    await pool.submit(anything, 1)
    assert_type(await bound.submit(add, 1), int)
    assert_type(await bound.submit(fetch, "x"), bytes)

    await pool.submit(add, "1")  # mypy: call-overload, pyright: reportArgumentType
    await pool.submit(add, 1, c=2)  # mypy: call-arg, pyright: reportCallIssue
    await pool.submit(fetch, "x", deep=2)  # mypy: call-arg, pyright: reportCallIssue
    await pool.submit(add(1, 2))  # mypy: call-overload, pyright: reportArgumentType
    await bound.submit(add)  # mypy: call-overload, pyright: reportCallIssue


async def maps(pool: BaseExecutor, bound: BoundExecutor) -> None:
    assert_type(pool.map(add, [1, 2]), AsyncGenerator[int, None])
    assert_type(pool.map(add, [1, 2], range(2), ahead=4), AsyncGenerator[int, None])
    assert_type(pool.map(fetch, ["x"]), AsyncGenerator[bytes, None])
    assert_type(bound.map(Report, ["x"]), AsyncGenerator[Report, None])
    async for size in pool.map(len, ["x"]):
        assert_type(size, int)

    pool.map(add, ["x"])  # mypy: arg-type, pyright: reportArgumentType
    pool.map(add, [1], [2], [3])  # mypy: arg-type, pyright: reportArgumentType
    pool.map(add, [1], ahed=4)  # mypy: call-overload, pyright: reportCallIssue


async def streams(pool: BaseExecutor, bound: BoundExecutor) -> None:
    assert_type(pool.stream(numbers, 3), AsyncGenerator[int, None])
    assert_type(pool.stream(lines, count=3), AsyncGenerator[str, None])
    assert_type(pool.stream(blocks, 3), AsyncGenerator[bytes, None])
    assert_type(pool.stream(opened, 3), AsyncGenerator[bytes, None])
    assert_type(pool.stream(answer, 3), AsyncGenerator[bytes, None])
    assert_type(bound.stream(blocks, 3), AsyncGenerator[bytes, None])
    async for number in pool.stream(numbers, 3):
        assert_type(number, int)

    pool.stream(numbers, "3")  # mypy: arg-type, pyright: reportArgumentType
    pool.stream(add, 3)  # mypy: arg-type, pyright: reportArgumentType


async def options_of_calls(pool: BaseExecutor) -> None:
    bound = pool.options(timeout=3, soft_timeout=2.5, on_overload="fail", retries=2)
    assert_type(bound, BoundExecutor)
    assert_type(bound.options(queue_timeout=None, idle=3.0), BoundExecutor)

    pool.options(time_out=3)  # mypy: call-arg, pyright: reportCallIssue
    pool.options(timeout="3")  # mypy: arg-type, pyright: reportArgumentType
    pool.options(on_overload="fial")  # mypy: arg-type, pyright: reportArgumentType
    bound.options(max_workers=3)  # mypy: call-arg, pyright: reportCallIssue


async def decorators(pool: BaseExecutor) -> None:
    sums = pool(add)
    assert_type(await sums(1, b=2), int)
    fetched: Callable[[str], Coroutine[Any, Any, bytes]] = pool.options(timeout=3)(fetch)
    assert_type(await fetched("x"), bytes)

    @pool
    def title(report: Report) -> str:
        return report.title

    assert_type(await title(Report("x")), str)

    sums("x")  # mypy: arg-type, pyright: reportArgumentType
    await sums(1, c=2)  # mypy: call-arg, pyright: reportCallIssue
    pool(timeout=3)  # mypy: call-overload, pyright: reportCallIssue


def pools(server: ExecutorServer, registry: ExecutorRegistry) -> None:
    assert_type(server.executor(name="pdf", max_workers=2), BaseExecutor)
    assert_type(server.executor("thread", name="db", abandon_on_timeout=True), BaseExecutor)
    assert_type(registry.get_or_create("pdf", "process", warm=True), BaseExecutor)
    registry.declare("pdf", memory_limit="512MB", context=["LANGUAGE"], env={"A": "b"})
    own: dict[str, Any] = {"servers": ["nats://127.0.0.1"]}  # options of a kind of one's own
    registry.declare("own", executor_type="nats", **own)
    assert_type(server.get_executor("pdf"), BaseExecutor)
    assert_type(server.get_executor_metrics(), list[dict[str, Any]])

    server.executor(name="pdf", max_wrokers=2)  # mypy: call-arg, pyright: reportCallIssue
    server.executor(name="pdf", max_workers="2")  # mypy: arg-type, pyright: reportArgumentType
    registry.get_or_create("pdf", waarm=True)  # mypy: call-arg, pyright: reportCallIssue
    registry.declare("pdf", preload="json")  # mypy: arg-type, pyright: reportArgumentType


class FarPool(PoolDeclaration, total=False):
    servers: list[str]


POOLS: dict[str, PoolDeclaration] = {"pdf": {"max_workers": 2}}


def declarations() -> None:
    far: dict[str, FarPool] = {"far": {"executor_type": "nats", "servers": ["nats://127.0.0.1"]}}
    ExecutorServer(executors=POOLS, long_tasks={"path": "jobs", "max_bytes": "1GB"}, strict=True)
    ExecutorServer(
        executors={
            "pdf": {"max_workers": 2, "warm": True, "initializer": add, "initargs": (1, 2)},
            "db": {"executor_type": "thread", "abandon_on_timeout": True, "timeout": 5},
        }
    )
    ExecutorServer(executors=[{"name": "pdf", "memory_limit": "1GB", "env": {"A": "b"}}])
    ExecutorRegistry(far).declare_all({"pdf": {}})
    Server, Console = ExecutorServer, ExecutorConsole

    Server(executors={"p": {"nce": 1}})  # mypy: typeddict-unknown-key, pyright: reportArgumentType
    Server(executors={"p": {"nice": "1"}})  # mypy: typeddict-item, pyright: reportArgumentType
    Server(executors=[{"warm": True}])  # mypy: typeddict-item, pyright: reportArgumentType
    Server(executors={"pdf": 2})  # mypy: dict-item, pyright: reportArgumentType
    Server(long_tasks={"paht": "jobs"})  # mypy: arg-type, pyright: reportArgumentType
    Server(strict="yes")  # mypy: arg-type, pyright: reportArgumentType
    ExecutorRegistry({"p": {"nice": ""}})  # mypy: typeddict-item, pyright: reportArgumentType
    Console(executors={"p": {"warm": 1}})  # mypy: typeddict-item, pyright: reportArgumentType


def kinds() -> None:
    LocalExecutor()
    ProcessExecutor("pdf", max_workers=2, gpus=[0, 1], start_method="spawn", context=[LANGUAGE])
    assert_type(ProcessExecutor("pdf").pids, list[int])
    ThreadExecutor("db", max_workers=2, initializer=add, initargs=(1, 2))
    InlineExecutor("here", bypass="fast")

    ProcessExecutor("pdf", abandon_on_timeout=True)  # mypy: call-arg, pyright: reportCallIssue
    ProcessExecutor("pdf", start_method="fork")  # mypy: arg-type, pyright: reportArgumentType
    ThreadExecutor("db", min_workers=2)  # mypy: call-arg, pyright: reportCallIssue
    InlineExecutor("here", memory_limit="1GB")  # mypy: call-arg, pyright: reportCallIssue


class Reports(ExecutorApplication):
    async def code_of_its_own(self) -> None:
        run_process, run_blocking = self.executor.run_process, self.executor.run_blocking
        assert_type(await run_process(add, 1, b=2), int)
        assert_type(await run_blocking(fetch, "x"), bytes)

        await run_process(add, "x")  # mypy: call-overload, pyright: reportArgumentType
        await run_blocking(add, c=1)  # mypy: call-overload, pyright: reportCallIssue

    async def long_jobs(self) -> None:
        submitted = self.tasks.submit(add, 1, b=2)
        assert_type(await self.tasks.result(submitted), int)
        stored = await self.tasks.submit(fetch, "x")
        assert_type(await self.tasks.result(stored, timeout=3), bytes)
        assert_type(await self.tasks.result(await self.tasks.submit("yearly", 2026)), Any)
        assert_type(await self.tasks.result("8f2b"), Any)
        assert_type(await self.tasks.status(stored), TaskStatus)
        self.tasks.options(pool="pdf", eta=timedelta(hours=1), retries=3).submit(add, 1)

        self.tasks.submit(add, "x")  # mypy: call-overload, pyright: reportArgumentType
        self.tasks.options(retry=3)  # mypy: call-arg, pyright: reportCallIssue
        await self.tasks.result(8)  # mypy: call-overload, pyright: reportArgumentType


def inside_a_worker() -> None:
    progress(0.5, "half", page=3)
    assert_type(cancelled(), bool)
    assert_type(run_packed(b""), bytes)
    assert_type(worker_index(), int | None)

    progress("half")  # mypy: arg-type, pyright: reportArgumentType
    run_packed("x")  # mypy: arg-type, pyright: reportArgumentType
