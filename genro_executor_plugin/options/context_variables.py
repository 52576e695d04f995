# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Context variables by name: what a pool's ``context`` option lists."""

from __future__ import annotations

import importlib
import sys
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

__all__ = ["ContextReference", "context_reference"]


@dataclass(frozen=True, slots=True)
class ContextReference:
    """A context variable that a worker finds, too: ``module:name``."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}:{self.name}"

    def resolve(self) -> ContextVar[Any]:
        """The variable, in this process.

        Raises:
            ImportError: the module does not import here.
            LookupError: there is no context variable of that name in it.
        """
        found: Any = importlib.import_module(self.module)
        for name in self.name.split("."):
            found = getattr(found, name, None)
        if not isinstance(found, ContextVar):
            raise LookupError(f"{self} is {found!r}, and no ContextVar")
        return found


def context_reference(given: Any) -> ContextReference:
    """The reference that ``given`` means: ``"module:name"``, a variable, or a variable's own name.

    Raises:
        ImportError: the module does not import.
        LookupError: there is no such variable, or more than one.
    """
    if isinstance(given, ContextReference):
        return given
    if isinstance(given, ContextVar):
        return _only(given.name, [r for r, variable in _all_variables() if variable is given])
    if not isinstance(given, str) or not given:
        raise LookupError(f"{given!r} is no context variable, and no name of one")
    module, colon, name = given.partition(":")
    if not colon:
        return _only(given, [r for r, variable in _all_variables() if variable.name == given])
    reference = ContextReference(module, name)
    reference.resolve()
    return reference


def _only(name: str, found: list[ContextReference]) -> ContextReference:
    variables = {id(reference.resolve()) for reference in found}
    if not found:
        raise LookupError(
            f"no module that is loaded has a context variable {name!r} at its top level; "
            "name it as 'module:name'"
        )
    if len(variables) > 1:
        raise LookupError(
            f"{name!r} may be {', '.join(map(str, found))}; name the one that is meant"
        )
    own = [reference for reference in found if reference.module != "__main__"]
    return (own or found)[0]


def _all_variables() -> list[tuple[ContextReference, ContextVar[Any]]]:
    """The context variables at the top level of the loaded modules, by reference."""
    return [
        (ContextReference(module_name, name), value)
        for module_name, module in sorted(sys.modules.items())
        for name, value in list(getattr(module, "__dict__", {}).items())
        if isinstance(value, ContextVar)
    ]
