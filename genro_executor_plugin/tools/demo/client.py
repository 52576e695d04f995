# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""HTTP as the demo speaks it: many GETs at once, and a steady beat of pings."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Answer", "Client", "Pings"]

_PING_EVERY_SECONDS = 0.005
_PATIENCE_SECONDS = 60.0

_PDF_PAGES = re.compile(rb"/Count (\d+)")
_PDF_MAKER = re.compile(rb"pid (\d+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, after how many seconds."""

    status: int
    headers: dict[str, str]
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def retry_after(self) -> int | None:
        """The header's seconds, ``None`` without one."""
        value = self.headers.get("retry-after", "")
        return int(value) if value.isdecimal() else None

    @property
    def pages(self) -> int:
        """The pages of the PDF, 0 when it is none."""
        whole = self.body.startswith(b"%PDF-") and self.body.rstrip().endswith(b"%%EOF")
        if not whole or self.headers.get("content-type") != "application/pdf":
            return 0
        return self._number(_PDF_PAGES)

    @property
    def made_by(self) -> int:
        """The process that the PDF says it was made by, 0 when it says nothing."""
        return self._number(_PDF_MAKER)

    def _number(self, pattern: re.Pattern[bytes]) -> int:
        found = pattern.search(self.body)
        return int(found[1]) if found else 0


@dataclass(slots=True)
class Pings:
    """How long each ping took, in seconds."""

    seconds: list[float] = field(default_factory=list)

    def percentile(self, percent: float) -> float:
        """The time within which ``percent`` of the pings were answered, in milliseconds."""
        ranked = sorted(self.seconds)
        return ranked[min(len(ranked) - 1, int(len(ranked) * percent / 100))] * 1000


class Client:
    """Asks one server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80

    async def get(self, path: str) -> Answer:
        """Ask for ``path`` on a connection of its own."""
        started = perf_counter()
        async with asyncio.timeout(_PATIENCE_SECONDS), self._connected() as (reader, writer):
            return await self._ask(reader, writer, path, started)

    async def get_all(self, paths: Iterable[str], at_once: int) -> AsyncIterator[Answer]:
        """Ask for all ``paths``, ``at_once`` of them at a time; yield answers as they come."""
        slots = asyncio.Semaphore(at_once)

        async def one(path: str) -> Answer:
            async with slots:
                return await self.get(path)

        tasks = [asyncio.create_task(one(path)) for path in paths]
        try:
            for task in asyncio.as_completed(tasks):
                yield await task
        finally:
            for unfinished in tasks:
                unfinished.cancel()

    @contextlib.asynccontextmanager
    async def pinging(self, path: str) -> AsyncIterator[Pings]:
        """Ask for ``path`` over and over, on one connection, for as long as the block runs.

        The block begins when the first answer has come.
        """
        pings = Pings()
        answered = asyncio.Event()

        async def beat() -> None:
            async with self._connected() as (reader, writer):
                while True:
                    answer = await self._ask(reader, writer, path, perf_counter())
                    pings.seconds.append(answer.seconds)
                    answered.set()
                    await asyncio.sleep(_PING_EVERY_SECONDS)

        task = asyncio.create_task(beat())
        beginning = asyncio.create_task(answered.wait())
        try:
            await asyncio.wait((task, beginning), return_when=asyncio.FIRST_COMPLETED)
            yield pings
        finally:
            beginning.cancel()
            task.cancel()
            await asyncio.wait((task, beginning))
        if not task.cancelled():
            task.result()  # it ends by itself only when it fails

    @contextlib.asynccontextmanager
    async def _connected(
        self,
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str, started: float
    ) -> Answer:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}:{self._port}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status, *lines = head.rstrip().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(status.split()[1]), headers, body, perf_counter() - started)
