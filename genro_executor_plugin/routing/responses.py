# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The HTTP response of a handler that answers in chunks.

A handler that is a generator of bytes or text answers with what it yields, wherever it runs. One
that returns a ``StreamingResponse`` or an ``SseStream`` has that sent from its worker, with its
status and headers.
"""

from __future__ import annotations

import asyncio
import inspect
import weakref
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from types import AsyncGeneratorType, GeneratorType
from typing import Any

from ..executors.streams import CallStream
from ..hosts.names import SseStream, StreamingResponse
from ..portable.files import SentFile, blocks_of, is_open_file
from ..worker.streaming import Head
from .file_responses import file_response
from .streaming_response import LeavingResponse

__all__ = ["local_response", "may_stream", "worker_response"]

_PLAIN = frozenset(
    {"bool", "bytes", "dict", "float", "int", "list", "None", "NoneType", "set", "str", "tuple"}
)


def may_stream(func: Callable[..., Any]) -> bool:
    """Whether ``func`` may answer in chunks; its annotation can tell that it does not."""
    annotation = inspect.signature(func).return_annotation
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return annotation is not None and name.partition("[")[0] not in _PLAIN


async def worker_response(
    stream: CallStream, head: Head, media_type: str | None
) -> StreamingResponse:
    """The response that sends ``stream``. If nobody ever sends it, the run is ended."""
    if head.status is not None:
        response = LeavingResponse(_bytes(stream), head.status, list(head.headers))
    else:
        try:
            # A generator that fails here is answered as any handler that fails.
            first = await anext(stream, b"")
            begun = _encoded(first)
        except BaseException:
            await stream.aclose()
            raise
        response = LeavingResponse(_bytes(stream, begun), 200, None, media_type or _type(first))
    response.at_end = weakref.finalize(response, stream.abandon)
    response.at_end.atexit = False
    return response


async def _bytes(stream: CallStream, first: bytes = b"") -> AsyncGenerator[bytes, None]:
    try:
        if first:
            yield first
        async for chunk in stream:
            yield _encoded(chunk)
    finally:
        await stream.aclose()


def _type(first: Any) -> str:
    return "text/plain" if isinstance(first, str) else "application/octet-stream"


def _encoded(chunk: Any) -> bytes:
    if isinstance(chunk, bytes | bytearray | memoryview):
        return bytes(chunk)
    if isinstance(chunk, str):
        return chunk.encode()
    raise TypeError(f"a handler streams bytes or text, and not {type(chunk).__name__}")


async def local_response(result: Any, media_type: str | None) -> Any:
    """``result`` of a handler that ran in the server; a stream is a response of the same sort."""
    if isinstance(result, SseStream):
        return result.response()
    if isinstance(result, SentFile):
        return await file_response(result, media_type)
    if is_open_file(result):
        result = blocks_of(result)
    if not isinstance(result, GeneratorType | AsyncGeneratorType):
        return result
    source: Any = _on_threads(result) if isinstance(result, GeneratorType) else result
    try:
        first = await anext(source, b"")
        begun = _encoded(first)
    except BaseException:
        await source.aclose()
        raise
    response = LeavingResponse(_all_bytes(source, begun), 200, None, media_type or _type(first))
    response.at_end = weakref.finalize(response, _nothing)
    return response


def _nothing() -> None:
    """There is nothing more to end."""


async def _on_threads(generator: Any) -> AsyncGenerator[Any, None]:
    end = object()
    try:
        while (value := await asyncio.to_thread(next, generator, end)) is not end:
            yield value
    finally:
        await asyncio.to_thread(generator.close)


async def _all_bytes(
    source: AsyncGenerator[Any, None], first: bytes
) -> AsyncGenerator[bytes, None]:
    async with aclosing(source):
        if first:
            yield first
        async for chunk in source:
            yield _encoded(chunk)
