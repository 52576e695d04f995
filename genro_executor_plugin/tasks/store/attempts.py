# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is kept of each attempt of a job, also of those before it was run again.

A row is written when an attempt ends, with the step that ends it. The attempt that runs is known
from the job itself.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass, replace
from typing import Any

from ..status import TaskFailure, TaskStatus, failure_text
from ..texts import cut
from .log import LogBatch, add_log

__all__ = [
    "INTERRUPTED",
    "MOST_ATTEMPTS",
    "EndedAttempt",
    "Ran",
    "attempts_of",
    "note_attempt",
    "running_attempt",
]

MOST_ATTEMPTS = 20
"""How many attempts of a job are kept: the last ones."""

MOST_TRACEBACK_CHARS = 8_000
"""Of the traceback of each of them; the job's own failure has more."""

INTERRUPTED = "interrupted"
"""How an attempt has ended whose job runs again because a server ended. The others have ended in
the state that the job would have without retries."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What is known of a run at its end, beside its outcome.

    Attributes:
        ended_as: the state that it has led to, or would have without a retry; ``INTERRUPTED``.
        pid: the process it ran in, ``None`` where that is not known.
        agent: the agent it ran on, empty for none.
        failure: why it failed, ``None`` if it did not.
        log: what it has logged and is not stored yet, ``None`` for nothing.
    """

    ended_as: str
    pid: int | None = None
    agent: str = ""
    failure: TaskFailure | None = None
    log: LogBatch | None = None


@dataclass(frozen=True, slots=True)
class EndedAttempt:
    """An attempt of a job. Times are seconds since the epoch.

    Attributes:
        number: which one it was, counted from 1; running a job again goes on counting.
        began_at: when it was claimed.
        ended_at: when it had ended, ``None`` for one that runs.
        ended_as: as ``Ran`` has it; ``"running"`` for one that runs.
        pid, agent, failure: as ``Ran`` has them.
    """

    number: int
    began_at: float | None
    ended_at: float | None
    ended_as: str
    pid: int | None
    agent: str
    failure: TaskFailure | None

    def as_dict(self) -> dict[str, Any]:
        """The attempt as JSON values."""
        return asdict(self)


def note_attempt(
    connection: sqlite3.Connection, task_id: str, now: float, ran: Ran, owner: str | None = None
) -> None:
    """Keep what is known of the attempt of a job that is running, and no longer is after this step.

    Args:
        connection: the store.
        task_id: the job.
        now: when the attempt has ended.
        ran: how.
        owner: the process that must have the job, ``None`` for any.
    """
    found = connection.execute(
        "SELECT seq, started_at, owner, (SELECT max(number) FROM attempts WHERE job = seq) "
        "FROM tasks WHERE task_id = ? AND state = 'running'",
        (task_id,),
    ).fetchone()
    if found is None or owner not in (None, found[2]):
        return
    job, began_at, of, last = found
    if ran.log is not None:
        add_log(connection, task_id, of, ran.log)
    number = 1 + (last or 0)
    failure = None
    if ran.failure is not None:
        traceback = cut(ran.failure.traceback, MOST_TRACEBACK_CHARS)
        failure = failure_text(replace(ran.failure, traceback=traceback))
    connection.execute(
        "INSERT INTO attempts VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (job, number, began_at, now, ran.ended_as, ran.pid, ran.agent, failure),
    )
    if number > MOST_ATTEMPTS:
        connection.execute(
            "DELETE FROM attempts WHERE job = ? AND number <= ?", (job, number - MOST_ATTEMPTS)
        )


def attempts_of(connection: sqlite3.Connection, task_id: str) -> list[EndedAttempt]:
    """The attempts that are kept of a job, the first one first."""
    found = connection.execute(
        "SELECT number, began_at, attempts.ended_at, ended_as, pid, agent, attempts.failure "
        "FROM tasks JOIN attempts ON job = seq WHERE task_id = ? ORDER BY number",
        (task_id,),
    )
    return [EndedAttempt(*(*row[:-1], _failure_in(row[-1]))) for row in found]


def running_attempt(
    status: TaskStatus, ended: list[EndedAttempt], pid: int | None, agent: str
) -> EndedAttempt:
    """The attempt of a job that runs now, as one that has not ended."""
    number = 1 + (ended[-1].number if ended else 0)
    return EndedAttempt(number, status.started_at, None, status.state.value, pid, agent, None)


def _failure_in(text: str | None) -> TaskFailure | None:
    if text is None:
        return None
    try:
        return TaskFailure(**json.loads(text))
    except (ValueError, TypeError):
        return TaskFailure("", "(what is stored of it is damaged)")
