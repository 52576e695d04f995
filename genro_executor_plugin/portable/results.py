# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Results of calls as bytes, or in shared memory when they are large.

Used where a function has run: in workers, in the server for calls that run inline, and where a
job's result is stored. ``function`` stands for the function in messages.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, Protocol

from ..errors import SerializationError
from .by_type import plain_dumps
from .culprit import find_unpicklable
from .pickling import dumps, dumps_stored, why
from .references import describe
from .shared_memory.segments import (
    LARGE_BYTES,
    Segment,
    Split,
    split,
)
from .stored import PACKAGE

__all__ = ["hold_result", "pack_result", "pack_stored_result"]

_PLAIN = frozenset({str, bytes, int, float, bool, type(None)})
"""Results of these types need no look at what is in them."""

_OURS = f"{PACKAGE}.".encode()


class HasResults(Protocol):
    """A function of which it is remembered whether its last result was large."""

    large: bool


def pack_result(result: Any, function: object) -> bytes:
    """A result of the function ``function`` as bytes.

    Raises:
        SerializationError: naming the function, the reason and the cure.
    """
    try:
        return pickle.dumps(result, 5) if type(result) in _PLAIN else plain_dumps(result)
    except BaseException:
        return _pack_result_carefully(result, function, dumps)


def pack_stored_result(result: Any, function: object) -> bytes:
    """As ``pack_result``, as bytes that later versions of this package read, too.

    Raises:
        SerializationError: naming the function, the reason and the cure.
    """
    packed = pack_result(result, function)
    # Looking for the name is far cheaper than a pickler that is asked about every object.
    return _pack_result_carefully(result, function, dumps_stored) if _OURS in packed else packed


def hold_result(
    result: Any, function: HasResults, hold: Callable[[Split], Segment | None]
) -> Segment | None:
    """A large result in shared memory; ``None`` for one that is not large or cannot lie there."""
    try:
        parts = split(result, None)
    except BaseException:
        return None  # packing it in one piece raises the error
    function.large = parts.size >= LARGE_BYTES
    return hold(parts) if function.large else None


def _pack_result_carefully(result: Any, function: object, dumps: Callable[[Any], bytes]) -> bytes:
    try:
        return dumps(result)
    except BaseException as error:
        path, reason = find_unpicklable(result, dumps) or ("", error)
        place = f" (result{path})" if path else ""
        raise SerializationError(
            f"the result of {function}{place}, of type {describe(type(result))}, cannot travel "
            f"back: {why(reason)}. Return plain data"
        ) from error
