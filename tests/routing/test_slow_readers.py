# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A client that reads nothing of a stream does not hold what sends it for ever."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from genro_routes import route
from host import AsgiServer, RoutedApplication
from servers import Site, serving, until

from genro_executor_plugin import ExecutorConsole, SentFile
from genro_executor_plugin.routing import streaming_response

LIMIT = 0.5


class Taps(RoutedApplication):
    mount = "taps"

    @route(executor="one")
    def table(self) -> Iterator[bytes]:
        while True:
            yield b"x" * 65536

    @route(executor="one")
    def large(self) -> Iterator[bytes]:
        yield b"x" * 3_000_000
        yield b"the end"

    @route(executor="one")
    def quick(self) -> str:
        return "quick"

    @route(executor="one")
    def file(self, path: str) -> SentFile:
        return SentFile(path)


POOLS = {"one": {"max_workers": 1, "send_timeout": LIMIT}}


def executor_server() -> dict[str, Any]:
    return {"executors": POOLS}


def stock_server() -> dict[str, Any]:
    console = (ExecutorConsole, {"executors": POOLS})
    return {"server": AsgiServer(applications=[console, Taps])}


def connect(site: Site, path: str) -> socket.socket:
    """A client that has asked for ``path`` and reads nothing; its receive buffer is small."""
    url = site.client.base_url
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((url.host, url.port))
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: t\r\n\r\n".encode())
    return client


@pytest.mark.parametrize("made", [executor_server, stock_server])
async def test_a_client_that_reads_nothing_gives_the_worker_back(
    made: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(Taps, **made()) as site:
        assert (await site.get("/taps/quick")).status_code == 200
        with closing(await asyncio.to_thread(connect, site, "/taps/table")):
            pool = site.server.executors.get("one")
            await until(lambda: any(one.state == "busy" for one in pool.worker_states()))
            assert (await site.get("/taps/quick")).text.strip('"') == "quick"
    assert "/table: the client has read nothing for 0.5 s (send_timeout)" in caplog.text


async def test_a_slow_client_that_reads_is_served(caplog: pytest.LogCaptureFixture) -> None:
    """A chunk may take longer than the limit as a whole, as long as its pieces do not."""
    async with serving(Taps, **executor_server()) as site:
        url = site.client.base_url
        reader, writer = await asyncio.open_connection(url.host, url.port, limit=4096)
        writer.write(b"GET /taps/large HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        size, last = 0, b""
        begun = asyncio.get_running_loop().time()
        while piece := await reader.read(65536):
            size, last = size + len(piece), piece
            await asyncio.sleep(0.02)
        assert asyncio.get_running_loop().time() - begun > LIMIT
        assert size > 3_000_000
        assert b"the end" in last
        writer.close()
    assert "has read nothing" not in caplog.text


async def test_a_file_is_let_go_of_when_nobody_reads_it(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streaming_response, "SEND_TIMEOUT_SECONDS", LIMIT)
    large = tmp_path / "large"
    large.write_bytes(bytes(30_000_000))
    async with serving(Taps, **executor_server()) as site:
        with closing(await asyncio.to_thread(connect, site, f"/taps/file?path={large}")):
            await until(lambda: "/file: the client has read nothing" in caplog.text)


async def test_a_pool_may_have_no_limit() -> None:
    async with serving(Taps, executors={"one": {"send_timeout": None}}) as site:
        assert site.server.executors.get("one").pool_options.send_timeout is None
