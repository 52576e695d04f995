# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a scene of the demo found, and how that is shown.

Results go to standard output and progress to standard error. Only a terminal gets colours and a
line of progress that changes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TextIO

__all__ = ["Check", "Findings", "Screen"]

_BOLD, _DIM, _GREEN, _RED = "1", "2", "32", "1;31"
_INDENT = "   "


@dataclass(frozen=True, slots=True)
class Check:
    """A fact that must hold, and what was measured."""

    what: str
    measured: str
    expected: str
    ok: bool


@dataclass(slots=True)
class Findings:
    """What one scene found.

    Attributes:
        title: what the scene is about.
        columns: the headings of the table, the first column's included.
        rows: the lines of the table, texts only.
        checks: what must hold.
        figures: the same findings as numbers.
    """

    title: str
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def check(self, what: str, measured: str, expected: str, ok: bool) -> None:
        """Add the check ``what``: it was ``measured`` where ``expected`` was to be."""
        self.checks.append(Check(what, measured, expected, ok))

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)


class Screen:
    """Writes results to ``out``, and to ``progress`` what is going on."""

    def __init__(self, out: TextIO, progress: TextIO) -> None:
        self._out = out
        self._progress = progress
        self._coloured = out.isatty() and not os.environ.get("NO_COLOR")
        self._live = progress.isatty()
        self._stage = ""

    def working_on(self, what: str) -> None:
        """Say what is going on now; without a terminal, once for each new stage."""
        if self._live:
            self._progress.write(f"\r\x1b[K{_INDENT}... {what}")
            self._progress.flush()
            return
        stage = what.partition(":")[0]
        if stage != self._stage:
            self._stage = stage
            self._progress.write(f"... {stage}\n")
            self._progress.flush()

    def line(self, text: str = "") -> None:
        """Write one line."""
        self._clear()
        self._out.write(f"{text}\n")
        self._out.flush()

    def heading(self, text: str) -> None:
        """Write a heading."""
        self.line(self._paint(text, _BOLD))

    def scene(self, number: int, found: Findings) -> None:
        """Write what scene ``number`` found."""
        self.line()
        self.heading(f"{number}  {found.title}")
        if found.rows:
            self.line()
            self._table(found.columns, found.rows)
        self.line()
        self._checks(found.checks)

    def _table(self, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        widths = [max(map(len, column)) for column in zip(columns, *rows, strict=True)]
        for number, row in enumerate((columns, *rows)):
            cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            text = _INDENT + "   ".join(cells).rstrip()
            self.line(self._paint(text, _DIM) if number == 0 else text)

    def _checks(self, checks: Sequence[Check]) -> None:
        what = max(len(check.what) for check in checks)
        measured = max(len(check.measured) for check in checks)
        for check in checks:
            mark = self._paint("ok    ", _GREEN) if check.ok else self._paint("FAILED", _RED)
            expected = self._paint(f"expected: {check.expected}", _DIM)
            self.line(
                f"{_INDENT}{mark}  {check.what.ljust(what)}   "
                f"{check.measured.ljust(measured)}   {expected}"
            )

    def _clear(self) -> None:
        if self._live:
            self._progress.write("\r\x1b[K")
            self._progress.flush()

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text
