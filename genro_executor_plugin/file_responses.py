# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The HTTP response that sends a ``SentFile``: read on threads, block by block."""

from __future__ import annotations

import asyncio
import mimetypes
import os
import weakref
from collections.abc import AsyncGenerator
from contextlib import suppress
from urllib.parse import quote

from .files import BLOCK_BYTES, SentFile
from .leaving import LeavingResponse

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
