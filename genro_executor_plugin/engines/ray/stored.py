# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Large values in Ray's object store: written once, and read where they lie.

A value is pickled into a stream and the buffers beside it (pickle protocol 5). Ray keeps buffers as
they are, so that an array on the other side is made of the memory of the store, without a copy: it
can be read, and not written to.
"""

from __future__ import annotations

import logging
import pickle
from pickle import PickleBuffer
from typing import Any

from ...portable.shared_memory.segments import LARGE_BYTES, Segment, Segments, Split, split
from .connection import RAY

__all__ = ["Parts", "StoredSegment", "StoredSegments", "from_parts", "large_parts"]

_logger = logging.getLogger("genro_executor_plugin")

Parts = tuple[Any, list[Any]]
"""The stream of a pickled value, and the buffers beside it, as buffers."""


def large_parts(value: Any) -> Parts | None:
    """``value`` for Ray's object store; ``None`` for one that is not large or does not pickle."""
    try:
        parts = split(value, None)
    except BaseException:
        return None  # packing it in one piece raises the error
    return _parts_of(parts) if parts.size >= LARGE_BYTES else None


def from_parts(parts: Parts) -> Any:
    """The value of which ``parts`` were made.

    Raises:
        Exception: whatever its unpickling raises.
    """
    stream, buffers = parts
    return pickle.loads(stream, buffers=buffers)


def _parts_of(parts: Split) -> Parts:
    pieces = parts.stream
    stream = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    return PickleBuffer(stream), [PickleBuffer(buffer) for buffer in parts.buffers]


class StoredSegment(Segment):
    """The arguments of one call in Ray's object store.

    Attributes:
        reference: leads Ray to them; as long as it is there, so are they.
    """

    __slots__ = ("reference",)

    def __init__(self, reference: Any) -> None:
        self.fd = -1
        self.number = 0
        self.capacity = 0
        self.layout = b""
        self.reference: Any = reference

    def finish(self) -> None:
        """Nothing is left to be written."""

    def close(self) -> None:
        """Let Ray drop the arguments, when nobody reads them any more."""
        self.reference = None


class StoredSegments(Segments):
    """Puts large arguments into Ray's object store."""

    def hold(self, parts: Split) -> Segment | None:
        """A segment with ``parts`` in it; ``None`` if Ray has no place for it."""
        try:
            return StoredSegment(RAY.module.put(_parts_of(parts)))
        except Exception as error:
            _logger.warning("Ray's object store does not take %d bytes: %s", parts.size, error)
            return None
