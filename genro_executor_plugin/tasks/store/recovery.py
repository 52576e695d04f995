# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a server does first with the jobs of a server that has ended: each gets its next state."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Collection
from dataclasses import dataclass, field

from ..status import TaskFailure, TaskState, TaskStatus
from . import schema
from .attempts import INTERRUPTED, Ran, note_attempt
from .facts import Usage
from .signing import Signer

__all__ = ["Recovered", "recover", "take_over", "usage_in"]

_logger = logging.getLogger("genro_executor_plugin")

SHUT_DOWN = TaskFailure("TaskLostError", "the server ended while the job was running")


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a server finds when it opens a store, or takes over from another one that has ended.

    Attributes:
        waiting: the jobs to run, in the order in which they were submitted.
        held: the jobs that do not run, because their calls are not signed by this server's key.
        ended: the jobs that were running, as cancelled or lost ones.
        usage: what counts for those who have submitted it.
        damage: what was set aside as damaged, in words.
    """

    waiting: list[TaskStatus] = field(default_factory=list)
    held: list[TaskStatus] = field(default_factory=list)
    ended: list[TaskStatus] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)
    damage: list[str] = field(default_factory=list)


def recover(
    connection: sqlite3.Connection,
    found_damage: list[str],
    signer: Signer,
    *,
    accept: bool,
    heir: str,
    alive: Collection[str],
) -> Recovered:
    """Give the jobs that no process runs their next state, and return what was found.

    Args:
        connection: the store.
        found_damage: what was set aside as damaged already.
        signer: checks whether this server has written what is stored.
        accept: sign what it has not written.
        heir: the process that is to run them.
        alive: the other processes that run jobs of this store.
    """
    damage = [*found_damage, *_set_aside_rows(connection)]
    if accept and (signed := schema.sign_all(connection, signer)):
        _logger.warning(
            "accept_unsigned: %s calls, results and failures in the store were not signed by this "
            "server's key and are signed now; take the setting away again",
            signed,
        )
    others = f"owner NOT IN ({', '.join('?' * len(alive))})"
    waiting, held, ended = _adopted(connection, signer, heir, others, [*alive])
    unsigned = schema.unsigned(connection, signer)
    if unsigned:
        damage.append(
            f"{len(unsigned)} pieces of the store are not signed with the key {signer.file}: "
            f"{len(held)} jobs do not run, and {len(unsigned) - len(held)} results and failures "
            "are not read. Version 0.1 did not sign, or the key was lost or is another user's. If "
            "you trust the store, start once with long_tasks={'accept_unsigned': True}"
        )
        _logger.error("%s", damage[-1])
    return Recovered(waiting, held, ended, usage_in(connection), damage)


def take_over(
    connection: sqlite3.Connection, signer: Signer, *, heir: str, ended: Collection[str]
) -> Recovered:
    """As ``recover``, for the jobs of processes that have ended, and those that one has left.

    Args:
        connection: the store.
        signer: checks whether this server has written what is stored.
        heir: the process that is to run them.
        ended: the processes that have ended.
    """
    names = ["", *ended]
    where = f"owner IN ({', '.join('?' * len(names))})"
    return Recovered(*_adopted(connection, signer, heir, where, names), usage_in(connection))


def _adopted(
    connection: sqlite3.Connection, signer: Signer, heir: str, where: str, names: list[str]
) -> tuple[list[TaskStatus], list[TaskStatus], list[TaskStatus]]:
    """Give ``heir`` the jobs of the processes ``where``: those that wait, are held, have ended."""
    now = time.time()
    chosen = f"WHERE {schema.UNFINISHED} AND {where}"
    found = connection.execute(f"{schema.SELECT} {chosen} ORDER BY seq", names).fetchall()
    connection.execute(f"UPDATE tasks SET owner = ? {chosen}", (heir, *names))
    connection.execute(f"DELETE FROM orders WHERE {where}", names)
    calls = set()
    if found:
        unsigned = schema.unsigned(connection, signer)
        calls = {task_id for task_id, kind in unsigned if kind == "call"}
    waiting: list[TaskStatus] = []
    held: list[TaskStatus] = []
    ended: list[TaskStatus] = []
    for was in map(schema.status_of, found):
        goes_on = was.state is TaskState.QUEUED or (was.repeatable and not was.cancel_requested)
        if goes_on:
            if was.state is TaskState.RUNNING:
                note_attempt(connection, was.task_id, now, Ran(INTERRUPTED, failure=SHUT_DOWN))
                schema.requeue_job(connection, was.task_id)
            (held if was.task_id in calls else waiting).append(_read(connection, was))
            continue
        state = TaskState.CANCELLED if was.cancel_requested else TaskState.LOST
        failure = None if was.cancel_requested else SHUT_DOWN
        note_attempt(connection, was.task_id, now, Ran(state.value, failure=failure))
        schema.end_job(connection, was.task_id, state, now, failure)
        ended.append(_read(connection, was))
    return waiting, held, ended


def _read(connection: sqlite3.Connection, was: TaskStatus) -> TaskStatus:
    status = schema.read_job(connection, was.task_id)
    assert status is not None
    return status


def usage_in(connection: sqlite3.Connection) -> Usage:
    """What counts for those who have submitted what is in the store."""
    jobs = connection.execute(
        "SELECT submitter, session, client, count(*), sum(stored_bytes) FROM tasks "
        "GROUP BY submitter, session, client"
    ).fetchall()
    clients = connection.execute("SELECT task_id, client FROM tasks WHERE client <> ''").fetchall()
    return Usage(jobs, dict(clients))


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
