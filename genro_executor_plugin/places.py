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
