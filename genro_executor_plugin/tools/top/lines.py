# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Lines of styled text, as a terminal shows them and as plain text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Cell", "Line", "columns", "printable"]


@dataclass(frozen=True, slots=True)
class Cell:
    """A piece of text; ``style`` is empty, or ``bold``, ``dim``, ``red``, ``green``, ``yellow``."""

    text: str
    style: str = ""


Line = list[Cell]


def printable(text: object) -> str:
    """``text`` as one line, without characters that a terminal would act upon."""
    joined = " ".join(str(text).split())
    return "".join(character if character.isprintable() else "?" for character in joined)


def columns(head: Sequence[str], rows: Sequence[Sequence[Cell]], right: str = "") -> list[Line]:
    """The lines of a table whose columns are as wide as their widest cell.

    Args:
        head: the titles.
        rows: the cells, as many in each row.
        right: one letter per column: ``r`` for a column that is aligned to the right.
    """
    titles = [Cell(title, "dim") for title in head]
    widths = [max(len(cell.text) for cell in column) for column in zip(titles, *rows, strict=True)]

    def line(cells: Sequence[Cell]) -> Line:
        made: Line = []
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True)):
            to_the_right = right[number : number + 1] == "r"
            text = cell.text.rjust(width) if to_the_right else cell.text.ljust(width)
            made += [Cell("  "), Cell(text, cell.style)]
        return made

    return [line(titles), *map(line, rows)]
