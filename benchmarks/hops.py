# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``python -m benchmarks.hops``: the files that one warm call crosses on the server's side.

Two calls are followed, each in this process: a request to an offloaded route, from the server's
ASGI call to its end, and a plain ``executor.submit``. Two figures are counted for each: how many
files of the package have a function that runs, and how often a function of one file calls a
function of another one (a change of file). What a coroutine does when it goes on after an
``await`` is no new call; calls that pass through the standard library or the host count as calls
from the last file of the package before them. The worker's side is not counted: it is another
process.

A timer of the package may fire in between, so every call is followed several times and the
shortest trace is shown.
"""

from __future__ import annotations

import argparse
import asyncio
import dis
import json
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import httpx
import uvicorn
from genro_asgi import RoutedApplication
from genro_routes import route

import genro_executor_plugin
from benchmarks.functions import answer
from genro_executor_plugin import BaseExecutor, ExecutorServer

__all__ = ["Step", "Trace", "follow_calls"]

_PACKAGE = str(Path(genro_executor_plugin.__file__).parent)
_WARM_CALLS = 20
_TRACED_CALLS = 5


@dataclass(frozen=True, slots=True)
class Step:
    """A function of the package in its file, as a path below the package's folder."""

    file: str
    function: str

    def __str__(self) -> str:
        return f"{self.file}:{self.function}"


@dataclass(slots=True)
class Trace:
    """What one call crossed.

    Attributes:
        files: the files in the order in which the call came to them first.
        changes: caller and called for each change of file, in order.
        entries: functions that the event loop called by itself, in order; no change of file.
    """

    files: list[str] = field(default_factory=list)
    changes: list[tuple[Step, Step]] = field(default_factory=list)
    entries: list[Step] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The trace as plain values."""
        return {
            "files": self.files,
            "changes": [[str(caller), str(called)] for caller, called in self.changes],
            "entries": [str(entry) for entry in self.entries],
        }

    @contextmanager
    def following(self) -> Iterator[None]:
        """Note what this thread, and every thread that it starts, calls in the block."""
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        try:
            yield
        finally:
            sys.setprofile(None)
            threading.setprofile(None)  # type: ignore[arg-type]

    def _note(self, frame: FrameType, event: str, _argument: Any) -> None:
        if event != "call" or not _is_ours(frame):
            return
        called = _step(frame)
        if called.file not in self.files:
            self.files.append(called.file)
        if frame.f_lasti > _beginning(frame.f_code):
            return  # a coroutine or generator that goes on
        caller = _caller(frame)
        if caller is None:
            self.entries.append(called)
        elif caller.file != called.file:
            self.changes.append((caller, called))


def _is_ours(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_PACKAGE)


@cache
def _beginning(code: CodeType) -> int:
    """Where in ``code`` the first instruction stands that a profiler sees."""
    return next(step.offset for step in dis.get_instructions(code) if step.opname == "RESUME")


def _step(frame: FrameType) -> Step:
    code = frame.f_code
    file = Path(code.co_filename).relative_to(_PACKAGE).as_posix()
    return Step(file, code.co_qualname.replace("<locals>.", ""))


def _caller(frame: FrameType) -> Step | None:
    """The nearest function of the package that waits for ``frame``."""
    above = frame.f_back
    while above is not None and not _is_ours(above):
        above = above.f_back
    return None if above is None else _step(above)


class Crossed(RoutedApplication):
    """One route that does nothing, in a pool of processes."""

    mount = "bench"

    @route(executor="calls")
    def offloaded(self) -> int:
        return answer()


class _Watched:
    """An ASGI application that follows each HTTP request to ``server`` from start to end."""

    def __init__(self, server: ExecutorServer) -> None:
        self.server = server
        self.trace: Trace | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or self.trace is None:
            await self.server(scope, receive, send)
            return
        with self.trace.following():
            await self.server(scope, receive, send)


async def follow_calls() -> dict[str, Trace]:
    """The shortest trace of a warm HTTP call and of a warm ``submit``, by these names."""
    server = ExecutorServer(
        applications=[Crossed], executors={"calls": {"max_workers": 1, "warm": True}}, tasks=False
    )
    watched = _Watched(server)
    async with _serving(watched) as client:
        over_http = await _shortest(lambda trace: _request(client, watched, trace))
        executor = server.get_executor("calls")
        submitted = await _shortest(lambda trace: _submit(executor, trace))
    return {"HTTP call": over_http, "submit": submitted}


@asynccontextmanager
async def _serving(application: Any) -> AsyncIterator[httpx.AsyncClient]:
    config = uvicorn.Config(
        application, port=0, interface="asgi3", log_level="error", lifespan="on", ws="none"
    )
    running = uvicorn.Server(config)
    task = asyncio.create_task(running.serve())
    while not running.started:
        assert not task.done(), "the server did not start"
        await asyncio.sleep(0.01)
    port = running.servers[0].sockets[0].getsockname()[1]
    try:
        async with httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30
        ) as client:
            yield client
    finally:
        running.should_exit = True
        await task


async def _shortest(call: Callable[[Trace | None], Awaitable[None]]) -> Trace:
    for _ in range(_WARM_CALLS):
        await call(None)
    traces = [Trace() for _ in range(_TRACED_CALLS)]
    for trace in traces:
        await call(trace)
    return min(traces, key=lambda trace: (len(trace.changes), len(trace.files)))


async def _request(client: httpx.AsyncClient, watched: _Watched, trace: Trace | None) -> None:
    watched.trace = trace
    response = await client.get("/bench/offloaded")
    response.raise_for_status()
    assert response.json() == answer()


async def _submit(executor: BaseExecutor, trace: Trace | None) -> None:
    with nullcontext() if trace is None else trace.following():
        assert await executor.submit(answer) == answer()


def _lines(name: str, trace: Trace) -> Iterator[str]:
    yield f"{name}: {len(trace.files)} files, {len(trace.changes)} changes of file"
    yield "  files, in the order of the call:"
    yield from (f"    {number:3}  {file}" for number, file in enumerate(trace.files, 1))
    yield "  changes of file:"
    for number, (caller, called) in enumerate(trace.changes, 1):
        yield f"    {number:3}  {caller} -> {called}"
    yield "  called by the event loop or the host:"
    yield from (f"         {entry}" for entry in trace.entries)


def main(arguments: list[str]) -> int:
    """Follow both calls and print what they crossed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hops", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    chosen = parser.parse_args(arguments)
    traces = asyncio.run(follow_calls())
    if chosen.json:
        print(json.dumps({name: trace.as_dict() for name, trace in traces.items()}, indent=2))
    else:
        print("\n\n".join("\n".join(_lines(name, trace)) for name, trace in traces.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
