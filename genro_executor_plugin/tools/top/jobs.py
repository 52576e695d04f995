# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The long jobs of a server in ``top``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from .lines import Cell, Line, columns, printable
from .orders import sorted_jobs, took

__all__ = ["JOBS_QUERY", "job_lines", "job_title"]

JOBS_QUERY = {"sort": "submitted", "limit": "50"}
"""Which jobs are asked for: the newest ones."""

_STYLES = {"running": "green", "failed": "red", "lost": "red", "cancelled": "dim"}


def job_lines(snapshot: Mapping[str, Any], order: str | None) -> list[Line]:
    """The newest jobs, where they were asked for; why not, if they cannot be had."""
    found = snapshot.get("jobs")
    if found is None:
        return []
    if "trouble" in found:
        return [[], [Cell(f"  {printable(found['trouble'])}", "red")]]
    if not found["jobs"]:
        return [[], [Cell("  there are none", "dim")]]
    rows = [_job(job) for job in sorted_jobs(found["jobs"], order)]
    head = ("JOB", "STATE", "POOL", "SUBMITTED", "TOOK", "WHAT", "SAID")
    return columns(head, rows, "llllrll")


def job_title(snapshot: Mapping[str, Any]) -> str:
    """The title of the section, with how many there are."""
    found = snapshot.get("jobs") or {}
    count, unseen = found.get("count"), found.get("unseen")
    told = [f"{count:,}"] if isinstance(count, int) else []
    told += [f"{unseen:,} failed that nobody has seen"] if unseen else []
    return f"Long jobs ({', '.join(told)})" if told else "Long jobs"


def _job(job: Mapping[str, Any]) -> list[Cell]:
    seconds, ended = took(job), job["ended_at"] is not None
    error, fraction = job["error"], job["fraction"]
    said = f"{error['type']}: {error['message']}" if error is not None else ""
    if not ended:
        share = f"{fraction:.0%} " if isinstance(fraction, float) else ""
        said = share + (job["message"] or said)
    state = "asked to end" if job["cancel_requested"] and not ended else printable(job["state"])
    return [
        Cell(printable(job["id"])),
        Cell(state, _STYLES.get(job["state"], "")),
        Cell(printable(job["pool"])),
        Cell(time.strftime("%d %b %H:%M:%S", time.localtime(job["submitted_at"])), "dim"),
        Cell("-" if seconds is None else f"{seconds:.1f} s"),
        Cell(printable(job["what"])[:60]),
        Cell(printable(said)[:100], "red" if error is not None and ended else ""),
    ]
