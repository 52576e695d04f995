# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The demo's HTTP client: many requests at once, and pings at a steady beat."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import httpx

__all__ = ["LEAST_PAGES", "Answer", "Client", "Pings"]

_PING_EVERY_SECONDS = 0.005
_PATIENCE_SECONDS = 60.0

LEAST_PAGES = 3
_LEAST_BYTES = 5_000

_PDF_PAGES = re.compile(rb"/Count (\d+)")
_PDF_MAKER = re.compile(rb"pid (\d+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, and how many seconds it took."""

    response: httpx.Response
    seconds: float

    @property
    def status(self) -> int:
        """The HTTP status."""
        return self.response.status_code

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return self.response.json()

    @property
    def retry_after(self) -> int | None:
        """The seconds in the header ``Retry-After``, ``None`` without one."""
        value = self.response.headers.get("retry-after", "")
        return int(value) if value.isdecimal() else None

    @property
    def is_report(self) -> bool:
        """Whether this is a whole PDF, as large as a report is."""
        body = self.response.content
        return self.status == 200 and self.pages >= LEAST_PAGES and len(body) >= _LEAST_BYTES

    @property
    def pages(self) -> int:
        """The number of pages of the PDF, 0 when the body is not a PDF."""
        body = self.response.content
        whole = body.startswith(b"%PDF-") and body.rstrip().endswith(b"%%EOF")
        if not whole or self.response.headers.get("content-type") != "application/pdf":
            return 0
        return self._number(_PDF_PAGES)

    @property
    def made_by(self) -> int:
        """The process id that the PDF names as its maker, 0 when it names none."""
        return self._number(_PDF_MAKER)

    def _number(self, pattern: re.Pattern[bytes]) -> int:
        found = pattern.search(self.response.content)
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
    """Asks one server, as an async context manager."""

    def __init__(self, url: str) -> None:
        # Each call has a connection, as from a client of its own. Pings share one that stays open:
        # they do not measure how long connecting takes.
        self._callers = _http(url, httpx.Limits(max_keepalive_connections=0))
        self._pinger = _http(url, httpx.Limits(max_connections=1))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._callers.aclose()
        await self._pinger.aclose()

    async def get(self, path: str) -> Answer:
        """Ask for ``path`` on a connection of its own."""
        return await _answer(self._callers, path)

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

    @asynccontextmanager
    async def pinging(self, path: str) -> AsyncIterator[Pings]:
        """Ask for ``path`` over and over, on one connection, for as long as the block runs.

        The block begins when the first answer has come.
        """
        pings = Pings()
        answered = asyncio.Event()

        async def beat() -> None:
            while True:
                answer = await _answer(self._pinger, path)
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
            task.result()  # the task ends by itself only when it fails; this raises its error


def _http(url: str, limits: httpx.Limits) -> httpx.AsyncClient:
    # The server is this machine's: no proxy stands before it, and without TLS there is nothing
    # to verify (loading the authorities takes time).
    return httpx.AsyncClient(
        base_url=url, limits=limits, timeout=_PATIENCE_SECONDS, trust_env=False, verify=False
    )


async def _answer(client: httpx.AsyncClient, path: str) -> Answer:
    started = perf_counter()
    response = await client.get(path)
    return Answer(response, perf_counter() - started)
