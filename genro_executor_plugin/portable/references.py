# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How a function is named so that another process finds the very same one.

A reference is a module, a dotted path in it, and how many decorators to look through: the
name ``report`` of a module may hold a wrapper (``functools.wraps``), and the function that
is meant is the one that it wraps.
"""

from __future__ import annotations

import importlib
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import FunctionType, ModuleType
from typing import Any

from .main_module import MAIN_ALIAS, MAIN_NAMES, main_source
from .modules import has_its_packages, is_importable

__all__ = ["Reference", "class_refusal", "describe", "reference_to", "warn_of_globals"]

_MAX_WRAPPERS = 32


@dataclass(frozen=True, slots=True)
class Reference:
    """A function or class by name.

    Attributes:
        module: the module's name.
        path: the dotted path inside the module.
        depth: how many ``__wrapped__`` steps lead from the object there to the one that is meant.
    """

    module: str
    path: str
    depth: int = 0

    def is_plain(self, target: Any) -> bool:
        """Whether pickle itself names ``target`` the same way."""
        named_alike = self.depth == 0 and self.path == target.__qualname__
        return named_alike and has_its_packages(self.module)

    def resolve(self) -> Any:
        """What the reference names in this process.

        Raises:
            ImportError: the module does not import here.
            AttributeError: the module has no such path.
        """
        found = _walk(importlib.import_module(self.module), self.path)
        for _ in range(self.depth):
            found = found.__wrapped__
        return found


def reference_to(target: Any, owner: type | None = None) -> Reference | None:
    """A reference under which a worker finds ``target``, ``None`` if there is none.

    Args:
        target: a function or a class.
        owner: the class ``target`` is a method of, where that is known: its namespaces are
            searched for an alias, too.
    """
    name = getattr(target, "__module__", None)
    if not isinstance(name, str) or not is_importable(name):
        return None
    module = sys.modules[name]
    path = getattr(target, "__qualname__", "")
    if is_importable(name, path):
        depth = _depth(module, path, target)
        if depth is not None:
            return Reference(module.__name__, path, depth)
    return next(_aliases(module, target, owner), None)


def _aliases(module: ModuleType, target: Any, owner: type | None) -> Iterator[Reference]:
    for name, value in list(vars(module).items()):
        depth = _steps(value, target)
        if depth is not None and is_importable(module.__name__, name):
            yield Reference(module.__name__, name, depth)
    for cls in owner.__mro__ if owner is not None else ():
        if not is_importable(cls.__module__, cls.__qualname__):
            continue
        home = sys.modules[cls.__module__]
        if _depth(home, cls.__qualname__, cls) != 0:
            continue
        for name, value in vars(cls).items():
            depth = _steps(value, target)
            if depth is not None:
                yield Reference(home.__name__, f"{cls.__qualname__}.{name}", depth)


def _walk(found: Any, path: str) -> Any:
    for name in path.split("."):
        found = getattr(found, name)
    return found


def _depth(module: ModuleType, path: str, target: Any) -> int | None:
    try:
        return _steps(_walk(module, path), target)
    except AttributeError:
        return None


def _steps(found: Any, target: Any) -> int | None:
    """How many ``__wrapped__`` steps lead from ``found`` to ``target``."""
    for depth in range(_MAX_WRAPPERS):
        if found is target:
            return depth
        try:
            found = found.__dict__["__wrapped__"]
        except (AttributeError, KeyError, TypeError):
            return None
    return None


@cache
def _warn_once(what: str) -> None:
    logging.getLogger("genro_executor_plugin").warning(
        "this program %s: its functions travel by value, and their globals begin anew with every "
        "call. Write them into a module",
        what,
    )


def warn_of_globals(func: FunctionType) -> None:
    """Log once that the globals of ``func`` do not last, if no worker can import its program."""
    if func.__module__ not in MAIN_NAMES:
        return
    if not any(main_source()):
        _warn_once("has no file (standard input, -c, a prompt)")
    elif all(
        func.__globals__ is not getattr(sys.modules.get(name), "__dict__", None)
        for name in MAIN_NAMES
    ):
        _warn_once("is run by another one (a profiler, runpy)")


def class_refusal(cls: type, reason: str) -> str:
    """What to tell of ``cls``, of which a worker can have no replica, and what to do."""
    return (
        f"the class {describe(cls)} has no name under which a worker finds it, and cannot travel "
        f"by value: {reason}. Define it at the top level of a module that imports"
    )


def describe(func: Any) -> str:
    """A name for ``func`` in messages: its module and its qualified name."""
    inner = getattr(func, "func", func) if not isinstance(func, FunctionType) else func
    name = getattr(inner, "__qualname__", None)
    if name is None:
        return f"an instance of {describe(type(func))}"
    module = getattr(inner, "__module__", "?")
    return f"{'__main__' if module == MAIN_ALIAS else module}.{name}"
