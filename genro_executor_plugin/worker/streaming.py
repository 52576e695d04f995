# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Streams on the side of the function, wherever it runs: its results are sent chunk by chunk.

Chunks go to the server as messages of the call, at most ``AHEAD_CHUNKS`` or ``AHEAD_BYTES`` ahead
of the reader: for each chunk that is read the run is told its size. ``None`` tells it that there
is no reader any more; the generator is closed then, where it stands.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Any

from ..hosts.loaded import stream_of
from ..portable.files import blocks_of, is_open_file
from .forks import end_child_of
from .running import SHIELD, RunningCall, current

__all__ = ["STREAM", "Chunk", "Head", "streamed"]

STREAM = "genro-executor.stream"
"""The channel of chunks, and of what the run is told of them."""

AHEAD_CHUNKS = 16
AHEAD_BYTES = 4 * 1024 * 1024

Through = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Head:
    """The first message of a stream.

    Attributes:
        status: of the HTTP response, ``None`` for a bare generator.
        headers: of the HTTP response.
    """

    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk, and its size in bytes; 0 for values that are neither bytes nor text."""

    value: Any
    size: int


def _is_stream(result: Any) -> bool:
    """Whether ``result`` is sent chunk by chunk."""
    return (
        inspect.isgenerator(result)
        or is_open_file(result)
        or inspect.isasyncgen(result)
        or stream_of(result) is not None
    )


def streamed(func: Callable[..., Any], through: Through | None = None) -> Callable[..., Any]:
    """``func``, with a result that is a stream sent chunk by chunk; other results are returned.

    Args:
        func: a function, a coroutine function, or one that makes a generator of either sort.
        through: called with every chunk before it is sent; its result is sent.
    """
    if inspect.iscoroutinefunction(func):

        @wraps(func)
        async def awaited(*args: Any, **kwargs: Any) -> Any:
            sent = _sent(await func(*args, **kwargs), through)
            return await sent if inspect.iscoroutine(sent) else sent

        return awaited

    @wraps(func)
    def called(*args: Any, **kwargs: Any) -> Any:
        return _sent(func(*args, **kwargs), through)

    return called


def _sent(result: Any, through: Through | None) -> Any:
    """Send what ``result`` holds, or return a coroutine that does."""
    if not _is_stream(result):
        return result
    if is_open_file(result):
        result = blocks_of(result)
    response = stream_of(result)
    if response is None:
        source, head = result, None
    else:
        source, head = response.source, Head(response.status, response.headers)
    if hasattr(source, "__aiter__"):
        return _send_async(source.__aiter__(), head, through)
    _send(iter(source), head, through)
    return None


class _Sender:
    """Sends chunks, and counts those that were not read yet."""

    def __init__(
        self, call: RunningCall | None, head: Head | None, through: Through | None
    ) -> None:
        assert call is not None
        self.call = call
        self.left = False
        self._pid = os.getpid()
        self._through = through
        self._begun = False
        self._chunks = 0
        self._bytes = 0
        if head is not None:
            self.begin(head)  # a bare generator may still fail before its first chunk

    def begin(self, head: Head) -> None:
        if not self._begun:
            self._begun = True
            self.call.send(STREAM, head)

    def send(self, value: Any) -> None:
        end_child_of(self._pid)  # forked by the generator: its parent sends the chunks
        self.begin(Head())
        if self._through is not None:
            value = self._through(value)
        if isinstance(value, memoryview):
            value = bytes(value)  # whatever it is a view of does not go along
        size = len(value) if isinstance(value, bytes | bytearray | memoryview | str) else 0
        self.call.send(STREAM, Chunk(value, size))
        self._chunks += 1
        self._bytes += size

    def take_credits(self) -> None:
        """Count what the run was told by now; a soft limit waits, so that nothing gets lost."""
        with SHIELD:
            for answer in self.call.received(STREAM):
                if answer is None:
                    self.left = True
                else:
                    self._chunks -= 1
                    self._bytes -= answer

    @property
    def must_wait(self) -> bool:
        full = self._chunks >= AHEAD_CHUNKS or self._bytes >= AHEAD_BYTES
        return full and not self.left


def _send(source: Iterator[Any], head: Head | None, through: Through | None) -> None:
    sender = _Sender(current(), head, through)
    try:
        for value in source:
            sender.send(value)
            sender.take_credits()
            while sender.must_wait:
                sender.call.wait_until_told(STREAM)
                sender.take_credits()
            if sender.left:
                return
        sender.begin(Head())
    finally:
        close = getattr(source, "close", None)
        if close is not None:
            close()


async def _send_async(
    source: AsyncIterator[Any], head: Head | None, through: Through | None
) -> None:
    import asyncio  # a worker that streams from no coroutine does without it

    # Here, and not where the coroutine is made: it runs in a context of its own.
    sender = _Sender(current(), head, through)
    loop = asyncio.get_running_loop()
    told = asyncio.Event()

    def listener(channel: str) -> None:
        loop.call_soon_threadsafe(told.set)

    sender.call.listen(listener)

    async def until_left() -> None:
        while not sender.left:
            await told.wait()
            told.clear()
            sender.take_credits()
            taken.set()

    taken = asyncio.Event()
    leaving = asyncio.create_task(until_left())
    told.set()
    try:
        while True:
            chunk = asyncio.ensure_future(_next(source))
            try:
                await asyncio.wait({chunk, leaving}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                is_cut = not chunk.done()  # no reader is there any more, or the call is cancelled
                if is_cut:
                    chunk.cancel()
                    await asyncio.wait({chunk})
            if is_cut:
                return
            found, value = chunk.result()
            if not found:
                break
            sender.send(value)
            while sender.must_wait:
                taken.clear()
                await taken.wait()
            if sender.left:
                return
        sender.begin(Head())
    finally:
        sender.call.listen(None)
        leaving.cancel()
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()


async def _next(source: AsyncIterator[Any]) -> tuple[bool, Any]:
    try:
        return True, await source.__anext__()
    except StopAsyncIteration:
        return False, None
