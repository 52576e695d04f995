# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The HTTP response of a handler that answers in chunks, or with a file.

A handler that is a generator of bytes or text answers with what it yields, wherever it runs. One
that returns a ``StreamingResponse`` or an ``SseStream`` has that sent from its worker, with its
status and headers. A ``SentFile`` is read in the server, on threads, block by block.
"""

from __future__ import annotations

import asyncio
import inspect
import mimetypes
import os
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, suppress
from types import AsyncGeneratorType, GeneratorType
from typing import Any, Protocol
from urllib.parse import quote

from ..executors.streams import CallStream
from ..hosts.names import SseStream, StreamingResponse
from ..portable.files import BLOCK_BYTES, SentFile, blocks_of, discard_result, is_open_file
from ..worker.streaming import Head
from .streaming_response import DisconnectAwareResponse

__all__ = ["local_response", "may_stream", "worker_response"]

_PLAIN = frozenset(
    {"bool", "bytes", "dict", "float", "int", "list", "None", "NoneType", "set", "str", "tuple"}
)
"""Return annotations that rule out an answer in chunks."""


def may_stream(func: Callable[..., Any]) -> bool:
    """Whether ``func`` may answer in chunks: unless its return annotation rules that out."""
    try:
        annotation = inspect.signature(func).return_annotation
    except (TypeError, ValueError):  # a method without self: calling it is the error
        return False
    name = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", "")
    return annotation is not None and name.partition("[")[0] not in _PLAIN


async def worker_response(
    stream: CallStream, head: Head, media_type: str | None
) -> StreamingResponse:
    """The response that sends ``stream`` from its worker.

    The run is ended, too, when the response is never sent.

    Raises:
        Exception: what the handler raised before its first chunk.
    """
    if head.status is not None:
        response = DisconnectAwareResponse(_bytes(stream), head.status, list(head.headers))
    else:
        response = await _begun(stream, media_type)
    response.send_timeout = stream.send_timeout
    response.at_end = weakref.finalize(response, stream.abandon)
    response.at_end.atexit = False
    return response


class _Chunks(Protocol):
    """Chunks of bytes or text: a ``CallStream``, or an async generator of the server itself."""

    def __aiter__(self) -> AsyncIterator[Any]: ...

    def __anext__(self) -> Awaitable[Any]: ...

    def aclose(self) -> Awaitable[None]: ...


async def _begun(chunks: _Chunks, media_type: str | None) -> DisconnectAwareResponse:
    """The response that sends ``chunks``; text and bytes have a media type each by default.

    Raises:
        Exception: what came instead of the first chunk; it is answered as any handler that fails.
    """
    try:
        first = await anext(chunks, b"")
        encoded = _encoded(first)
    except BaseException:
        await chunks.aclose()
        raise
    by_default = "text/plain" if isinstance(first, str) else "application/octet-stream"
    return DisconnectAwareResponse(_bytes(chunks, encoded), 200, None, media_type or by_default)


async def _bytes(chunks: _Chunks, first: bytes = b"") -> AsyncGenerator[bytes, None]:
    async with aclosing(chunks):
        if first:
            yield first
        async for chunk in chunks:
            yield _encoded(chunk)


def _encoded(chunk: Any) -> bytes:
    if isinstance(chunk, bytes | bytearray | memoryview):
        return bytes(chunk)
    if isinstance(chunk, str):
        return chunk.encode()
    raise TypeError(f"a handler streams bytes or text, and not {type(chunk).__name__}")


async def local_response(result: Any, media_type: str | None) -> Any:
    """What a request is answered with when a handler that ran in the server returned ``result``.

    A stream or a file becomes the response that it becomes when the handler runs in a worker;
    anything else is returned as it is.

    Raises:
        Exception: what a generator raised before its first chunk, or why a file cannot be read.
    """
    if isinstance(result, SseStream):
        return result.response()
    if isinstance(result, SentFile):
        return await _file_response(result, media_type)
    if is_open_file(result):
        result = blocks_of(result)
    if not isinstance(result, GeneratorType | AsyncGeneratorType):
        return result
    source = _on_threads(result) if isinstance(result, GeneratorType) else result
    response = await _begun(source, media_type)
    response.at_end = weakref.finalize(response, _nothing)
    return response


def _nothing() -> None:
    """Do nothing: a stream of the server itself was closed with its body."""


async def _on_threads(generator: Any) -> AsyncGenerator[Any, None]:
    """Yield what the sync ``generator`` yields, each step of it on a thread."""
    end = object()
    try:
        while (value := await asyncio.to_thread(next, generator, end)) is not end:
            yield value
    finally:
        await asyncio.to_thread(generator.close)


async def _file_response(sent: SentFile, media_type: str | None) -> DisconnectAwareResponse:
    """The response that sends ``sent``.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    path = os.fspath(sent.path)
    try:
        file = await asyncio.to_thread(open, path, "rb")
    except BaseException:
        discard_result(sent)
        raise
    guessed, _ = mimetypes.guess_type(sent.filename or path)
    headers = [("content-length", str(os.fstat(file.fileno()).st_size))]
    if sent.filename is not None:
        saved = f"attachment; filename*=UTF-8''{quote(sent.filename, safe='')}"
        headers.append(("content-disposition", saved))

    async def body() -> AsyncGenerator[bytes, None]:
        while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
            yield block

    def release() -> None:
        file.close()
        if sent.delete:
            with suppress(FileNotFoundError):
                os.unlink(path)

    chosen = sent.media_type or media_type or guessed or "application/octet-stream"
    response = DisconnectAwareResponse(body(), 200, headers, chosen)
    response.at_end = weakref.finalize(response, release)
    return response
