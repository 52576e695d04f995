# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How commands write: one-line errors, tables and JSON, with colours on a terminal only."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TextIO

__all__ = [
    "DOES_NOT_HOLD",
    "HOLDS",
    "IMPOSSIBLE",
    "INTERRUPTED",
    "CommandError",
    "complain",
    "indented",
    "painter",
    "print_json",
    "table",
]

HOLDS, DOES_NOT_HOLD, IMPOSSIBLE, INTERRUPTED = 0, 1, 2, 130
"""The exit codes of every command."""

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "bold": "1", "dim": "2"}

Painter = Callable[[str, str], str]


class CommandError(Exception):
    """The command cannot be run. Each line of the message says one reason."""


def complain(prog: str, message: str) -> None:
    """Write what is wrong to standard error, each line with the program's name before it."""
    paint = painter(sys.stderr)
    for line in message.splitlines():
        text = paint(f"{prog}: {line}", "red")
        if sys.stderr.isatty():
            text = f"\r\x1b[K{text}"  # a line of progress may stand there
        sys.stderr.write(f"{text}\n")


def painter(stream: TextIO) -> Painter:
    """A function that colours text for ``stream``, if that is a terminal that may have colours.

    The colours are ``red``, ``green``, ``yellow``, ``bold`` and ``dim``; an empty name leaves the
    text as it is.
    """
    if not stream.isatty() or os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return lambda text, colour: text

    def paint(text: str, colour: str) -> str:
        return f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m" if colour else text

    return paint


def print_json(document: Any) -> None:
    """Write ``document`` to standard output as JSON."""
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def indented(lines: Iterable[str], paint: Painter) -> Iterator[str]:
    """The lines of a table below a title: indented, the head in a dim colour."""
    for number, line in enumerate(lines):
        yield f"  {line if number else paint(line, 'dim')}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table whose columns are as wide as their widest cell."""
    cells = [tuple(head), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
