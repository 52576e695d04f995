# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Servers for tests: real ones, on a loopback port of their own.

``serving`` serves in the test's own process, so that a test may look at the server while it
talks to it over HTTP. ``built`` has no port at all. A server in a process of its own, for what
must be seen from outside (signals, exit codes, what is left), is a program: see ``programs``.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
import uvicorn
from programs import REQUEST_TIMEOUT_SECONDS

from genro_executor_plugin import ExecutorServer
from genro_executor_plugin.console.token import TOKEN_HEADER


class Site:
    """A server that serves, and a client of it."""

    def __init__(self, server: Any, client: httpx.AsyncClient) -> None:
        self.server = server
        self.client = client

    async def get(self, path: str, **parameters: Any) -> httpx.Response:
        return await self.client.get(path, params=parameters or None)

    async def post(self, path: str, body: Any) -> httpx.Response:
        return await self.client.post(path, json=body)

    async def json(self, path: str, **parameters: Any) -> Any:
        """What ``path`` answers, which must be a 200."""
        answer = await self.get(path, **parameters)
        assert answer.status_code == 200, (path, answer.status_code, answer.text)
        return answer.json()

    async def quick_json(self, path: str) -> Any:
        """As ``json``, on a connection of its own.

        With httpx, hundreds of requests at once take longer than the calls that a test is about.
        """
        url = self.client.base_url
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n".encode())
        try:
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        finally:
            writer.close()
        assert head.startswith(b"HTTP/1.1 200 "), (path, head, body)
        return json.loads(body)

    def app(self, code: str) -> Any:
        return self.server.applications[code]


class _Uvicorn(uvicorn.Server):
    """uvicorn as a task of a test: it says when it is up and leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = asyncio.Event()

    async def startup(self, sockets: Any = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit:
            self.should_exit = True  # the lifespan refused; ``serving`` tells the test
        finally:
            self.up.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def serving(
    *applications: Any, server: Any = None, ws: Any = "none", **options: Any
) -> AsyncIterator[Site]:
    """Serve ``applications`` (or ``server``) until the block ends; the client has the token."""
    if server is None:
        options.setdefault("tasks", False)
        server = ExecutorServer(applications=list(applications), **options)
    config = uvicorn.Config(
        server,
        port=0,
        log_config=None,
        lifespan="on",
        ws=ws,
        timeout_graceful_shutdown=5,
        # An idle connection is closed by the client alone, and not while a request is on its way.
        timeout_keep_alive=3600,
    )
    running = _Uvicorn(config)
    before, lifespans = asyncio.all_tasks(), set()
    task = asyncio.create_task(running.serve())
    try:
        await running.up.wait()
        lifespans = {new for new in asyncio.all_tasks() - before if _is_lifespan(new)}
        assert running.started, "the server did not start"
        host, port = running.servers[0].sockets[0].getsockname()[:2]
        async with httpx.AsyncClient(
            base_url=f"http://{host}:{port}",
            timeout=REQUEST_TIMEOUT_SECONDS,
            limits=httpx.Limits(max_connections=None),
            headers={"accept": "application/json"},
            trust_env=False,
            verify=False,
        ) as client:
            console = server.applications.get("_executors")
            if console is not None:
                client.headers[TOKEN_HEADER] = console.token.value
            yield Site(server, client)
    finally:
        running.should_exit = True
        await task
        # uvicorn goes when its lifespan says that it is complete; this is what comes behind it.
        await asyncio.gather(*lifespans)


def _is_lifespan(task: asyncio.Task[Any]) -> bool:
    return getattr(task.get_coro(), "__qualname__", "") == "LifespanOn.main"


@asynccontextmanager
async def built(*applications: Any, **options: Any) -> AsyncIterator[Any]:
    """A server that is complete and does not serve; its jobs and pools end with the block."""
    options.setdefault("tasks", False)
    server = ExecutorServer(applications=list(applications), **options)
    try:
        yield server
    finally:
        await server._lifecycle.end()
        server.pool.shutdown()


async def until(fact: Callable[[], Any]) -> None:
    """Let the event loop run until ``fact()``; the test's own limit is the limit."""
    while not fact():  # noqa: ASYNC110 - what it waits for has no event of its own
        await asyncio.sleep(0.002)


async def until_answered(ask: Callable[[], Awaitable[Any]], every: float = 0.005) -> Any:
    """What ``ask()`` answers as soon as that is true; the test's own limit is the limit."""
    while not (answer := await ask()):  # noqa: ASYNC110 - there is no event for it
        await asyncio.sleep(every)
    return answer


async def boot_message(server: Any) -> dict[str, Any]:
    """What ``server`` answers to the start of its lifespan; it is shut down again."""
    incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
    incoming.put_nowait({"type": "lifespan.startup"})
    incoming.put_nowait({"type": "lifespan.shutdown"})
    await server({"type": "lifespan"}, incoming.get, outgoing.put)
    return outgoing.get_nowait()
