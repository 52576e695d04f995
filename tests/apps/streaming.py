# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Functions and handlers that answer in chunks."""

from __future__ import annotations

import asyncio
import os
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from genro_routes import route
from host import RoutedApplication, SseStream, StreamingResponse
from worker_functions import hold

from genro_executor_plugin import SentFile


def note(log: str, text: str) -> None:
    """Write ``text`` so that whoever sees the file sees all of it."""
    written = Path(log + ".part")
    written.write_text(text)
    written.rename(log)


def count(number: int, log: str | None = None) -> Iterator[int]:
    yielded = 0
    try:
        for value in range(number):
            yielded += 1
            yield value
    finally:
        if log is not None:
            note(log, f"closed after {yielded}")


async def count_async(number: int, log: str | None = None) -> AsyncIterator[int]:
    yielded = 0
    try:
        for value in range(number):
            yielded += 1
            yield value
    finally:
        if log is not None:
            note(log, f"closed after {yielded}")


def fails(number: int) -> Iterator[int]:
    yield from range(number)
    raise LookupError("in mid-stream")


async def fails_async(number: int) -> AsyncIterator[int]:
    for value in range(number):
        yield value
    raise LookupError("in mid-stream")


def holds(gate: str) -> Iterator[bytes]:
    yield b"first"
    hold(gate)
    yield b"last"


async def waits_for_ever(log: str) -> AsyncIterator[str]:
    try:
        yield "first"
        await asyncio.Event().wait()
    finally:
        note(log, "closed while it waited")


def never_comes_back(pids: str) -> Iterator[int]:
    yield os.getpid()
    note(pids, "in it")
    while True:
        time.sleep(0.01)


def dies(number: int) -> Iterator[int]:
    yield from range(number)
    os.kill(os.getpid(), 9)
    yield -1


def blocks(count: int, size: int) -> Iterator[bytes]:
    block = os.urandom(size)
    for _ in range(count):
        yield block


def unfit() -> Iterator[Any]:
    yield 1
    yield threading.Condition()


def plain(value: Any) -> Any:
    return value


class Streaming(RoutedApplication):
    mount = "streaming"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.words = ["one", "two"]

    @route(executor="p")
    def text(self, log: str | None = None) -> Iterator[str]:
        try:
            for word in self.words:
                yield word + "\n"
        finally:
            if log is not None:
                note(log, "closed")

    @route(executor="p", meta_media_type="text/csv")
    async def csv(self) -> AsyncIterator[bytes]:
        for word in self.words:
            yield word.encode() + b","

    @route(executor="p")
    def held(self, gate: str) -> Iterator[bytes]:
        yield from holds(gate)

    @route(executor="p")
    def endless(self, log: str) -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 10_000
        finally:
            note(log, "closed")

    @route(executor="p")
    def large(self, megabytes: int) -> Iterator[bytes]:
        yield from blocks(megabytes * 4, 256 * 1024)

    @route(executor="p")
    def response(self):  # type: ignore[no-untyped-def]
        async def body() -> AsyncIterator[bytes]:
            for word in self.words:
                yield word.encode()

        return StreamingResponse(body(), 203, {"x-pid": str(os.getpid())}, "text/plain")

    @route(executor="p")
    async def response_async(self) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            for word in self.words:
                yield word.encode()

        return StreamingResponse(body(), 203, {"x-pid": str(os.getpid())}, "text/plain")

    @route(executor="p")
    def sse(self, count: int = 2) -> SseStream:
        async def events() -> AsyncIterator[dict[str, Any]]:
            for number in range(count):
                yield {"id": number, "data": {"word": self.words[number % 2]}}

        return SseStream(events())

    @route(executor="p")
    def sse_silent(self, log: str) -> SseStream:
        async def events() -> AsyncIterator[dict[str, Any]]:
            try:
                yield {"data": "first"}
                await asyncio.Event().wait()
            finally:
                note(log, "closed")

        return SseStream(events())

    @route(executor="p")
    def fails_at_once(self) -> Iterator[bytes]:
        raise LookupError("before anything")
        yield b""

    @route(executor="p")
    def fails_later(self) -> Iterator[bytes]:
        yield b"first"
        raise LookupError("in mid-stream")

    @route(executor="p")
    def numbers(self) -> Iterator[int]:
        yield 1

    @route(executor="p")
    def nothing(self) -> Iterator[bytes]:
        yield from ()

    @route(executor="p")
    def temporary(self, size: int = 1_000_000):  # type: ignore[no-untyped-def]
        file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever sends it closes it
        file.write(b"x" * size)
        return file

    @route(executor="p", meta_media_type="text/csv")
    def written(self, name: str):  # type: ignore[no-untyped-def]
        file = open(name, "w+", encoding="utf-8")  # noqa: SIM115 - whoever sends it closes it
        file.write("\u20ac,1\n")
        return file

    @route(executor="p")
    def sent(self, name: str, delete: bool = False, filename: str | None = None) -> SentFile:
        return SentFile(name, filename=filename, delete=delete)

    @route(executor="p")
    def dies_once(self, marker: str, stream: bool):  # type: ignore[no-untyped-def]
        if stream:
            return dies_as_text()
        if not Path(marker).exists():
            Path(marker).touch()
            os.kill(os.getpid(), 9)
        return "lived"

    @route(executor="p")
    def maybe(self, stream: bool = False):  # type: ignore[no-untyped-def]
        return iter_words(self.words) if stream else {"words": self.words}


def dies_as_text() -> Iterator[str]:
    yield "first"
    os.kill(os.getpid(), 9)


def iter_words(words: list[str]) -> Iterator[str]:
    yield from words
