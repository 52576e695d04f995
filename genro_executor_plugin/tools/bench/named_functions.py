# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Finds the functions that are named on a command line, and reads their arguments."""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .figures import Subject
from .functions import compute, sleep

__all__ = ["BUILT_IN", "TargetError", "arguments_of", "subject_of"]

BUILT_IN: dict[str, Callable[..., Any]] = {"compute": compute, "sleep": sleep}


class TargetError(Exception):
    """A named function does not exist, or its arguments cannot be read."""


def subject_of(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Subject:
    """The function ``name``: a built-in one, ``package.module:function``, ``file.py:function``.

    Raises:
        TargetError: there is no such function.
    """
    if name in BUILT_IN:
        return Subject(name, BUILT_IN[name])
    where, colon, attribute = name.partition(":")
    if not (where and colon and attribute):
        raise TargetError(
            f"{name!r} is not a function: write package.module:function, file.py:function, or one "
            f"of {', '.join(BUILT_IN)}"
        )
    func: Any = _module(where)
    for part in attribute.split("."):
        func = getattr(func, part, None)
    if not callable(func):
        raise TargetError(f"{where} has no function {attribute!r}")
    return Subject(name, func, args, kwargs)


def arguments_of(text: str | None) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments in the JSON ``text``: a list of them, or an object of named ones.

    Raises:
        TargetError: ``text`` is neither.
    """
    try:
        given = json.loads(text) if text is not None else []
    except (ValueError, RecursionError) as error:  # the second one: nested too deeply
        raise TargetError(f"--arguments is not JSON: {error}") from error
    if isinstance(given, list):
        return tuple(given), {}
    if isinstance(given, dict):
        return (), given
    raise TargetError(f"--arguments is a JSON list or object, not {text}")


def _module(where: str) -> Any:
    try:
        if where.endswith(".py"):
            return _loaded(Path(where).resolve())
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)  # a console script does not have it on its path
        return importlib.import_module(where)
    except Exception as error:
        raise TargetError(f"{where} cannot be imported: {type(error).__name__}: {error}") from error


def _loaded(file: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"genro_executor_bench_{file.stem}", file)
    if spec is None or spec.loader is None or not file.is_file():
        raise TargetError(f"there is no file {file}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
