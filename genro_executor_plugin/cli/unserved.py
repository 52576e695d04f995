# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Servers that a program makes in code, to be looked at without being served.

A program without ``if __name__ == "__main__":`` serves when it is imported. Its import is stopped
there: the server has been made by then.
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import uvicorn

from ..executors.registry import ExecutorRegistry
from ..portable.main_watch import MainWatch
from .launching import CliError, UnbuiltError

__all__ = ["names_a_server", "nothing_served", "server_in"]

_IN_CODE = re.compile(r"(?P<module>[^=:]+):(?P<name>[^\W\d]\w*(\.[^\W\d]\w*)*)")


class _ServesError(BaseException):
    """Raised where a program would serve; not an ``Exception``, which it might catch."""


def _serves(*_arguments: Any, **_options: Any) -> NoReturn:
    raise _ServesError


def names_a_server(source: str) -> bool:
    """Whether ``source`` is ``module:name`` or ``file.py:name``: a server in code."""
    return _IN_CODE.fullmatch(source) is not None


@contextmanager
def nothing_served(source: str) -> Iterator[None]:
    """While the block runs, a program that begins to serve is stopped.

    Raises:
        UnbuiltError: it did; the message says how such a program is checked.
    """
    try:
        with _stopped_at_uvicorn():
            yield
    except _ServesError:
        raise UnbuiltError(
            f"{source} is a program that serves when it is imported, and no recipe. Name the "
            f"server that it makes, {source}:server if that is its name: then it is built, and "
            "not served"
        ) from None


@contextmanager
def _stopped_at_uvicorn() -> Iterator[None]:
    """While the block runs, ``_ServesError`` is raised where uvicorn would serve."""
    run, serve = uvicorn.Server.run, uvicorn.Server.serve
    uvicorn.Server.run = _serves  # type: ignore[method-assign] # taken back below
    uvicorn.Server.serve = _serves  # type: ignore[method-assign] # taken back below
    try:
        yield
    finally:
        uvicorn.Server.run, uvicorn.Server.serve = run, serve  # type: ignore[method-assign] # as before


def server_in(source: str) -> Any:
    """The server with pools that ``source``, ``module:name`` or ``file.py:name``, makes.

    The module is imported under its own name, up to the line that serves if there is one. What
    is named may be a function without arguments that returns the server.

    Raises:
        CliError: there is no such module or name, or it is no server with pools.
        UnbuiltError: the module or the function raised an error, which is the cause.
    """
    found = _IN_CODE.fullmatch(source)
    assert found is not None
    value: Any = _imported(found["module"])
    for name in found["name"].split("."):
        if not hasattr(value, name):
            raise CliError(f"{source}: {found['module']} has no {name!r} where it is served")
        value = getattr(value, name)
    if callable(value) and not _has_pools(value):
        value = _stopped_where_it_serves(value, source) or value
    if not _has_pools(value):
        raise CliError(
            f"{source} is no server with pools, but {type(value).__name__}. Name an "
            "ExecutorServer, or a function that returns one"
        )
    return value


def _has_pools(value: Any) -> bool:
    return not isinstance(value, type) and isinstance(
        getattr(value, "executors", None), ExecutorRegistry
    )


def _imported(module: str) -> Any:
    is_file = module.endswith(".py")
    name = os.path.splitext(os.path.basename(module))[0] if is_file else module
    folder = os.path.dirname(os.path.abspath(module)) if is_file else os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        spec = (
            importlib.util.spec_from_file_location(name, module)
            if is_file
            else importlib.util.find_spec(name)
        )
        loader: Any = getattr(spec, "loader", None)
        code = loader.get_code(name) if spec is not None else None
    except SyntaxError as error:
        raise UnbuiltError(str(error)) from error
    except (ImportError, OSError, ValueError, AttributeError) as error:
        raise CliError(f"there is no module {module!r}: {error}") from error
    if spec is None or code is None:
        raise CliError(f"there is no module {module!r} with a source that can be run")
    made = sys.modules[name] = importlib.util.module_from_spec(spec)

    def run() -> None:
        watch = MainWatch(code, _serves)
        watch.begin()
        try:
            exec(code, made.__dict__)
        finally:
            watch.end()

    _stopped_where_it_serves(run, module)
    return made


def _stopped_where_it_serves(run: Callable[[], Any], source: str) -> Any:
    """What ``run`` returns; ``None`` where it would serve."""
    try:
        with _stopped_at_uvicorn():
            return run()
    except _ServesError:
        return None
    except CliError:
        raise
    except Exception as error:
        raise UnbuiltError(f"{source}: {error}") from error
