# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a server does first with the store of a server that has ended.

``replace_if_damaged`` checks the file. What can be read of a damaged one is copied to a new file,
and the damaged one is kept. ``recover`` gives the jobs that were running their next state.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import time
from dataclasses import dataclass, field
from pathlib import Path

from ..status import TaskFailure, TaskState, TaskStatus
from . import schema

__all__ = ["Recovered", "recover", "replace_if_damaged"]

_logger = logging.getLogger("genro_executor_plugin")

_COMPANIONS = ("", "-wal", "-shm")

SHUT_DOWN = TaskFailure("TaskLostError", "the server ended while the job was running")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a server finds when it opens a store.

    Attributes:
        waiting: the jobs to run, in the order in which they were submitted.
        ended: the jobs that were running and are cancelled or lost now.
        usage: the number of jobs and of their bytes, by submitter.
        damage: what was set aside as damaged, in words.
    """

    waiting: list[TaskStatus] = field(default_factory=list)
    ended: list[TaskStatus] = field(default_factory=list)
    usage: dict[str, tuple[int, int]] = field(default_factory=dict)
    damage: list[str] = field(default_factory=list)


def recover(connection: sqlite3.Connection, found_damage: list[str]) -> Recovered:
    """Give the jobs that were running their next state, and return what was found."""
    damage = [*found_damage, *_set_aside_rows(connection)]
    ended = []
    now = time.time()
    running = connection.execute(f"{schema.SELECT} WHERE state = 'running'").fetchall()
    for was in map(schema.status_of, running):
        if was.repeatable and not was.cancel_requested:
            schema.requeue_job(connection, was.task_id)
            continue
        state = TaskState.CANCELLED if was.cancel_requested else TaskState.LOST
        failure = None if was.cancel_requested else SHUT_DOWN
        schema.end_job(connection, was.task_id, state, now, failure)
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
    """Set aside the jobs whose rows cannot be read; return what they were, in words."""
    damaged = []
    for seq, *row in connection.execute(f"SELECT seq, {', '.join(schema.COLUMNS)} FROM tasks"):
        try:
            schema.status_of(tuple(row))
        except Exception as error:
            damaged.append((seq, row[0], f"{type(error).__name__}: {error}", repr(row)))
    texts = []
    for seq, task_id, reason, content in damaged:
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


# -- a damaged file -------------------------------------------------------------------------------


def replace_if_damaged(path: Path) -> list[str]:
    """Put an intact file in place of a damaged one; return what was done, in words.

    The damaged file is kept under a name with the time at which it was set aside.
    """
    if not path.exists() or path.stat().st_size == 0:
        return []
    reason = _check(path)
    if reason is None:
        return []
    aside = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}")
    number = 0
    while aside.exists():
        number += 1
        aside = aside.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%dT%H%M%S')}-{number}")
    for companion in _COMPANIONS:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{companion}").rename(f"{aside}{companion}")
    jobs, lost = _copy_readable(aside, path)
    return [
        f"the store of long jobs {path} is damaged ({reason}). It was set aside as {aside.name}; "
        f"{jobs} jobs were read from it and go on, {lost} pieces could not be read"
    ]


def _check(path: Path) -> str | None:
    """What is wrong with the file, ``None`` for nothing."""
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            (answer,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "database disk" not in str(error):
            raise  # the reason is the disk or the permissions, not the content of the file
        return str(error)
    return None if answer == "ok" else str(answer).splitlines()[-1]


def _copy_readable(damaged: Path, path: Path) -> tuple[int, int]:
    """Copy what can be read; return the number of jobs, and of pieces that cannot be read."""
    jobs = lost = 0
    with (
        contextlib.closing(sqlite3.connect(damaged)) as source,
        contextlib.closing(sqlite3.connect(path)) as target,
        target,
    ):
        schema.create(target)
        for table in ("damaged", "tasks", "payloads"):
            try:
                last = source.execute(f"SELECT max(rowid) FROM {table}").fetchone()[0] or 0
            except sqlite3.DatabaseError:
                last = _last_by_trying(source, table)
                lost += 1
            for rowid in range(1, last + 1):
                try:
                    row = source.execute(
                        f"SELECT * FROM {table} NOT INDEXED WHERE rowid = ?", (rowid,)
                    ).fetchone()
                except sqlite3.DatabaseError:
                    lost += 1
                    continue
                if row is not None:
                    marks = ", ".join("?" * len(row))
                    target.execute(f"INSERT OR IGNORE INTO {table} VALUES ({marks})", row)
                    jobs += table == "tasks"
    return jobs, lost


def _last_by_trying(source: sqlite3.Connection, table: str) -> int:
    """The greatest row id that a scan of ``table`` reads before it fails."""
    last = 0
    with contextlib.suppress(sqlite3.DatabaseError):
        for (rowid,) in source.execute(f"SELECT rowid FROM {table} NOT INDEXED"):
            last = rowid
    return last
