# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Files as answers: sent block by block, and never in memory as a whole.

``SentFile`` is public; who sends the file is decided in ``routing/``.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

__all__ = ["BLOCK_BYTES", "SentFile", "blocks_of", "discard_result", "is_open_file"]

BLOCK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class SentFile:
    """What a handler returns to have the server send a file.

    Attributes:
        path: the file; the server must see it, too.
        media_type: its content type; guessed from the name where neither this nor the route says.
        filename: the name a client is to save it under, ``None`` for none.
        delete: remove the file once it was sent, or when it reaches nobody because the client
            has left.
    """

    path: str | os.PathLike[str]
    media_type: str | None = None
    filename: str | None = None
    delete: bool = False


def discard_result(result: Any) -> None:
    """Do for ``result``, which reaches nobody, what would be done once it was sent."""
    if isinstance(result, SentFile) and result.delete:
        with suppress(OSError):
            os.unlink(result.path)


def is_open_file(value: Any) -> bool:
    """Whether ``value`` is an open file; temporary files are, buffers in memory are not."""
    file = getattr(value, "file", value)  # tempfile wraps the real file
    return isinstance(file, io.IOBase) and not isinstance(file, io.BytesIO | io.StringIO)


def blocks_of(file: Any) -> Iterator[bytes | str]:
    """The whole of an open file, which is closed at the end."""
    with file:
        if file.seekable():
            file.seek(0)  # a handler that has just written it left it at its end
        while block := file.read(BLOCK_BYTES):
            yield block
