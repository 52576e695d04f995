# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How ``genro-executor jobs`` writes a job: as a row of a table, and as lines of its own.

Everything that a job carries may be meant to steer a terminal, and is shown as plain text.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from ..tools.top.lines import printable
from .output import painter

__all__ = ["LEVELS", "at_least", "lines_of", "lines_of_log", "row_of"]

LEVELS = {"debug": 0, "info": 20, "warning": 30, "error": 40, "critical": 50}
"""The levels that can be asked for, and the numbers from which on lines are of them."""


def row_of(job: dict[str, Any]) -> tuple[str, ...]:
    """The cells of a job in a list."""
    begun, ended = job["started_at"], job["ended_at"]
    took = "" if begun is None else f"{max((ended or time.time()) - begun, 0.0):.1f} s"
    error, fraction = job["error"], job["fraction"]
    told = [f"{fraction:.0%}"] if isinstance(fraction, float) and job["ended_at"] is None else []
    told += [job["message"]] if job["message"] and job["ended_at"] is None else []
    told += [f"{error['type']}: {error['message']}"] if error is not None else []
    return (
        printable(job["id"]),
        "asked to end" if job["cancel_requested"] and ended is None else _state_of(job),
        printable(job["what"])[:60],
        printable(job["submitter"])[:20],
        _clock(job["submitted_at"]),
        took,
        str(job["attempts"]),
        printable(", ".join(told))[:80],
    )


def _state_of(job: dict[str, Any]) -> str:
    return printable(job["state"]) + (", seen" if job["seen_at"] is not None else "")


def _clock(at: float | None) -> str:
    if at is None:
        return "-"
    return datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def lines_of(job: dict[str, Any]) -> Iterator[str]:
    """The lines that say all that is known of a job."""
    paint = painter(sys.stdout)
    yield paint(f"{printable(job['title'])}, {printable(job['task_id'])}", "bold")
    progress, failure = job["progress"], job["failure"]
    facts = {
        "state": job["state"] + (", asked to end" if job["cancel_requested"] else ""),
        "pool": job["pool"],
        "submitter": job["submitter"] or "-",
        "submitted": _clock(job["submitted_at"]),
        "not before": _clock(job["eta"]),
        "started": _clock(job["started_at"]),
        "ended": _clock(job["ended_at"]),
        "attempts": f"{job['attempts']}, {job['retries']} retries allowed",
        "run again": "possible" if job["can_be_repeated"] else "not possible",
    }
    if job["seen_at"] is not None:
        facts["seen"] = f"{_clock(job['seen_at'])} by {job['seen_by']}"
    if progress is not None:
        share = progress["fraction"]
        known = f"{share:.0%} " if isinstance(share, float) else ""
        facts["progress"] = f"{known}{progress['message']}"
    for name, value in facts.items():
        yield f"  {name:<11}{printable(value)}"
    for name, value in job["arguments"] or ():
        yield f"  {printable(name)} = {printable(value)}"
    if job["arguments_trouble"]:
        yield f"  arguments: {printable(job['arguments_trouble'])}"
    yield from _lines_of_runs(job["runs"])
    if failure is not None:
        head = f"{printable(failure['type_name'])}: {printable(failure['message'])}"
        yield paint(head, "red")
        yield from map(_indented, failure["traceback"].splitlines())


def _lines_of_runs(runs: list[dict[str, Any]]) -> Iterator[str]:
    """A line for each attempt, and what was raised in those that are over."""
    if not runs:
        return
    yield "  last attempts:"
    for run in runs:
        began, ended, failure = run["began_at"], run["ended_at"], run["failure"]
        took = "" if began is None or ended is None else f" after {max(ended - began, 0.0):.1f} s"
        where = f", agent {run['agent']}" if run["agent"] else ""
        where += f", process {run['pid']}" if run["pid"] is not None else ""
        said = f", {failure['type_name']}: {failure['message']}" if failure is not None else ""
        line = f"{run['number']}. {_clock(began)} {run['ended_as']}{took}{where}"
        yield f"    {printable(line + said)[:200]}"


def at_least(level: str, log: dict[str, Any]) -> dict[str, Any]:
    """The lines of ``log`` that are of ``level`` and above."""
    return {**log, "lines": [line for line in log["lines"] if line["level"] >= LEVELS[level]]}


def lines_of_log(log: dict[str, Any]) -> Iterator[str]:
    """The lines that a job has logged, those of several lines indented."""
    yield "  log:" if log["lines"] else "  log: no line is kept"
    if log["missing"]:
        yield f"    ({log['missing']} earlier lines are not kept)"
    for line in log["lines"]:
        first, *more = line["text"].splitlines() or [""]
        head = f"{_clock(line['at'])} {line['level_name']} {line['logger']}: {first}"
        yield f"    {printable(head)}"
        yield from (f"    {_indented(text)}" for text in more)


def _indented(line: str) -> str:
    """A line as it is, without characters that a terminal would act upon."""
    return "  " + "".join(one if one.isprintable() else "?" for one in line)
