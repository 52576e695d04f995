# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A job as a row of the store, and single steps on rows.

The steps run within a transaction that their caller has begun.
"""

from __future__ import annotations

import json
import sqlite3
import time
import zlib
from dataclasses import fields
from typing import Any

from ...errors import TaskError, TaskStoreError
from ..status import (
    Progress,
    TaskFailure,
    TaskState,
    TaskStatus,
    failure_text,
    progress_text,
)
from .signing import KEY_ID_BYTES, Signer

__all__ = ["read_payload", "row_of", "status_of", "write_payload"]

WAITS_FOR_SOMEBODY = (TaskState.FAILED, TaskState.LOST)

UNFINISHED = "state IN ('queued', 'running')"
"""As the index ``tasks_by_owner`` has it: a question must say the same to be answered by it."""

UNSEEN = "state IN ('failed', 'lost') AND seen_at IS NULL"
"""As the index ``tasks_unseen`` has it: what waits for somebody."""

COUNTED_UNSEEN = f"tasks INDEXED BY tasks_unseen WHERE {UNSEEN}"
"""Where these are counted: SQLite would go through all rows of these states, which are large."""

COLUMNS = tuple(column.name for column in fields(TaskStatus))
SELECTED = ", ".join(COLUMNS)
_BOOLEANS = ("open_to_id", "repeatable", "cancel_requested")

SELECT = f"SELECT {SELECTED} FROM tasks"
INSERT = (
    f"INSERT INTO tasks ({SELECTED}, owner, arguments) "
    f"VALUES ({', '.join('?' * len(COLUMNS))}, ?, ?) ON CONFLICT (task_id) DO NOTHING"
)
"""The values are those of ``row_of``, the process that is to run the job, and what becomes of its
arguments."""


def row_of(status: TaskStatus) -> tuple[Any, ...]:
    """The values of a row for ``status``."""
    values = {name: getattr(status, name) for name in COLUMNS}
    values["state"] = status.state.value
    values["progress"] = progress_text(status.progress)
    values["failure"] = failure_text(status.failure)
    return tuple(values.values())


def status_of(row: tuple[Any, ...]) -> TaskStatus:
    """The job in ``row``.

    Raises:
        Exception: the row is damaged.
    """
    values = dict(zip(COLUMNS, row, strict=True))
    values["state"] = TaskState(values["state"])
    for name in _BOOLEANS:
        values[name] = bool(values[name])
    if values["progress"] is not None:
        values["progress"] = Progress(**json.loads(values["progress"]))
    if values["failure"] is not None:
        values["failure"] = TaskFailure(**json.loads(values["failure"]))
    return TaskStatus(**values)


def write_payload(
    connection: sqlite3.Connection, signer: Signer, task_id: str, kind: str, content: bytes
) -> None:
    """Store ``content`` with its checksum and its signature."""
    connection.execute(
        "INSERT OR REPLACE INTO payloads VALUES (?, ?, ?, ?)",
        (task_id, kind, zlib.crc32(content), content),
    )
    connection.execute(
        "INSERT OR REPLACE INTO signatures VALUES (?, ?, ?)",
        (task_id, kind, signer.sign(task_id, kind, content)),
    )


def read_payload(
    connection: sqlite3.Connection, signer: Signer, task_id: str, kind: str
) -> bytes | None:
    """The content that was stored, ``None`` if there is none.

    Raises:
        TaskStoreError: it is not what this server has written: its checksum or signature differs.
    """
    found = connection.execute(
        "SELECT checksum, content, signature FROM payloads LEFT JOIN signatures "
        "USING (task_id, kind) WHERE task_id = ? AND kind = ?",
        (task_id, kind),
    ).fetchone()
    if found is None:
        return None
    checksum, content, signature = found
    if not isinstance(content, bytes) or zlib.crc32(content) != checksum:
        raise TaskStoreError(
            f"the {kind} of job {task_id} is damaged in the store: its checksum is another one",
            task_id=task_id,
        )
    signer.check(task_id, kind, content, signature)
    return content


_NOT_BY_KEY = (
    "FROM payloads LEFT JOIN signatures USING (task_id, kind) "
    f"WHERE signature IS NULL OR substr(signature, 1, {KEY_ID_BYTES}) <> ?"
)


def unsigned(connection: sqlite3.Connection, signer: Signer) -> list[tuple[str, str]]:
    """What nobody or another key has signed: the ids of the jobs, and the kinds."""
    return connection.execute(f"SELECT task_id, kind {_NOT_BY_KEY}", (signer.key_id,)).fetchall()


def sign_all(connection: sqlite3.Connection, signer: Signer) -> int:
    """Sign what nobody or another key has signed; return how many pieces that were."""
    found = unsigned(connection, signer)
    for task_id, kind in found:
        (content,) = connection.execute(
            "SELECT content FROM payloads WHERE task_id = ? AND kind = ?", (task_id, kind)
        ).fetchone()
        signature = signer.sign(task_id, kind, bytes(content))
        connection.execute(
            "INSERT OR REPLACE INTO signatures VALUES (?, ?, ?)", (task_id, kind, signature)
        )
    return len(found)


# -- steps on the rows of one job -----------------------------------------------------------------


def read_job(connection: sqlite3.Connection, task_id: str) -> TaskStatus | None:
    """The job of that id, ``None`` for none."""
    row = connection.execute(f"{SELECT} WHERE task_id = ?", (task_id,)).fetchone()
    return None if row is None else status_of(row)


def requeue_job(connection: sqlite3.Connection, task_id: str) -> None:
    """running -> queued."""
    connection.execute(
        "UPDATE tasks SET state = 'queued', progress = NULL WHERE task_id = ?", (task_id,)
    )


def end_job(
    connection: sqlite3.Connection,
    task_id: str,
    state: TaskState,
    now: float,
    failure: TaskFailure | None,
) -> None:
    """Any state -> the final ``state``, without a result or an exception."""
    connection.execute(
        "UPDATE tasks SET state = ?, ended_at = ?, failure = ?, stored_bytes = ? WHERE task_id = ?",
        (
            state.value,
            now,
            failure_text(failure),
            kept_bytes(connection, task_id, state),
            task_id,
        ),
    )


def kept_bytes(connection: sqlite3.Connection, task_id: str, state: TaskState) -> int:
    """How many bytes of its call a job keeps that ends in ``state``; what it does not is deleted.

    The call of one that has failed or is lost can be run again, and is kept for that.
    """
    found = connection.execute(
        "SELECT length(content), arguments FROM tasks JOIN payloads USING (task_id) "
        "WHERE task_id = ? AND kind = 'call'",
        (task_id,),
    ).fetchone()
    if found is None:
        return 0
    size, arguments = found
    if arguments == "show" or (arguments == "keep" and state in WAITS_FOR_SOMEBODY):
        return int(size)
    connection.execute("DELETE FROM payloads WHERE task_id = ? AND kind = 'call'", (task_id,))
    return 0


def remove_job(connection: sqlite3.Connection, task_id: str) -> None:
    """Forget a job with its payloads."""
    connection.execute("DELETE FROM payloads WHERE task_id = ?", (task_id,))
    connection.execute("DELETE FROM tasks WHERE task_id = ?", (task_id,))


def set_payload_aside(connection: sqlite3.Connection, task_id: str, kind: str, reason: str) -> None:
    """Move a payload to the table ``damaged``, from which nothing is ever deleted."""
    connection.execute(
        "INSERT INTO damaged SELECT ?, task_id, kind, ?, content FROM payloads "
        "WHERE task_id = ? AND kind = ?",
        (time.time(), reason, task_id, kind),
    )
    connection.execute("DELETE FROM payloads WHERE task_id = ? AND kind = ?", (task_id, kind))


def note_origin(
    connection: sqlite3.Connection, task_id: str, client: str, fingerprint: str
) -> None:
    """Store which network a job comes from, and what its call has in common with the same ones."""
    if client or fingerprint:
        connection.execute(
            "UPDATE tasks SET client = ?, fingerprint = ? WHERE task_id = ?",
            (client, fingerprint, task_id),
        )


def check_same_call(connection: sqlite3.Connection, status: TaskStatus, fingerprint: str) -> None:
    """Check that the job that has the id of ``status`` was submitted with the same call.

    Raises:
        TaskError: it was not: the key was used for something else.
    """
    (title, found) = connection.execute(
        "SELECT title, fingerprint FROM tasks WHERE task_id = ?", (status.task_id,)
    ).fetchone()
    # What a former version has stored has no fingerprint.
    if title != status.title or (found and found != fingerprint):
        raise TaskError(
            f"the idempotency key of this call of {status.title} was used for a call of {title} "
            "with other arguments. Use a key for one call only",
            task_id=status.task_id,
        )
