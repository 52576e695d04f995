# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0
"""Results of calls as bytes, or in shared memory when they are large."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, Protocol

from ..errors import SerializationError
from .culprit import obstacle
from .pickling import dumps, dumps_stored, why
from .references import describe
from .shared_memory.segments import (
    LARGE_BYTES,
    Segment,
    Split,
    split,
)
from .stored import PACKAGE

__all__ = ["HasResults", "hold_result", "pack_result", "pack_stored_result"]

_OURS = f"{PACKAGE}.".encode()


class HasResults(Protocol):
    """What is remembered of a function: whether its last result was a large one."""

    large: bool


def pack_result(result: Any, target: object) -> bytes:
    """A result of the function ``target`` as bytes.

    Raises:
        SerializationError: naming the function, the reason and the cure.
    """
    try:
        return pickle.dumps(result, 5)
    except BaseException:
        return _pack_result_carefully(result, target, dumps)


def pack_stored_result(result: Any, target: object) -> bytes:
    """As ``pack_result``, as bytes that later versions of this package read, too.

    Raises:
        SerializationError: naming the function, the reason and the cure.
    """
    packed = pack_result(result, target)
    # Looking for the name is far cheaper than a pickler that is asked about every object.
    return _pack_result_carefully(result, target, dumps_stored) if _OURS in packed else packed


def hold_result(
    result: Any, target: HasResults, hold: Callable[[Split], Segment | None]
) -> Segment | None:
    """A large result in shared memory; ``None`` for one that is not large or cannot lie there."""
    try:
        parts = split(result, None)
    except BaseException:
        return None  # packing it in one piece tells what is wrong
    target.large = parts.size >= LARGE_BYTES
    return hold(parts) if target.large else None


def _pack_result_carefully(result: Any, target: object, dumps: Callable[[Any], bytes]) -> bytes:
    try:
        return dumps(result)
    except BaseException as error:
        path, reason = obstacle(result, dumps) or ("", error)
        place = f" (result{path})" if path else ""
        raise SerializationError(
            f"the result of {target}{place}, of type {describe(type(result))}, cannot travel back: "
            f"{why(reason)}. Return plain data"
        ) from error
