# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The extras of a call beside its arguments: context variables, a trace, whether it may stream.

``pack_extras`` makes bytes of them in the server; ``worker/extras.py`` puts them around the
function in the worker. They are gone there after the call, and nothing of them comes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import SerializationError
from ..options.context_variables import ContextReference
from .culprit import find_unpicklable
from .pickling import dumps, why

__all__ = ["Extras", "pack_extras"]


@dataclass(frozen=True, slots=True)
class Extras:
    """The extras of one call.

    Attributes:
        variables: context variables by name, and the values that the caller had.
        trace: the headers of the caller's trace, empty without one.
        streams: whether the call may answer in chunks.
    """

    variables: tuple[tuple[ContextReference, Any], ...]
    trace: Mapping[str, str]
    streams: bool


def pack_extras(
    pool: str, variables: tuple[ContextReference, ...], trace: Mapping[str, str], streams: bool
) -> bytes | None:
    """The extras of a call that is made now, as bytes; ``None`` if there are none.

    Raises:
        SerializationError: the value of a context variable cannot travel.
    """
    values = []
    for reference in variables:
        variable = reference.resolve()
        try:
            values.append((reference, variable.get()))
        except LookupError:
            continue  # a variable that is not set here is not set there either
    if not values and not trace and not streams:
        return None
    try:
        return dumps(Extras(tuple(values), dict(trace), streams))
    except BaseException as error:
        for reference, value in values:
            culprit = find_unpicklable(value, dumps)
            if culprit is not None:
                path, reason = culprit
                raise SerializationError(
                    f"the context variable {reference} of pool {pool!r} holds a value that cannot "
                    f"travel to a worker: value{path}: {why(reason)}. Take it out of context=, or "
                    "put plain data into it",
                    pool=pool,
                ) from error
        raise
