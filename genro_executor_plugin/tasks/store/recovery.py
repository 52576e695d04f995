# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a server does first with the jobs of a server that has ended: each gets its next state."""

from __future__ import annotations

import logging
import sqlite3
import time
from dataclasses import dataclass, field

from ..status import TaskFailure, TaskState, TaskStatus
from . import schema
from .facts import Used
from .signing import Signer

__all__ = ["Recovered", "recover"]

_logger = logging.getLogger("genro_executor_plugin")

SHUT_DOWN = TaskFailure("TaskLostError", "the server ended while the job was running")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a server finds when it opens a store.

    Attributes:
        waiting: the jobs to run, in the order in which they were submitted.
        held: the jobs that do not run, because their calls are not signed by this server's key.
        ended: the jobs that were running and are cancelled or lost now.
        usage: every job, as far as it counts for its submitter.
        damage: what was set aside as damaged, in words.
    """

    waiting: list[TaskStatus] = field(default_factory=list)
    held: list[TaskStatus] = field(default_factory=list)
    ended: list[TaskStatus] = field(default_factory=list)
    usage: list[Used] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)


def recover(
    connection: sqlite3.Connection, found_damage: list[str], signer: Signer, accept: bool
) -> Recovered:
    """Give the jobs that were running their next state, and return what was found.

    Args:
        connection: the store.
        found_damage: what was set aside as damaged already.
        signer: checks whether this server has written what is stored.
        accept: sign what it has not written.
    """
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
    if accept and (signed := schema.sign_all(connection, signer)):
        _logger.warning(
            "accept_unsigned: %s calls, results and failures in the store were not signed by this "
            "server's key and are signed now; take the setting away again",
            signed,
        )
    unsigned = schema.unsigned(connection, signer)
    queued = connection.execute(f"{schema.SELECT} WHERE state = 'queued' ORDER BY seq")
    waiting: list[TaskStatus] = []
    held: list[TaskStatus] = []
    calls = {task_id for task_id, kind in unsigned if kind == "call"}
    for status in map(schema.status_of, queued.fetchall()):
        (held if status.task_id in calls else waiting).append(status)
    if unsigned:
        damage.append(
            f"{len(unsigned)} pieces of the store are not signed with the key {signer.file}: "
            f"{len(held)} jobs do not run, and {len(unsigned) - len(held)} results and failures "
            "are not read. Version 0.1 did not sign, or the key was lost or is another user's. If "
            "you trust the store, start once with long_tasks={'accept_unsigned': True}"
        )
        _logger.error("%s", damage[-1])
    usage = connection.execute(
        "SELECT task_id, submitter, session, client, stored_bytes FROM tasks"
    )
    return Recovered(
        waiting,
        held,
        ended,
        [Used(*row) for row in usage],
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
