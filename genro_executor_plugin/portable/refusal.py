# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The error that tells which argument of a call cannot travel, why, and the cure."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..errors import SerializationError
from .culprit import find_unpicklable
from .pickling import dumps, why
from .references import describe

__all__ = ["refusal_of_call"]


def refusal_of_call(
    func: Any, call: tuple[Any, ...], error: Exception, special: Callable[[Any], Any]
) -> SerializationError:
    """Return why ``call`` of ``func``, whose pickling has raised ``error``, cannot travel."""
    args, kwargs, *function = call
    for name, value in _named(func, args, kwargs):
        culprit = find_unpicklable(value, lambda part: dumps(part, special))
        if culprit is not None:
            path, reason = culprit
            place = f" ({name}{path})" if path else ""
            return SerializationError(
                f"argument {name!r}{place} of {describe(func)} cannot travel to a worker: "
                f"{why(reason)}. Pass plain data instead, and open in the worker what only "
                "lives there"
            )
    culprit = find_unpicklable(function[0], lambda part: dumps(part, special)) if function else None
    path, reason = culprit or ("", error)
    return SerializationError(
        f"the function {describe(func)}{path} cannot travel to a worker: {why(reason)}. "
        "Define it at the top level of a module"
    )


def _named(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Any]]:
    try:
        names = [
            name
            for name, parameter in inspect.signature(func).parameters.items()
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        names = []
    positional = [
        (names[index] if index < len(names) else f"#{index + 1}", value)
        for index, value in enumerate(args)
    ]
    return positional + list(kwargs.items())
