# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How the frames of a traceback travel: as places in the source, with line and columns.

In the server they become frames again, which hold no variables and lead to no other frame. The
columns make the markers under a line (``1 / n`` with ``~~^~~``) those of the worker. Frames of this
package around the function that was called are left out: they say nothing about its failure.
"""

from __future__ import annotations

import ast
from functools import lru_cache
from pathlib import Path
from types import CodeType, FunctionType, TracebackType
from typing import Any, NamedTuple

__all__ = ["function_frames", "pack_traceback", "rebuild_traceback"]

_PACKAGE = str(Path(__file__).resolve().parents[1]) + "/"

_MOST_FRAMES = 200
"""How many frames travel: half of them from either end."""


class _Place(NamedTuple):
    """Where a frame was: the source, the function, and the lines and columns of its statement."""

    filename: str
    function: str
    module: str | None
    line: int
    end_line: int | None
    column: int | None
    end_column: int | None


def function_frames(traceback: TracebackType | None) -> TracebackType | None:
    """``traceback`` without the frames of this package that it begins with.

    It is returned as it is if it has no others.
    """
    link = traceback
    while link is not None and link.tb_frame.f_code.co_filename.startswith(_PACKAGE):
        link = link.tb_next
    return traceback if link is None else link


def pack_traceback(traceback: TracebackType) -> Any:
    """``traceback`` as a pickler's reduction, rebuilt by ``rebuild_traceback``."""
    places = []
    link = function_frames(traceback)
    while link is not None:
        places.append(_place_of(link))
        link = link.tb_next
    if len(places) > _MOST_FRAMES:
        half = _MOST_FRAMES // 2
        places = places[:half] + places[-half:]
    return rebuild_traceback, ([tuple(place) for place in places],)


def _place_of(link: TracebackType) -> _Place:
    code = link.tb_frame.f_code
    end_line = column = end_column = None
    if link.tb_lasti >= 0:
        for index, position in enumerate(code.co_positions()):
            if index == link.tb_lasti // 2:
                _, end_line, column, end_column = position
                break
    module = link.tb_frame.f_globals.get("__name__")
    return _Place(
        code.co_filename,
        code.co_name,
        module if isinstance(module, str) else None,
        link.tb_lineno or 0,  # there are instructions without a line
        end_line,
        column,
        end_column,
    )


def rebuild_traceback(places: list[tuple[Any, ...]]) -> TracebackType | None:
    """The traceback with a frame for each of ``places``."""
    traceback = None
    for values in reversed(places):
        place = _Place(*values)
        code, instruction = _code_at(place)
        variables = {"__name__": place.module, "__file__": place.filename}
        # The frame of a generator that was never begun: it leads to no other frame.
        frame = FunctionType(code, variables)().gi_frame
        traceback = TracebackType(traceback, frame, instruction, place.line)
    return traceback


@lru_cache(maxsize=1024)
def _code_at(place: _Place) -> tuple[CodeType, int]:
    """A generator's code at ``place``, and the offset of an instruction with its columns.

    The offset is negative where the columns are not known.
    """
    module = ast.parse("def function(): yield")
    columns = (place.line, place.end_line, place.column, place.end_column)
    line, end_line, column, end_column = (-1 if value is None else value for value in columns)
    known = 0 < line <= end_line and min(column, end_column) >= 0
    if not known:
        end_line, column, end_column = line, 0, 0
    for node in ast.walk(module):
        if isinstance(node, ast.stmt | ast.expr):
            node.lineno, node.end_lineno = max(line, 1), max(end_line, 1)
            node.col_offset, node.end_col_offset = column, end_column
    constants = compile(module, place.filename, "exec").co_consts
    code = next(constant for constant in constants if isinstance(constant, CodeType))
    code = code.replace(co_name=place.function, co_qualname=place.function)
    for index, position in enumerate(code.co_positions() if known else ()):
        if position == (line, end_line, column, end_column):
            return code, 2 * index
    return code, -1
