# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Single steps on the rows of the store, within a transaction of somebody else's."""

from __future__ import annotations

import sqlite3
import time

from ..status import (
    TaskFailure,
    TaskState,
    TaskStatus,
    failure_text,
)
from .schema import SELECT, status_of

__all__ = ["back_in_line", "end", "job", "remove", "set_aside"]


def job(connection: sqlite3.Connection, task_id: str) -> TaskStatus | None:
    """The job of that id, ``None`` for none."""
    row = connection.execute(f"{SELECT} WHERE task_id = ?", (task_id,)).fetchone()
    return None if row is None else status_of(row)


def back_in_line(connection: sqlite3.Connection, task_id: str) -> None:
    """running -> queued."""
    connection.execute(
        "UPDATE tasks SET state = 'queued', progress = NULL WHERE task_id = ?", (task_id,)
    )


def end(
    connection: sqlite3.Connection,
    task_id: str,
    state: TaskState,
    now: float,
    failure: TaskFailure | None,
) -> None:
    """Any state -> the final ``state``, with nothing to show."""
    connection.execute(
        "UPDATE tasks SET state = ?, ended_at = ?, failure = ?, stored_bytes = 0 WHERE task_id = ?",
        (state.value, now, failure_text(failure), task_id),
    )
    connection.execute("DELETE FROM payloads WHERE task_id = ? AND kind = 'call'", (task_id,))


def remove(connection: sqlite3.Connection, task_id: str) -> None:
    """Forget a job with all that belongs to it."""
    connection.execute("DELETE FROM payloads WHERE task_id = ?", (task_id,))
    connection.execute("DELETE FROM tasks WHERE task_id = ?", (task_id,))


def set_aside(connection: sqlite3.Connection, task_id: str, kind: str, reason: str) -> None:
    """Move a payload to where nothing is ever deleted."""
    connection.execute(
        "INSERT INTO damaged SELECT ?, task_id, kind, ?, content FROM payloads "
        "WHERE task_id = ? AND kind = ?",
        (time.time(), reason, task_id, kind),
    )
    connection.execute("DELETE FROM payloads WHERE task_id = ? AND kind = ?", (task_id, kind))
