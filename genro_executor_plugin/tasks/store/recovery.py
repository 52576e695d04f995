# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a server does with the store of its predecessor, before anything else."""

from __future__ import annotations

import logging
import sqlite3
import time
from dataclasses import dataclass, field

from ..status import TaskFailure, TaskState, TaskStatus
from . import rows, schema

__all__ = ["Recovered", "recover"]

_logger = logging.getLogger("genro_executor_plugin")

SHUT_DOWN = TaskFailure("TaskLostError", "the server ended while the job was running")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a server finds when it opens a store.

    Attributes:
        waiting: the jobs to run, in the order they were submitted.
        ended: what was running and is cancelled or lost now.
        usage: per submitter, the number of its jobs and their bytes.
        damage: what was set aside, in words.
    """

    waiting: list[TaskStatus] = field(default_factory=list)
    ended: list[TaskStatus] = field(default_factory=list)
    usage: dict[str, tuple[int, int]] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)


def recover(connection: sqlite3.Connection, found_damage: list[str]) -> Recovered:
    """Give what was running its next state; what there is to do now."""
    damage = [*found_damage, *_set_aside_rows(connection)]
    ended = []
    now = time.time()
    running = connection.execute(f"{schema.SELECT} WHERE state = 'running'").fetchall()
    for was in map(schema.status_of, running):
        if was.repeatable and not was.cancel_requested:
            rows.back_in_line(connection, was.task_id)
            continue
        state = TaskState.CANCELLED if was.cancel_requested else TaskState.LOST
        failure = None if was.cancel_requested else SHUT_DOWN
        rows.end(connection, was.task_id, state, now, failure)
        ended.append(was)
    waiting = connection.execute(f"{schema.SELECT} WHERE state = 'queued' ORDER BY seq")
    usage = connection.execute(
        "SELECT submitter, count(*), sum(stored_bytes) FROM tasks GROUP BY submitter"
    )
    return Recovered(
        list(map(schema.status_of, waiting.fetchall())),
        ended,
        {submitter: (count, size) for submitter, count, size in usage},
        damage,
    )


def _set_aside_rows(connection: sqlite3.Connection) -> list[str]:
    """Set aside the jobs whose rows make no sense; what they were, in words."""
    told = []
    for seq, *row in connection.execute(f"SELECT seq, {', '.join(schema.COLUMNS)} FROM tasks"):
        try:
            schema.status_of(tuple(row))
        except Exception as error:
            told.append((seq, row[0], f"{type(error).__name__}: {error}", repr(row)))
    texts = []
    for seq, task_id, reason, content in told:
        connection.execute(
            "INSERT INTO damaged VALUES (?, ?, 'row', ?, ?)",
            (time.time(), str(task_id), reason, content),
        )
        connection.execute(
            "INSERT INTO damaged SELECT ?, task_id, kind, 'its job is damaged', content "
            "FROM payloads WHERE task_id = ?",
            (time.time(), task_id),
        )
        connection.execute("DELETE FROM payloads WHERE task_id = ?", (task_id,))
        connection.execute("DELETE FROM tasks WHERE seq = ?", (seq,))
        texts.append(f"job {task_id!r} is damaged in the store and was set aside: {reason}")
        _logger.error("%s", texts[-1])
    return texts
