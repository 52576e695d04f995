# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Answers in gzip for clients that read it: RFC 9110, section 8.4.1.3."""

from __future__ import annotations

import asyncio
import gzip
from typing import TYPE_CHECKING

from ..routing.sites import headers_of

if TYPE_CHECKING:
    from ..hosts.names import Message, Scope, Send

__all__ = ["compressing"]

_SMALLEST_BYTES = 600
"""Below this an answer is one packet either way."""

_LARGE_BYTES = 32 * 1024
"""From here on a thread compresses: the event loop has others to serve."""

_LEVEL = 5


def compressing(scope: Scope, send: Send) -> Send:
    """Return ``send`` so that an answer that comes in one piece is sent in gzip if it is worth it.

    A stream is left as it is: whoever reads it waits for each piece.
    """
    if scope["method"] != "GET" or not _reads_gzip(headers_of(scope).get("accept-encoding", "")):
        return send
    held: Message | None = None

    async def sending(message: Message) -> None:
        nonlocal held
        if message["type"] == "http.response.start":
            held = message
            return
        if held is not None:
            start, held = held, None
            body = message.get("body", b"")
            whole = message["type"] == "http.response.body" and not message.get("more_body", False)
            if whole and len(body) >= _SMALLEST_BYTES and not _is_encoded(start):
                body = await _in_gzip(body)
                start = {**start, "headers": _described(start, len(body))}
                message = {**message, "body": body}
            await send(start)
        await send(message)

    return sending


def _reads_gzip(accepted: str) -> bool:
    for choice in accepted.lower().split(","):
        coding, _, weight = choice.partition(";")
        if coding.strip() == "gzip":
            quality = weight.replace(" ", "").removeprefix("q=")
            return not quality or quality.strip("0.") != ""
    return False


def _is_encoded(start: Message) -> bool:
    return any(name.lower() == b"content-encoding" for name, _ in start.get("headers", ()))


def _described(start: Message, length: int) -> list[tuple[bytes, bytes]]:
    kept = [pair for pair in start.get("headers", ()) if pair[0].lower() != b"content-length"]
    return [
        *kept,
        (b"content-encoding", b"gzip"),
        (b"vary", b"accept-encoding"),
        (b"content-length", str(length).encode("ascii")),
    ]


async def _in_gzip(body: bytes) -> bytes:
    if len(body) < _LARGE_BYTES:
        return gzip.compress(body, _LEVEL, mtime=0)
    return await asyncio.to_thread(gzip.compress, body, _LEVEL, mtime=0)
