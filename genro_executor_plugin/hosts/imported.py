# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Something to do as soon as another package is imported, without importing it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["is_being_imported", "refuse_import", "when_imported"]


def when_imported(name: str, do: Callable[[], None]) -> None:
    """Call ``do`` when the module ``name`` has been imported: now, if it has been already."""
    if name in sys.modules and not is_being_imported(name):
        do()
        return
    sys.meta_path.insert(0, _Watcher(name, do))


def refuse_import(name: str, error: ImportError) -> None:
    """Have the import of the module ``name`` raise ``error``; looking for it still finds it."""
    if not any(isinstance(finder, _Refusing) and finder.name == name for finder in sys.meta_path):
        sys.meta_path.insert(0, _Refusing(name, error))


def is_being_imported(name: str) -> bool:
    """Whether the import of the module ``name`` has begun and not ended."""
    module = sys.modules.get(name)
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))


def _found(
    fullname: str, path: Sequence[str] | None, target: ModuleType | None
) -> ModuleSpec | None:
    """What the finders find that are none of this module's."""
    for finder in sys.meta_path:
        if not isinstance(finder, _Watcher | _Refusing):
            spec = finder.find_spec(fullname, path, target)
            if spec is not None:
                return spec
    return None


class _Refusing:
    """Finds one module as the other finders do, and has it not be loaded."""

    def __init__(self, name: str, error: ImportError) -> None:
        self.name = name
        self._error = error

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.name:
            return None
        spec = _found(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec

        def exec_module(module: ModuleType) -> None:
            raise self._error

        # Of this one loader, which would load this one module.
        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


class _Watcher:
    """Finds one module as the other finders do, and sees when it has been loaded."""

    def __init__(self, name: str, do: Callable[[], None]) -> None:
        self._name = name
        self._do = do

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        spec = _found(fullname, path, target)
        if spec is None or spec.loader is None:
            return spec  # it is not there; it may be another time
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            # Here and not when it is found: whoever asks whether it is installed finds it, too.
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            load(module)
            self._do()

        # Of this one loader, which loads this one module.
        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
