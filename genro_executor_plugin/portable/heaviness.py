# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Whether arguments are pickled in no time: then the event loop may do it.

Numbers and short texts are told by a look. Where that does not tell, they are pickled into a file
that takes no more than is pickled in about a millisecond.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pickle import PickleBuffer
from typing import Any

from .shared_memory.segments import BUILT_IN, LARGE_BYTES, MAPPED_BYTES

__all__ = [
    "LARGE",
    "SLOW_SECONDS",
    "UNTOLD",
    "BoundedFile",
    "SlowError",
    "TooLargeError",
    "is_quickly_copied",
    "weigh",
]

LARGE = 2 * LARGE_BYTES
"""What ``weigh`` returns for arguments that are large."""

UNTOLD = -1
"""What ``weigh`` returns where a look does not tell."""

SLOW_SECONDS = 0.05
"""A call whose arguments took longer to be pickled is packed on a thread from then on."""

_NUMBERS = frozenset({int, float, bool, type(None)})
_SIZED = frozenset({bytes, bytearray, str})


class SlowError(Exception):
    """Packing the call may take a while, and is for a thread."""


class TooLargeError(Exception):
    """What is pickled is larger than its file takes."""


class BoundedFile:
    """A pickler's file that takes ``LARGE_BYTES``, and raises ``TooLargeError`` beyond."""

    __slots__ = ("_left", "_pieces")

    def __init__(self) -> None:
        self._left = LARGE_BYTES
        self._pieces: list[bytes] = []

    def write(self, piece: Any) -> None:
        """Take a piece of the stream."""
        self._left -= len(piece)
        if self._left < 0:
            raise TooLargeError
        self._pieces.append(bytes(piece))

    def keep_inside(self, buffer: PickleBuffer) -> bool:
        """Have ``buffer`` written into the stream, if it is not too large."""
        if buffer.raw().nbytes > self._left:
            raise TooLargeError
        return True

    def getvalue(self) -> bytes:
        """What was written."""
        pieces = self._pieces
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def weigh(values: Iterable[Any]) -> int:
    """About how many bytes ``values`` are: up to ``LARGE_BYTES``, ``LARGE`` or ``UNTOLD``.

    It is done for every call; what is inside of ``values`` is not looked at.
    """
    total = 0
    for value in values:
        cls = type(value)
        if cls in _NUMBERS:
            continue
        if cls in _SIZED:
            total += len(value)
        elif cls in BUILT_IN:
            return UNTOLD
        elif cls is memoryview or (cls.__name__ == "ndarray" and cls.__module__ == "numpy"):
            if cls is not memoryview and value.dtype.hasobject:
                return UNTOLD
            total += value.nbytes
        else:
            return UNTOLD
    return total if total < LARGE_BYTES else LARGE


def is_quickly_copied(values: Collection[Any]) -> bool:
    """Whether ``values`` are large because of a few buffers that can be changed in place.

    Copying these takes a few milliseconds, and pickling the others none.
    """
    changeable = 0
    for value in values:
        cls = type(value)
        if cls is bytearray:
            changeable += len(value)
        elif cls is memoryview or (cls.__name__ == "ndarray" and cls.__module__ == "numpy"):
            changeable += value.nbytes
    return 0 < changeable < MAPPED_BYTES and weigh(values) != UNTOLD
