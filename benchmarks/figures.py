# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What was measured: samples per variant and round, their medians, and the goals they meet."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

__all__ = ["Goal", "Metric", "Table", "Target", "percentile", "rotated"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Metric:
    """One column of a table.

    Attributes:
        key: what a measurement calls the figure.
        title: what a reader calls it, with the unit.
        digits: how many digits are shown behind the point.
    """

    key: str
    title: str
    digits: int = 0


@dataclass(frozen=True, slots=True)
class Target:
    """A goal before it was measured.

    Attributes:
        text: what it is about.
        metric: the key of the figure it looks at.
        limit: what the figure may be at most (at least, if ``at_least``).
        subject: the variant that has to reach it.
        against: the variant it is compared with, ``None`` for the bare figure.
        difference: compare by subtraction instead of by division.
        at_least: the limit is a lower one.
        unit: of the figure; empty for a ratio.
    """

    text: str
    metric: str
    limit: float
    subject: str
    against: str | None = None
    difference: bool = False
    at_least: bool = False
    unit: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """A goal and what was measured for it; ``measured`` is ``None`` where a figure is missing."""

    text: str
    limit: str
    measured: float | None
    unit: str
    reached: bool | None


@dataclass(slots=True)
class Table:
    """The figures of one experiment, variant by variant.

    Attributes:
        key: its short name.
        title: what was measured.
        about: how, in a sentence or two.
        metrics: the columns; ratios are those of the first one.
        ours: the variant that ratios are taken to.
        samples: per variant and metric, one figure for each round.
        missing: the variants without figures, and why.
        goals: what the figures were held against.
    """

    key: str
    title: str
    about: str
    metrics: tuple[Metric, ...]
    ours: str
    samples: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    goals: list[Goal] = field(default_factory=list)

    def add(self, variant: str, measured: Mapping[str, float]) -> None:
        """Take in one round of ``variant``."""
        mine = self.samples.setdefault(variant, {})
        for key, value in measured.items():
            mine.setdefault(key, []).append(value)

    def median(self, variant: str, metric: str) -> float | None:
        """The median over the rounds, ``None`` where nothing was measured."""
        values = self.samples.get(variant, {}).get(metric)
        return statistics.median(values) if values else None

    def ratio(self, variant: str) -> float | None:
        """The first metric's median by that of ours."""
        mine = self.median(self.ours, self.metrics[0].key)
        other = self.median(variant, self.metrics[0].key)
        return other / mine if mine and other is not None else None

    def judge(self, targets: Iterable[Target]) -> None:
        """Hold the figures against ``targets``."""
        for target in targets:
            measured = self.median(target.subject, target.metric)
            if measured is not None and target.against is not None:
                other = self.median(target.against, target.metric)
                if other is None or (other == 0 and not target.difference):
                    measured = None
                else:
                    measured = measured - other if target.difference else measured / other
            reached = None
            if measured is not None:
                reached = measured >= target.limit if target.at_least else measured <= target.limit
            sign = ">=" if target.at_least else "<="
            unit = target.unit or "x"
            limit = f"{sign} {'+' if target.difference else ''}{target.limit:g} {unit}"
            self.goals.append(Goal(target.text, limit, measured, unit, reached))


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` of a sorted sequence lie."""
    return ordered[round((len(ordered) - 1) * percent / 100)]


def rotated(items: Sequence[T], turn: int) -> list[T]:
    """``items`` beginning with another one at every turn, so that no place is anyone's."""
    start = turn % len(items) if items else 0
    return [*items[start:], *items[:start]]
