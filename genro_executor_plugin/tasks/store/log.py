# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The last lines that a job has logged, as they lie in the store.

They come in batches, and each batch is a row, with the lines as JSON. A row is deleted when those
behind it are enough. Rows are numbered by how many lines there have been, so that it is known
how many are missing.
"""

from __future__ import annotations

import json
import sqlite3
from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["MOST_BYTES", "MOST_LINES", "KeptLog", "LogBatch", "LogLine", "add_log", "log_of"]

MOST_LINES = 200
"""How many lines of a job are kept."""

MOST_BYTES = 64 * 1024
"""How many bytes of them are kept."""


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Lines that a run has logged one behind the other.

    Attributes:
        lines: each of them as a JSON list: time, level's number and name, logger, text.
        logged: how many were logged: those before these were too many.
    """

    lines: tuple[str, ...]
    logged: int


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line that a job has logged.

    Attributes:
        at: when, in seconds since the epoch.
        level: the number of its level.
        level_name: the name of its level.
        logger: the name of its logger.
        text: what it says, with the traceback that was logged.
        attempt: the number of the attempt.
    """

    at: float
    level: int
    level_name: str
    logger: str
    text: str
    attempt: int


@dataclass(frozen=True, slots=True)
class KeptLog:
    """The last lines of a job.

    Attributes:
        lines: these, the oldest first.
        missing: how many there were before them, or among them when they came too fast.
    """

    lines: list[LogLine]
    missing: int

    def as_dict(self) -> dict[str, Any]:
        """The lines as JSON values."""
        return asdict(self)


def add_log(connection: sqlite3.Connection, task_id: str, owner: str, batch: LogBatch) -> None:
    """Store lines of a job that runs in the process ``owner``."""
    found = connection.execute(
        "SELECT seq, (SELECT max(upto) FROM log WHERE job = seq), "
        "(SELECT max(number) FROM attempts WHERE job = seq) "
        "FROM tasks WHERE task_id = ? AND state = 'running' AND owner = ?",
        (task_id, owner),
    ).fetchone()
    if found is None:
        return
    job, before, attempt = found
    connection.execute(
        "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?)",
        (
            job,
            (before or 0) + batch.logged,
            1 + (attempt or 0),
            len(batch.lines),
            sum(map(len, batch.lines)),
            "\n".join(batch.lines),
        ),
    )
    count = size = 0
    for upto, lines, taken in connection.execute(
        "SELECT upto, count, size FROM log WHERE job = ? ORDER BY upto DESC", (job,)
    ).fetchall():
        count, size = count + lines, size + taken
        if count >= MOST_LINES or size >= MOST_BYTES:
            connection.execute("DELETE FROM log WHERE job = ? AND upto < ?", (job, upto))
            return


def log_of(connection: sqlite3.Connection, task_id: str) -> KeptLog:
    """The last lines of a job; none if it has logged nothing, or there is no such job."""
    found = connection.execute(
        "SELECT upto, attempt, lines FROM tasks JOIN log ON job = seq "
        "WHERE task_id = ? ORDER BY upto DESC",
        (task_id,),
    ).fetchall()
    last_first: list[LogLine] = []
    size = 0
    for _, attempt, lines in found:
        for line in reversed(lines.split("\n") if lines else ()):
            size += len(line)
            if len(last_first) == MOST_LINES or size > MOST_BYTES:
                break
            last_first.append(LogLine(*(*json.loads(line), attempt)))
    logged = found[0][0] if found else 0
    return KeptLog(last_first[::-1], logged - len(last_first))
