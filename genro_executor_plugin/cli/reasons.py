# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Why a configuration could not be built, in lines that a person can act upon."""

from __future__ import annotations

import os
import sys
import sysconfig
import traceback

from ..errors import ExecutorConfigError
from ..options.source_line import place

__all__ = ["reasons"]

_LIBRARIES = tuple(
    os.path.realpath(folder) + os.sep
    for folder in (
        *(sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")),
        # A virtual environment may share the packages of another one.
        *(entry for entry in sys.path if entry.endswith(("site-packages", "dist-packages"))),
    )
)
_OURSELVES = os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + os.sep


def reasons(error: BaseException) -> list[str]:
    """Every mistake that ``error`` lists, or else what was raised and on which line."""
    if isinstance(error, ExecutorConfigError):
        return list(error.mistakes)
    if isinstance(error, SyntaxError) and error.filename:
        return [f"{place(error.filename, error.lineno or 0)}: {type(error).__name__}: {error.msg}"]
    what = f"{type(error).__name__}: {_first_line(error)}"
    where = _own_line(error)
    return [what if where is None else f"{where}: {what}"]


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")


def _own_line(error: BaseException) -> str | None:
    """The innermost line that is neither a library's nor this package's."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        file = os.path.realpath(frame.filename)
        if os.path.isfile(file) and not file.startswith((*_LIBRARIES, _OURSELVES)):
            return place(frame.filename, frame.lineno or 0)
    return None
