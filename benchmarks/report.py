# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The figures for people (a terminal, Markdown) and for programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict

from benchmarks.figures import Goal, Metric, Table
from benchmarks.settings import Settings

__all__ = ["as_json", "as_markdown", "shown_goals", "shown_table"]

_DASH = "-"


def shown_table(table: Table) -> str:
    """A table as aligned text, its goals behind it."""
    lines = [table.title, f"  {table.about}", "", *_aligned(_header(table), _rows(table))]
    lines += [f"  {text}" for text in _missing(table)]
    if table.goals:
        lines += ["", *(f"  {_sentence(goal)}" for goal in table.goals)]
    return "\n".join([*lines, ""])


def shown_goals(tables: Sequence[Table]) -> str:
    """All goals as aligned text, and how many were reached."""
    goals = [goal for table in tables for goal in table.goals]
    reached = sum(goal.reached is True for goal in goals)
    rows = [_goal_cells(goal) for goal in goals]
    header = ["goal", "limit", "measured", "reached"]
    lines = [f"Goals: {reached} of {len(goals)} reached", "", *_aligned(header, rows)]
    return "\n".join([*lines, ""])


def as_markdown(
    tables: Sequence[Table], environment: Mapping[str, str], settings: Settings, command: str
) -> str:
    """A part of a page: environment, goals, then every table."""
    lines = [
        f"Made with `{command}`: medians over {settings.rounds} rounds of {settings.seconds:g} s "
        "each, all variants of a table in turn in every round. Ratios hold on other machines, "
        "times do not.",
        "",
        ", ".join(f"{name} {version}" for name, version in environment.items()),
        "",
        "## Goals",
        "",
    ]
    goals = [goal for table in tables for goal in table.goals]
    lines += _piped(["goal", "limit", "measured", "reached"], [_goal_cells(goal) for goal in goals])
    for table in tables:
        lines += ["", f"## {table.title}", "", table.about, ""]
        lines += _piped(_header(table), _rows(table))
        for text in _missing(table):
            lines += ["", text]
    return "\n".join([*lines, ""])


def as_json(tables: Sequence[Table], environment: Mapping[str, str], settings: Settings) -> str:
    """Everything, every round's figures included."""
    content = {
        "environment": dict(environment),
        "settings": asdict(settings),
        "tables": [
            {
                **asdict(table),
                "medians": {
                    variant: {key: table.median(variant, key) for key in metrics}
                    for variant, metrics in table.samples.items()
                },
            }
            for table in tables
        ],
    }
    return json.dumps(content, indent=2) + "\n"


def _header(table: Table) -> list[str]:
    return ["", *(metric.title for metric in table.metrics), "times ours"]


def _rows(table: Table) -> list[list[str]]:
    rows = []
    for variant in table.samples:
        ratio = table.ratio(variant)
        cells = [_figure(table.median(variant, metric.key), metric) for metric in table.metrics]
        rows.append([variant, *cells, _DASH if ratio is None else f"{ratio:.2f}"])
    return sorted(rows, key=lambda row: not row[0].startswith(table.ours))


def _figure(value: float | None, metric: Metric) -> str:
    return _DASH if value is None else f"{value:,.{metric.digits}f}"


def _missing(table: Table) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for variant, reason in table.missing.items():
        reasons.setdefault(reason, []).append(variant)
    return [f"{', '.join(variants)}: {reason}." for reason, variants in reasons.items()]


def _goal_cells(goal: Goal) -> list[str]:
    return [goal.text, goal.limit, _measured(goal), _verdict(goal)]


def _sentence(goal: Goal) -> str:
    return f"{goal.text}: {_measured(goal)} (goal {goal.limit}): {_verdict(goal)}"


def _measured(goal: Goal) -> str:
    return _DASH if goal.measured is None else f"{goal.measured:.3g} {goal.unit}"


def _verdict(goal: Goal) -> str:
    if goal.reached is None:
        return "not measured"
    return "reached" if goal.reached else "not reached"


def _aligned(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [list(header), *map(list, rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    return [
        "  "
        + "  ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]


def _piped(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    marks = ["---", *("---:" for _ in header[1:])]
    return [f"| {' | '.join(line)} |" for line in (header, marks, *rows)]
