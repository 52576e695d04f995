# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How many jobs of each pool there are in each state, and how late those are that wait."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field

from . import schema

__all__ = ["JobTotals", "totals_of"]


@dataclass(frozen=True, slots=True)
class JobTotals:
    """The jobs of one store at one moment.

    Attributes:
        jobs: how many there are, by pool and state.
        oldest: seconds for which the oldest one has waited that may begin, by pool.
        unseen: how many have failed or are lost and were not marked as seen, by pool.
        late: seconds by which the latest one is behind the time it was to begin at, by pool.
    """

    jobs: dict[tuple[str, str], int] = field(default_factory=dict)
    oldest: dict[str, float] = field(default_factory=dict)
    late: dict[str, float] = field(default_factory=dict)
    unseen: dict[str, int] = field(default_factory=dict)


def totals_of(connection: sqlite3.Connection, now: float) -> JobTotals:
    """The totals at ``now``, of the jobs that are kept."""
    counted = connection.execute(
        "SELECT pool, state, count(*) FROM tasks "
        "WHERE ended_at IS NULL OR ended_at + keep > ? GROUP BY pool, state",
        (now,),
    ).fetchall()
    waiting = connection.execute(
        "SELECT pool, min(submitted_at), min(eta) FROM tasks "
        "WHERE state = 'queued' AND (eta IS NULL OR eta <= ?) GROUP BY pool",
        (now,),
    ).fetchall()
    unseen = connection.execute(
        f"SELECT pool, count(*) FROM {schema.COUNTED_UNSEEN} AND ended_at + keep > ? GROUP BY pool",
        (now,),
    ).fetchall()
    return JobTotals(
        {(pool, state): count for pool, state, count in counted},
        {pool: max(0.0, now - submitted) for pool, submitted, _ in waiting},
        {pool: max(0.0, now - eta) for pool, _, eta in waiting if eta is not None},
        dict(unseen),
    )
