# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a request to a route that is not offloaded pays for a server that has pools."""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from types import FrameType
from typing import Any

import pytest
from genro_routes import route
from host import AsgiServer, RoutedApplication

from genro_executor_plugin import ExecutorServer


class Plain(RoutedApplication):
    mount = "plain"

    @route()
    def sync(self) -> int:
        return 1

    @route()
    async def coroutine(self) -> int:
        return 1


async def answered(server: Any, path: str) -> None:
    body = [{"type": "http.request", "body": b"", "more_body": False}]
    sent: list[Any] = []

    async def receive() -> Any:
        return body.pop() if body else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"localhost")],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await server(scope, receive, send)
    assert sent[0]["status"] == 200


async def frames(cls: Any, path: str) -> Counter[str]:
    """The Python functions that a warm request runs on the event loop's thread, with how often."""
    server = cls(applications=[Plain])
    messages: asyncio.Queue[Any] = asyncio.Queue()
    done: asyncio.Queue[Any] = asyncio.Queue()
    life = asyncio.create_task(server({"type": "lifespan"}, messages.get, done.put))
    await messages.put({"type": "lifespan.startup"})
    assert (await done.get())["type"] == "lifespan.startup.complete"
    for _ in range(20):
        await answered(server, path)
    found = []
    for _ in range(5):  # a timer may fire in between: the shortest counts
        called: Counter[str] = Counter()

        def note(frame: FrameType, event: str, _: Any, called: Counter[str] = called) -> None:
            if event == "call":
                called[frame.f_code.co_qualname] += 1

        sys.setprofile(note)
        try:
            await answered(server, path)
        finally:
            sys.setprofile(None)
        found.append(called)
    await messages.put({"type": "lifespan.shutdown"})
    await life
    return min(found, key=Counter.total)


@pytest.mark.parametrize("path", ["/plain/sync", "/plain/coroutine"])
async def test_a_route_that_is_not_offloaded_pays_at_most_two_percent(path: str) -> None:
    stock = await frames(AsgiServer, path)
    ours = await frames(ExecutorServer, path)
    more = {name: count for name in ours if (count := ours[name] - stock[name])}
    assert ours.total() <= 1.02 * stock.total(), more
