# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where something is written, as a person who works here calls it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["place", "place_of"]


def place(file: str, line: int) -> str:
    """``"config.py:12"``, or with the whole path for a file that is not below this folder."""
    path = Path(file)
    here = Path.cwd()
    return f"{path.relative_to(here) if path.is_relative_to(here) else path}:{line}"


def place_of(func: Callable[..., Any]) -> str | None:
    """Where ``func`` is defined, ``None`` for what was not written in Python."""
    code = getattr(inspect.unwrap(func), "__code__", None)
    return None if code is None else place(code.co_filename, code.co_firstlineno)
