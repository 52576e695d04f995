# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where the modules of this program come from, so that a worker can have the same ones.

Most modules import in a worker as they did here, once ``sys.path`` is the same. Two kinds do
not: ``__main__``, and files that were loaded by path (``genro-asgi serve application=./hello.py:H``
registers one as ``genro_asgi_target_hello``). ``ModuleSources`` tells a worker of them; with
``install`` the worker makes them importable. No module is imported before it is needed.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import importlib.util
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from .main_module import (
    MAIN_ALIAS,
    MAIN_NAMES,
    MainModule,
    inside_worker,
    main_source,
    names_below_the_guard,
)

__all__ = [
    "ModuleSources",
    "has_its_packages",
    "install",
    "is_importable",
    "is_made_by_code",
    "load",
]


@dataclass(frozen=True, slots=True)
class ModuleSources:
    """What a worker needs to know to find the modules of this program.

    Attributes:
        path: ``sys.path`` as it is here.
        files: name -> file of the modules that no entry of ``path`` leads to, ``None`` for a
            package of such modules that has no file itself.
        main_name: the module that ``python -m`` runs, ``None`` for a script.
        main_file: the script that runs, ``None`` when there is none (a prompt, standard input).
        argv: ``sys.argv`` as it is here.
    """

    path: list[str] = field(default_factory=list)
    files: dict[str, str | None] = field(default_factory=dict)
    main_name: str | None = None
    main_file: str | None = None
    argv: list[str] = field(default_factory=list)

    @classmethod
    def here(cls) -> ModuleSources:
        """The sources of this process, now."""
        name, file = main_source()
        return cls(
            path=_path_from_everywhere(),
            files=_files_off_the_path(),
            main_name=name,
            main_file=file,
            argv=list(sys.argv),
        )


def _path() -> list[str]:
    """The texts in ``sys.path``; the import system ignores other entries, too."""
    entries: list[Any] = sys.path
    return [entry for entry in entries if isinstance(entry, str)]


def _path_from_everywhere() -> list[str]:
    """``sys.path`` without a deleted working directory, and with any other one by its name."""
    entries = [entry if os.path.isabs(entry) else _absolute(entry) for entry in _path()]
    return [entry for entry in entries if entry is not None]


def _absolute(path: str) -> str | None:
    """``path`` as it is found from everywhere; ``None`` if the working directory is deleted."""
    try:
        return os.path.abspath(path)
    except FileNotFoundError:
        return None  # nothing is found by this path here, either


def _folders(package: str) -> Iterable[str]:
    found: Iterable[str] = getattr(sys.modules.get(package), "__path__", ())
    return found


_known_files: tuple[Any, dict[str, str | None]] = (None, {})
"""What ``_files_off_the_path`` has returned, and for which modules and paths."""


def _files_off_the_path() -> dict[str, str | None]:
    """The files of the modules that no entry of ``sys.path`` leads to, by name.

    Looking at all modules takes milliseconds, and many workers may start at a time.
    """
    global _known_files
    now = len(sys.modules), next(reversed(sys.modules), None), tuple(_path()), _absolute(".")
    key, files = _known_files
    if key != now:
        files = _look_for_files_off_the_path()
        _known_files = now, files
    return dict(files)


def _look_for_files_off_the_path() -> dict[str, str | None]:
    known = set(map(_absolute, _path()))
    files: dict[str, str | None] = {}
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if spec is None or not getattr(spec, "has_location", False):
            continue
        package = name.rpartition(".")[0]
        if package and os.path.dirname(spec.origin) in _folders(package):
            continue  # as most of them: their absolute paths would take long to compute
        origin = _absolute(spec.origin)
        if origin is None:
            continue
        folder, stem = os.path.split(origin)
        if stem.startswith("__init__."):
            folder, stem = os.path.split(folder)
        # A file that was loaded under another name than its own is not found by that name.
        found_by_name = stem.partition(".")[0] == name.rpartition(".")[2]
        if found_by_name and folder in (_folders(package) if package else known):
            continue
        if origin.endswith(".py"):
            files[name] = origin
            while package:
                if getattr(sys.modules.get(package), "__file__", None) is None:
                    files.setdefault(package, None)
                package = package.rpartition(".")[0]
    return files


class _FileFinder:
    """Finds the modules that were loaded by path in the server."""

    def __init__(self) -> None:
        self.files: dict[str, str | None] = {}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        if fullname not in self.files:
            return None
        file = self.files[fullname]
        if file is None:
            return ModuleSpec(fullname, None, is_package=True)
        return importlib.util.spec_from_file_location(fullname, file)


def has_its_packages(module: str) -> bool:
    """Whether the packages of ``module`` are there, without which pickle does not name it."""
    while module := module.rpartition(".")[0]:
        if module not in sys.modules:
            return False
    return True


def is_made_by_code(module: str) -> bool:
    """Whether code has put the module together: it has no source, and no worker imports it."""
    found = sys.modules.get(module)
    if found is None or module in MAIN_NAMES or "." in module:
        return False
    return getattr(found, "__spec__", None) is None and getattr(found, "__file__", None) is None


def is_importable(module: object, path: str = "") -> bool:
    """Whether a worker finds the module of the name ``module``, and what it has at ``path``.

    What a main
    module makes below ``if __name__ == "__main__":`` is in the server alone.
    """
    found = sys.modules.get(module) if isinstance(module, str) else None
    if found is None:
        return False
    if module in MAIN_NAMES and (
        not any(main_source()) or path.partition(".")[0] in names_below_the_guard()
    ):
        return False
    if "<" in path:
        return False
    target: Any = found
    for name in path.split(".") if path else ():
        target = getattr(target, name, None)
    return target is not None


def load(name: str) -> None:
    """Import module ``name`` in a worker; ``__main__`` is the program's main module."""
    main = sys.modules.get(MAIN_ALIAS)
    if name == "__main__" and isinstance(main, MainModule):
        main.load()
    else:
        importlib.import_module(name)


def install(sources: ModuleSources) -> None:
    """Make the modules of ``sources`` importable in this process; a later call adds to it."""
    sys.path[:] = sources.path
    sys.argv[:] = sources.argv
    finder = next((f for f in sys.meta_path if isinstance(f, _FileFinder)), None)
    if finder is None:
        sys.meta_path.append(finder := _FileFinder())
    finder.files.update(sources.files)
    if not inside_worker():
        sys.modules["__main__"] = sys.modules[MAIN_ALIAS] = MainModule(
            sources.main_name, sources.main_file
        )
