# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Why a configuration could not be built, in lines that a person can act upon."""

from __future__ import annotations

import os
import sysconfig
import traceback

from ..errors import ExecutorConfigError
from ..places import place

__all__ = ["reasons"]

_LIBRARIES = tuple(
    os.path.realpath(sysconfig.get_path(name)) + os.sep for name in ("stdlib", "purelib", "platlib")
)
_OURSELVES = os.path.dirname(os.path.dirname(os.path.realpath(__file__))) + os.sep


def reasons(error: BaseException) -> list[str]:
    """What ``error`` says: every mistake of a configuration, or what was raised, and where."""
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
