# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Finds in the source of modules what is changed at run time in one process only."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from types import ModuleType

__all__ = ["changed_globals"]


def changed_globals(modules: Iterable[ModuleType]) -> Iterator[str]:
    """A sentence for each ``global`` statement in the functions of ``modules``."""
    for module in modules:
        try:
            tree = ast.parse(inspect.getsource(module))
        except (OSError, TypeError, SyntaxError):
            continue  # there is no source to be seen
        for function in ast.walk(tree):
            if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for node in ast.walk(function):
                if isinstance(node, ast.Global):
                    names = ", ".join(node.names)
                    yield (
                        f"{module.__file__}:{node.lineno}: {function.name}() changes the global "
                        f"{names}: each worker has its own, and the server another one"
                    )
