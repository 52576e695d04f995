# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The main module of a program, in the server and in a worker.

A worker imports it under another name, when something of it is first needed. ``main_source``
tells where it comes from; ``MainModule`` stands for it in a worker.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.machinery
import importlib.util
import os
import pkgutil
import sys
import threading
import traceback
from collections.abc import Callable
from functools import cache
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType
from typing import Any

from .main_watch import MainWatch, one_logger_for_both_names

__all__ = [
    "MAIN_ALIAS",
    "MAIN_NAMES",
    "MainModule",
    "MainModuleStop",
    "continue_with",
    "expose_main",
    "inside_worker",
    "main_source",
    "names_below_the_guard",
    "stop_main_import",
]

MAIN_ALIAS = "__mp_main__"
"""The name under which a worker runs the main module, the same as in ``multiprocessing``."""

MAIN_NAMES = ("__main__", MAIN_ALIAS)


class MainModuleStop(BaseException):
    """Ends the import of the main module where its frames cannot be left standing."""


@cache
def main_source() -> tuple[str | None, str | None]:
    """The name and the file to run the main module from in a worker; ``None`` for none.

    The file is one inside of an archive for ``python program.pyz``.
    """
    main = sys.modules["__main__"]
    if isinstance(main, MainModule):
        return main.origin
    spec = getattr(main, "__spec__", None)
    name = getattr(spec, "name", None)
    if name is not None and name != "__main__":
        return name, None  # python -m
    file = getattr(main, "__file__", None)
    if file is None:
        return None, None
    in_archive = spec is not None and os.path.isfile(os.path.dirname(file))
    if not in_archive and not os.path.isfile(file):
        return None, None
    return None, os.path.abspath(file)


@cache
def names_below_the_guard() -> frozenset[str]:
    """The names that only ``if __name__ == "__main__":`` makes: a worker's main module lacks them.

    Empty where the source cannot be read.
    """
    try:
        spec, _ = _main_spec(*main_source())
        source = spec.loader.get_source(spec.name)  # type: ignore[union-attr] # or it is caught
        tree = ast.parse(source)
    except (ImportError, AttributeError, TypeError, SyntaxError, ValueError, OSError):
        return frozenset()
    below: set[str] = set()
    everywhere: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.If) and _is_guard(node.test):
            for part in node.body:
                below |= _bound_by(part)
            for part in node.orelse:
                everywhere |= _bound_by(part)
        else:
            everywhere |= _bound_by(node)
    return frozenset(below - everywhere)


def _is_guard(test: ast.expr) -> bool:
    return (
        isinstance(test, ast.Compare)
        and isinstance(test.ops[0], ast.Eq)
        and {
            getattr(part, "id", getattr(part, "value", None))
            for part in (test.left, *test.comparators)
        }
        == {"__name__", "__main__"}
    )


def _bound_by(statement: ast.stmt) -> set[str]:
    """The names that ``statement`` gives to functions, classes and values of its module."""
    names: set[str] = set()
    waiting: list[ast.AST] = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
            continue  # what is bound in it is its own
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).partition(".")[0])
        waiting.extend(ast.iter_child_nodes(node))
    return names


def _main_spec(name: str | None, file: str | None) -> tuple[ModuleSpec, str]:
    """Where the main module's code is, and its package.

    Raises:
        ImportError: it is not found here.
    """
    spec: ModuleSpec | None
    if name is not None:
        spec = importlib.util.find_spec(name)
        package = getattr(spec, "parent", None) or ""
    elif file is not None and not os.path.isfile(file):
        importer = pkgutil.get_importer(os.path.dirname(file))
        spec = importer.find_spec("__main__") if importer is not None else None
        package = ""
    else:
        assert file is not None
        loader = importlib.machinery.SourceFileLoader(MAIN_ALIAS, file)
        spec = importlib.util.spec_from_file_location(MAIN_ALIAS, file, loader=loader)
        package = ""
    if spec is None or not hasattr(spec.loader, "get_code"):
        raise ImportError(f"the worker does not find the main module {name or file!r}")
    return spec, package


class MainModule(ModuleType):
    """The main module in a worker: it runs when an attribute of it is first read.

    Attributes:
        origin: the name and the file that it runs from, as ``main_source`` told in the server.
    """

    origin: tuple[str | None, str | None]

    def __init__(self, name: str | None, file: str | None) -> None:
        super().__init__(MAIN_ALIAS)
        self.__dict__["_source"] = self.__dict__["origin"] = name, file

    def __getattr__(self, name: str) -> Any:
        source: tuple[str | None, str | None] | None = self.__dict__.get("_source")
        if source is None or name.startswith("__"):
            raise AttributeError(f"the main module has no attribute {name!r}")
        if not any(source):
            raise AttributeError(
                f"{name!r} is of a main module without a file (a prompt, standard input): "
                "it is not there in a worker; put it into a module"
            )
        self._run(source)
        return getattr(self, name)

    def load(self) -> None:
        """Run the main module now, if there is one and it has not run yet."""
        source = self.__dict__.get("_source")
        if source is not None and any(source):
            self._run(source)

    def _run(self, source: tuple[str | None, str | None]) -> None:
        spec, package = _main_spec(*source)
        code: CodeType = spec.loader.get_code(spec.name)  # type: ignore[union-attr] # as it has one
        self.__file__: str | None = spec.origin
        self.__package__: str | None = package
        del self.__dict__["_source"]
        self.__dict__["_running"] = threading.get_ident()
        one_logger_for_both_names(*MAIN_NAMES)
        watch = self.__dict__["_watch"] = MainWatch(code, stop_main_import)
        watch.begin()
        try:
            exec(code, self.__dict__)
        except BaseException as error:
            if not _is_stop(error):
                # The next attribute that is read raises the same error.
                self.__dict__["_source"] = source
                raise
        finally:
            watch.end()
            self.__dict__.pop("_running", None)

    def continue_with(self, decide: Callable[[], Callable[[], None] | None]) -> None:
        """Have ``decide`` say what follows where the import of the main module is stopped.

        Where it returns ``None``, what asked for the module has to be gone back to: the import
        ends with an exception.
        """
        self.__dict__["_decide"] = decide

    def stop(self) -> None:
        """Go on with what the process is for, and never come back.

        The frames of the main module stay where they are: what stands in an ``except`` or a
        ``finally`` around the call that serves is for the server alone. A worker needs only what
        stands before that call.
        """
        decide = self.__dict__.get("_decide")
        is_here = threading.get_ident() == self.__dict__["_running"]
        then: Callable[[], None] | None = decide() if decide is not None and is_here else None
        if then is None:
            raise MainModuleStop
        del self.__dict__["_running"]
        self.__dict__["_watch"].end()
        if "asyncio" in sys.modules:
            sys.modules["asyncio"].events._set_running_loop(None)
        code = 1
        try:
            then()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)


def _is_stop(error: BaseException) -> bool:
    """Whether ``error`` is a ``MainModuleStop``, or a group of nothing else."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(MainModuleStop)[1] is None
    return isinstance(error, MainModuleStop)


def expose_main() -> None:
    """Make the main module importable as ``__mp_main__`` here, too, as ``multiprocessing`` does."""
    if not inside_worker():
        sys.modules.setdefault(MAIN_ALIAS, sys.modules["__main__"])


def inside_worker() -> bool:
    """Whether this process is a worker (or a template) of a pool."""
    return isinstance(sys.modules.get(MAIN_ALIAS), MainModule)


def stop_main_import() -> None:
    """End the import of the main module, if this is a worker that is importing it now.

    Called where only a server gets to: when it serves, starts, or calls a pool. So a main module
    needs no ``if __name__ == "__main__":`` around that.
    """
    main = sys.modules.get(MAIN_ALIAS)
    if isinstance(main, MainModule) and "_running" in main.__dict__:
        main.stop()


def continue_with(decide: Callable[[], Callable[[], None] | None]) -> None:
    """As ``MainModule.continue_with``, for the main module of this worker."""
    main = sys.modules.get(MAIN_ALIAS)
    if isinstance(main, MainModule):
        main.continue_with(decide)
