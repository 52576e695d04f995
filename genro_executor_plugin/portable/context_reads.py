# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Context variables that a function reads, and that do not go along with its calls.

In a worker such a variable has its default: the handler goes on with another value than it would
have in the server. The code of the function, and of the functions of its own package that it
names, is looked through once; what it reads in another way is not seen.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from contextvars import ContextVar, copy_context
from types import CodeType, FunctionType, ModuleType
from typing import Any

__all__ = ["UnsentVariables"]

_logger = logging.getLogger("genro_executor_plugin")

_MOST_FUNCTIONS = 200
"""How many functions are looked through for one."""


class UnsentVariables:
    """The variables that ``func`` reads, without those that go along; false if there are none."""

    def __init__(self, func: FunctionType, owner: type | None, sent: Collection[Any]) -> None:
        self._variables = [
            variable
            for variable in _variables_read(func, owner)
            if all(variable is not other for other in sent)
        ]

    def __bool__(self) -> bool:
        return bool(self._variables)

    def look(self, title: str) -> None:
        """Log, once for each, the variables that the caller has set."""
        context = copy_context()
        for variable in [variable for variable in self._variables if variable in context]:
            self._variables.remove(variable)
            _logger.warning(
                "%s reads the context variable %r, which the caller has set and its worker does "
                "not have: it reads as its default there. Name it in the pool's context=, or "
                "pass its value as an argument",
                title,
                variable.name,
            )


def _variables_read(func: FunctionType, owner: type | None) -> list[ContextVar[Any]]:
    found: dict[int, ContextVar[Any]] = {}
    package = func.__module__.partition(".")[0]
    waiting, seen = [func], {func}
    while waiting and len(seen) <= _MOST_FUNCTIONS:
        current = waiting.pop()
        names = set(_names(current.__code__))
        for value in _objects(current, owner, names):
            if isinstance(value, ContextVar):
                found[id(value)] = value
                continue
            plain = getattr(value, "__func__", getattr(value, "fget", value))
            if type(plain) is not FunctionType or plain in seen:
                continue
            if plain.__module__.partition(".")[0] == package:
                seen.add(plain)
                waiting.append(plain)
    return list(found.values())


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _names(part)


def _objects(func: FunctionType, owner: type | None, names: set[str]) -> Iterator[Any]:
    """What ``names`` may mean in ``func``: globals, what modules have, methods of ``owner``."""
    for name in names:
        value = func.__globals__.get(name)
        if isinstance(value, ModuleType | type):
            yield from (vars(value).get(attribute) for attribute in names)
        else:
            yield value
        for cls in owner.__mro__ if owner is not None else ():
            if name in vars(cls):
                yield vars(cls)[name]
                break
    for cell in func.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:
            continue  # the variable has no value yet
