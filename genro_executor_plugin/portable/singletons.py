# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Finds the name under which a module holds an object: ``_MISSING`` of ``shop.prices``, say.

A sentinel is compared with ``is``, so that a copy of it is as good as lost. Its name travels
instead, and the receiver takes its own. Each loaded module is looked through once, when something
first asks; a module that comes later is looked through then. What is there to be looked at is
gone over in C: a program has some hundred thousand names, and the event loop waits meanwhile.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import repeat
from operator import is_
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

_FEW_MODULES = 200
"""So many modules are looked through in a few milliseconds."""


@dataclass(frozen=True, slots=True)
class _Index:
    """What was found in the modules that were looked at; never changed, but replaced as a whole.

    Attributes:
        namespaces: the modules, each with the id of its namespace: one that is loaded anew is
            another one. What was still being imported is not among them, and is looked at again.
        types: the types of what a module has, by module.
        holders: the modules that have an object of a type, by type.
    """

    namespaces: dict[str, int]
    types: dict[str, frozenset[type]]
    holders: dict[type, tuple[str, ...]]


class Singletons:
    """The objects at the top level of the loaded modules, and of the classes there, by type.

    Several threads may ask at a time.
    """

    def __init__(self) -> None:
        self._index = _Index({}, {}, {})
        self._count = 0
        self._unfinished = False
        self._catching_up = threading.Lock()

    @property
    def is_behind(self) -> bool:
        """Whether there are many modules that were not looked at."""
        return len(sys.modules) - self._count > _FEW_MODULES

    def catch_up(self) -> None:
        """Look at the modules that were not looked at, if there are many; not on an event loop."""
        with self._catching_up:  # for whom another thread does it, waiting is as good
            if self.is_behind:
                self._look()

    def name_of(self, obj: Any) -> tuple[str, str] | None:
        """The module and the path in it that lead to ``obj``; ``None`` if none does."""
        if self._count != len(sys.modules):
            self._look()
        found = self._known(obj)
        if found is None and type(obj) is object:
            found = _found_anywhere(obj)  # a module may have made it since it was looked at
        return found

    def holds_any(self, cls: type) -> bool:
        """Whether an instance of exactly ``cls`` stands in a module."""
        self._look()
        if cls in self._index.holders:
            return True
        # Its own module may have gone on, or may have been loaded anew, since it was looked at.
        own = getattr(sys.modules.get(cls.__module__), "__dict__", {})
        if cls in map(type, list(own.values())):
            self._look(again=cls.__module__)
            return True
        return False

    def _known(self, obj: Any) -> tuple[str, str] | None:
        holders = [
            (module, getattr(sys.modules.get(module), "__dict__", {}))
            for module in self._index.holders.get(type(obj), ())
        ]
        return _path_to(obj, holders)

    def _look(self, again: str | None = None) -> None:
        """Look at the modules that were not looked at, and at the module ``again``."""
        count = len(sys.modules)
        if count == self._count and again is None and not self._unfinished:
            return
        known = self._index
        loaded = {
            name: names
            for name, module in list(sys.modules.items())
            if type(names := getattr(module, "__dict__", None)) is dict
        }
        gone = known.namespaces.keys() - loaded.keys()
        namespaces = {name: known.namespaces[name] for name in known.namespaces.keys() - gone}
        types = {name: known.types[name] for name in known.types.keys() - gone}
        new: list[str] = []
        unfinished = False
        for name, names in loaded.items():
            if namespaces.get(name) == id(names) and name != again:
                continue
            new.append(name)
            types[name] = _types_in(name, names)
            if getattr(names.get("__spec__"), "_initializing", False):
                unfinished = True
            else:
                namespaces[name] = id(names)
        holders = {} if gone else dict(known.holders)
        _add_holders(holders, types, types if gone else new)
        self._index = _Index(namespaces, types, holders)
        self._count, self._unfinished = count, unfinished


def _add_holders(
    holders: dict[type, tuple[str, ...]], types: dict[str, frozenset[type]], modules: Iterable[str]
) -> None:
    added: dict[type, list[str]] = {}
    for name in modules:
        for cls in types[name]:
            added.setdefault(cls, []).append(name)
    for cls, names in added.items():
        # In the order in which they were loaded: the first one is where others have it from.
        holders[cls] = tuple(dict.fromkeys((*holders.get(cls, ()), *names)))


def _types_in(module: str, names: dict[str, Any]) -> frozenset[type]:
    """The types of the objects at the top level of ``module``, and of the classes there."""
    if not is_importable(module):
        return frozenset()
    values = list(names.values())
    types = set(map(type, values))
    for value in values:
        if isinstance(value, type) and value.__module__ == module:
            types.update(map(type, list(vars(value).values())))
    return frozenset(types - _PASSED_OVER)


def _found_anywhere(obj: Any) -> tuple[str, str] | None:
    """The module that has ``obj`` at its top level, by a look through all of them.

    Their classes are passed over: that would take a tenth of a second, on an event loop.
    """
    for module, loaded in list(sys.modules.items()):
        names = getattr(loaded, "__dict__", None)
        if type(names) is dict and any(map(is_, list(names.values()), repeat(obj))):
            name = _name_in(names, obj)
            if name is not None and is_importable(module):
                return module, name
    return None


def _path_to(obj: Any, modules: list[tuple[str, dict[str, Any]]]) -> tuple[str, str] | None:
    """The module, and the path in it, that lead to ``obj``: at its top level, or in a class."""
    for module, names in modules:
        name = _name_in(names, obj)
        if name is not None:
            return module, name
    for module, names in modules:
        for name, value in list(names.items()):
            if isinstance(value, type) and value.__module__ == module:
                inner = _name_in(vars(value), obj)
                if inner is not None:
                    return module, f"{name}.{inner}"
    return None


def _name_in(names: Any, obj: Any) -> str | None:
    if not any(map(is_, list(names.values()), repeat(obj))):
        return None
    return next((name for name, value in list(names.items()) if value is obj), None)
