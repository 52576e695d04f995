# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The HTTP response that sends a ``SentFile``: read on threads, block by block."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import weakref
from collections.abc import AsyncGenerator
from contextlib import suppress
from urllib.parse import quote

from ..portable.files import BLOCK_BYTES, SentFile
from .streaming_response import LeavingResponse

__all__ = ["file_response"]


async def file_response(sent: SentFile, media_type: str | None) -> LeavingResponse:
    """The response that sends ``sent``.

    Raises:
        OSError: there is no such file, or it cannot be read.
    """
    path = os.fspath(sent.path)
    file = await asyncio.to_thread(open, path, "rb")
    guessed, _ = mimetypes.guess_type(sent.filename or path)
    headers = [("content-length", str(os.fstat(file.fileno()).st_size))]
    if sent.filename is not None:
        saved = f"attachment; filename*=UTF-8''{quote(sent.filename, safe='')}"
        headers.append(("content-disposition", saved))

    async def body() -> AsyncGenerator[bytes, None]:
        while block := await asyncio.to_thread(file.read, BLOCK_BYTES):
            yield block

    def let_go() -> None:
        file.close()
        if sent.delete:
            with suppress(FileNotFoundError):
                os.unlink(path)

    chosen = sent.media_type or media_type or guessed or "application/octet-stream"
    response = LeavingResponse(body(), 200, headers, chosen)
    response.at_end = weakref.finalize(response, let_go)
    return response
