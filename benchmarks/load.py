# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""HTTP load: keep-alive connections on one event loop, cheap enough not to be what is measured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

from benchmarks.figures import percentile

__all__ = ["Connection", "connected", "crowd", "one_by_one"]

_PAUSE_SECONDS = 0.002


class Connection(asyncio.Protocol):
    """One keep-alive connection to a server on loopback, with one request at a time on its way.

    It sends the session cookie back, as every client of genro-asgi does.
    """

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[bytes] | None = None
        self._buffer = b""
        self._cookie = b""
        self._lost = False

    @classmethod
    async def open(cls, port: int) -> Connection:
        """A connection to 127.0.0.1."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(cls, "127.0.0.1", port)
        return connection

    async def get(self, path: str) -> bytes:
        """The body of the answer to GET ``path``.

        Raises:
            RuntimeError: the status is not 200, or the connection was lost.
        """
        assert self._transport is not None
        if self._lost:
            raise RuntimeError("the server closed the connection")
        self._waiter = asyncio.get_running_loop().create_future()
        request = b"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n%s\r\n" % (path.encode(), self._cookie)
        self._transport.write(request)
        return await self._waiter

    def close(self) -> None:
        """Close it."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end]
        length = int(_header(head, b"content-length") or 0)
        if len(self._buffer) < end + 4 + length:
            return
        body, self._buffer = self._buffer[end + 4 : end + 4 + length], b""
        if not self._cookie:
            cookie = _header(head, b"set-cookie").partition(b";")[0]
            self._cookie = b"Cookie: %s\r\n" % cookie if cookie else b""
        waiter, self._waiter = self._waiter, None
        if waiter is None or waiter.done():
            return
        if head[9:12] == b"200":
            waiter.set_result(body)
        else:
            waiter.set_exception(RuntimeError(f"HTTP {head[9:12].decode()}: {body.decode()}"))

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(RuntimeError("the server closed the connection"))


def _header(head: bytes, name: bytes) -> bytes:
    """The value of a header, as uvicorn writes it: in lower case. Empty if it is not there."""
    start = head.find(b"\r\n%s:" % name)
    if start < 0:
        return b""
    start += len(name) + 3
    end = head.find(b"\r\n", start)
    return head[start : end if end >= 0 else None].strip()


@asynccontextmanager
async def connected(port: int, count: int) -> AsyncIterator[list[Connection]]:
    """``count`` open connections."""
    connections: list[Connection] = []
    try:
        for _ in range(count):
            connections.append(await Connection.open(port))
        yield connections
    finally:
        for connection in connections:
            connection.close()
        await asyncio.sleep(0)


async def crowd(connections: list[Connection], path: str, seconds: float) -> dict[str, float]:
    """GET ``path`` on all connections, each again when it was answered: rate and latencies."""
    times: list[float] = []

    async def client(connection: Connection) -> None:
        while (began := perf_counter()) < end:
            await connection.get(path)
            times.append(perf_counter() - began)

    start = perf_counter()
    end = start + seconds
    await asyncio.gather(*map(client, connections))
    rate = len(times) / (perf_counter() - start)
    return {"per_second": rate, "requests": len(times), **_percentiles_ms(times)}


async def one_by_one(connection: Connection, path: str, seconds: float) -> dict[str, float]:
    """GET ``path`` with a short pause between answer and next request: latencies."""
    times: list[float] = []
    end = perf_counter() + seconds
    while perf_counter() < end or len(times) < 2:
        await asyncio.sleep(_PAUSE_SECONDS)
        began = perf_counter()
        await connection.get(path)
        times.append(perf_counter() - began)
    return _percentiles_ms(times)


def _percentiles_ms(times: list[float]) -> dict[str, float]:
    times.sort()
    return {"p50_ms": percentile(times, 50) * 1000, "p99_ms": percentile(times, 99) * 1000}
