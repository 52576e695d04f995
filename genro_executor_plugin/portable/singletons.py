# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Finds the name under which a module holds an object: ``_MISSING`` of ``shop.prices``, say.

A sentinel is compared with ``is``, so that a copy of it is as good as lost. Its name travels
instead, and the receiver takes its own. All loaded modules are looked through once, and again
only when more were loaded since.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from .modules import is_importable

__all__ = ["Singletons"]

_PASSED_OVER = frozenset(
    {
        *(FunctionType, BuiltinFunctionType, ModuleType, type, str, int, float, bool, bytes),
        *(type(None), tuple, list, dict, set, frozenset, property, classmethod, staticmethod),
    }
)


class Singletons:
    """The objects at the top level of the loaded modules, and of the classes there, by type."""

    def __init__(self) -> None:
        self._names: dict[type, list[tuple[str, str]]] = {}
        self._modules = -1

    def name_of(self, obj: Any) -> tuple[str, str] | None:
        """The module and the path in it that lead to ``obj``; ``None`` if none does."""
        found = self._known(obj)
        if found is None and self._modules != len(sys.modules):
            self._look()
            found = self._known(obj)
        if found is None and type(obj) is object:
            self._look()  # a module may have made it since
            found = self._known(obj)
        return found

    def holds_any(self, cls: type) -> bool:
        """Whether an instance of exactly ``cls`` stands in a module."""
        if self._modules != len(sys.modules):
            self._look()
        return cls in self._names

    def _known(self, obj: Any) -> tuple[str, str] | None:
        for module, path in self._names.get(type(obj), ()):
            found: Any = sys.modules.get(module)
            for name in path.split("."):
                found = getattr(found, "__dict__", {}).get(name)
            if found is obj:
                return module, path
        return None

    def _look(self) -> None:
        self._modules = len(sys.modules)
        self._names = {}
        for name, module in list(sys.modules.items()):
            if not is_importable(name):
                continue
            for path, value in _objects(name, getattr(module, "__dict__", {})):
                self._names.setdefault(type(value), []).append((name, path))


def _objects(module: str, names: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in list(names.items()):
        if isinstance(value, type):
            if value.__module__ == module:
                for inner, part in list(vars(value).items()):
                    if type(part) not in _PASSED_OVER:
                        yield f"{name}.{inner}", part
        elif type(value) not in _PASSED_OVER:
            yield name, value
