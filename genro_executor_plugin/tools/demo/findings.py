# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a scene of the demo found: rows to read, and checks that hold or do not."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["Check", "Findings"]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must hold."""

    what: str
    measured: str
    expected: str
    ok: bool


@dataclass(slots=True)
class Findings:
    """One scene.

    Attributes:
        title: what it is about.
        columns: the headings of the table, the first column's included.
        rows: the lines of the table, texts only.
        checks: what must hold.
        figures: the same as numbers.
    """

    title: str
    columns: tuple[str, ...] = ()
    rows: list[tuple[str, ...]] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    def check(self, what: str, measured: str, expected: str, ok: bool) -> None:
        """Note that ``what`` was ``measured``, where it is ``expected``."""
        self.checks.append(Check(what, measured, expected, ok))

    @property
    def ok(self) -> bool:
        """Whether everything holds."""
        return all(check.ok for check in self.checks)
