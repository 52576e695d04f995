# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Suggests a number of workers from what was measured, with the reasons."""

from __future__ import annotations

from dataclasses import dataclass

from .figures import Machine, Measured
from .measure import COMPUTES_FROM

__all__ = ["Suggestion", "suggest", "warnings"]

ENOUGH = 0.9
"""The smallest number of workers with this share of the best throughput is suggested."""

BUSY_LOAD_PER_CPU = 0.5


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A number of workers, and why it was chosen."""

    function: str
    max_workers: int
    reasons: tuple[str, ...]


def suggest(machine: Machine, measured: Measured) -> Suggestion:
    """The suggested number of workers for the function of ``measured``."""
    best = max(point.per_second for point in measured.points)
    chosen = next(point for point in measured.points if point.per_second >= ENOUGH * best)
    last = measured.points[-1]
    reasons = [
        f"{chosen.workers} is the smallest number of workers that was tried with at least "
        f"{ENOUGH:.0%} of the best throughput ({chosen.per_second:g} of {best:g} calls/s)",
        f"the function computes for {measured.cpu_share:.0%} of its {measured.run_ms:g} ms, and "
        f"{machine.cpus} CPU{'s are' if machine.cpus > 1 else ' is'} granted",
    ]
    if measured.cpu_share < COMPUTES_FROM:
        if chosen is last and len(measured.points) > 1:
            reasons.append(
                f"the throughput was still rising at {last.workers}: what the function waits for, "
                "and memory, are the limit, not this machine's CPUs; --workers tries more"
            )
        reasons.append(
            "it waits more than it computes: a pool with executor_type='thread' does the same "
            "with less memory, if a run need not be killed"
        )
    if measured.worker_mb:
        reasons.append(
            f"{chosen.workers} of its workers take about "
            f"{chosen.workers * measured.worker_mb:.0f} MB, shared pages counted for each"
        )
    return Suggestion(measured.name, chosen.workers, tuple(reasons))


def warnings(machine: Machine) -> list[str]:
    """Reasons why the figures may be wrong, one a line."""
    if machine.load is not None and machine.load > BUSY_LOAD_PER_CPU * machine.cpus:
        return [
            f"the machine was busy before the start (load {machine.load:.1f} on {machine.cpus} "
            "CPUs): figures are lower than it can do, and the suggestion may be off"
        ]
    return []
