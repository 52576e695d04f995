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
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

__all__ = [
    "MAIN_ALIAS",
    "ModuleSources",
    "expose_main",
    "inside_worker",
    "install",
    "load",
    "main_source",
    "stop_main_import",
]

MAIN_ALIAS = "__mp_main__"
"""The name under which a worker runs the main module, the same as in ``multiprocessing``."""


class MainModuleStop(BaseException):
    """Ends the import of the main module in a worker: the rest of it is for the server alone."""


@dataclass(frozen=True, slots=True)
class ModuleSources:
    """What a worker needs to know to find the modules of this program.

    Attributes:
        path: ``sys.path`` as it is here.
        files: name -> file of the modules that no entry of ``path`` leads to.
        main_name: the module that ``python -m`` runs, ``None`` for a script.
        main_file: the script that runs, ``None`` when there is none (a prompt, standard input).
        argv: ``sys.argv`` as it is here.
    """

    path: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
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

    @property
    def has_main(self) -> bool:
        """Whether a worker can import the main module, too."""
        return self.main_name is not None or self.main_file is not None


@cache
def main_source() -> tuple[str | None, str | None]:
    """The name and the file to run the main module from in a worker; ``None`` for none."""
    main = sys.modules["__main__"]
    name = getattr(getattr(main, "__spec__", None), "name", None)
    if name is not None:
        # ``python -m package`` runs package.__main__, which as a rule has no guard.
        return (None, None) if name.rpartition(".")[2] == "__main__" else (name, None)
    file = getattr(main, "__file__", None)
    if file is None or not os.path.isfile(file):
        return None, None
    return None, os.path.abspath(file)


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


def _files_off_the_path() -> dict[str, str]:
    known = set(map(_absolute, _path()))
    files: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        spec = getattr(module, "__spec__", None)
        if "." in name or spec is None or not getattr(spec, "has_location", False):
            continue
        origin = _absolute(spec.origin)
        if origin is None:
            continue
        folder, stem = os.path.split(origin)
        if stem.startswith("__init__."):
            folder = os.path.dirname(folder)
        if folder not in known and origin.endswith(".py"):
            files[name] = origin
    return files


class _FileFinder:
    """Finds the modules that were loaded by path in the server."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        file = self.files.get(fullname)
        return importlib.util.spec_from_file_location(fullname, file) if file else None


class _MainModule(ModuleType):
    """The main module in a worker: it runs when an attribute of it is first read."""

    def __init__(self, sources: ModuleSources) -> None:
        super().__init__(MAIN_ALIAS)
        self.__dict__["_sources"] = sources

    def __getattr__(self, name: str) -> Any:
        sources: ModuleSources | None = self.__dict__.get("_sources")
        if sources is None or name.startswith("__"):
            raise AttributeError(f"the main module has no attribute {name!r}")
        if not sources.has_main:
            raise AttributeError(
                f"{name!r} is of a main module without a file (a prompt, standard input): "
                "it is not there in a worker; put it into a module"
            )
        self._run(sources)
        return getattr(self, name)

    def load(self) -> None:
        """Run the main module now, if there is one and it has not run yet."""
        sources = self.__dict__.get("_sources")
        if sources is not None and sources.has_main:
            self._run(sources)

    def _run(self, sources: ModuleSources) -> None:
        if sources.main_name is not None:
            spec = importlib.util.find_spec(sources.main_name)
        else:
            assert sources.main_file is not None
            spec = importlib.util.spec_from_file_location(
                MAIN_ALIAS,
                sources.main_file,
                loader=importlib.machinery.SourceFileLoader(MAIN_ALIAS, sources.main_file),
            )
        loader = getattr(spec, "loader", None)
        if spec is None or loader is None or not hasattr(loader, "get_code"):
            raise ImportError(f"the worker does not find the main module {sources.main_name!r}")
        self.__file__ = spec.origin
        self.__package__ = spec.parent if sources.main_name is not None else ""
        del self.__dict__["_sources"]
        self.__dict__["_running"] = True
        try:
            exec(loader.get_code(spec.name), self.__dict__)
        except BaseException as error:
            # A worker needs only what stands before the call that starts the server.
            if not _is_stop(error):
                # The next attribute that is read raises the same error.
                self.__dict__["_sources"] = sources
                raise
        finally:
            del self.__dict__["_running"]


def _is_stop(error: BaseException) -> bool:
    """Whether ``error`` is a ``MainModuleStop``, or a group of nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(MainModuleStop)[1] is None
    return isinstance(error, MainModuleStop)


def expose_main() -> None:
    """Make the main module importable as ``__mp_main__`` here, too, as ``multiprocessing`` does."""
    if not inside_worker():
        sys.modules.setdefault(MAIN_ALIAS, sys.modules["__main__"])


def load(name: str) -> None:
    """Import module ``name`` in a worker; ``__main__`` is the program's main module."""
    main = sys.modules.get(MAIN_ALIAS)
    if name == "__main__" and isinstance(main, _MainModule):
        main.load()
    else:
        importlib.import_module(name)


def inside_worker() -> bool:
    """Whether this process is a worker (or a template) of a pool."""
    return isinstance(sys.modules.get(MAIN_ALIAS), _MainModule)


def stop_main_import() -> None:
    """End the import of the main module, if this is a worker that is importing it now.

    Called where only a server gets to: when it serves, and when it calls a pool. So a main module
    needs no ``if __name__ == "__main__":`` around that.
    """
    if "_running" in getattr(sys.modules.get(MAIN_ALIAS), "__dict__", ()):
        raise MainModuleStop


def install(sources: ModuleSources) -> None:
    """Make the modules of ``sources`` importable in this process; a later call adds to it."""
    sys.path[:] = sources.path
    sys.argv[:] = sources.argv
    finder = next((f for f in sys.meta_path if isinstance(f, _FileFinder)), None)
    if finder is None:
        sys.meta_path.append(finder := _FileFinder())
    finder.files.update(sources.files)
    if not inside_worker():
        sys.modules["__main__"] = sys.modules[MAIN_ALIAS] = _MainModule(sources)
