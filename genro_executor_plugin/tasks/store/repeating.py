# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What of an ended job is kept to run it again, and the step back to a queued one."""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future

from ...errors import TaskError
from ..status import TaskStatus
from . import schema
from .facts import KeptCall
from .sharing import SharedStore

__all__ = ["RepeatingStore"]


class RepeatingStore(SharedStore):
    """The steps by which jobs that have ended run again."""

    def kept_call(self, task_id: str) -> Future[KeptCall | None]:
        """What is kept of the call of a job; ``None`` if there is no job of that id.

        Raises, in the future, ``TaskStoreError`` if this server has not written what is there.
        """

        def step(connection: sqlite3.Connection) -> KeptCall | None:
            return self._kept(connection, task_id)

        return self._database.ask(step)

    def _kept(self, connection: sqlite3.Connection, task_id: str) -> KeptCall | None:
        status = schema.read_job(connection, task_id)
        if status is None:
            return None
        client, arguments = connection.execute(
            "SELECT client, arguments FROM tasks WHERE task_id = ?", (task_id,)
        ).fetchone()
        content = schema.read_payload(connection, self._signer, task_id, "call")
        return KeptCall(status, client, arguments, content)

    def seen(self, task_id: str) -> Future[tuple[float | None, str]]:
        """When a job was marked as seen, and by whom; ``None`` and empty if it was not."""

        def step(connection: sqlite3.Connection) -> tuple[float | None, str]:
            found = connection.execute(
                "SELECT seen_at, seen_by FROM tasks WHERE task_id = ?", (task_id,)
            ).fetchone()
            return (None, "") if found is None else (found[0], found[1])

        return self._database.ask(step)

    def mark_seen(self, task_id: str, by: str | None, now: float) -> Future[TaskStatus | None]:
        """Note who has seen a job that failed or is lost; ``None``: nobody has.

        Whoever was first stays. The result is the job, ``None`` if there is none of that id.

        Raises, in the future, ``TaskError`` if it is in another state.
        """

        def step(connection: sqlite3.Connection) -> TaskStatus | None:
            status = schema.read_job(connection, task_id)
            if status is None:
                return None
            if status.state not in schema.WAITS_FOR_SOMEBODY:
                raise TaskError(
                    f"job {task_id} is {status.state.value}; only failed and lost jobs wait for "
                    "somebody who sees them",
                    task_id=task_id,
                )
            if by is None:
                connection.execute(
                    "UPDATE tasks SET seen_at = NULL, seen_by = '' WHERE task_id = ?", (task_id,)
                )
            else:
                connection.execute(
                    "UPDATE tasks SET seen_at = ?, seen_by = ? "
                    "WHERE task_id = ? AND seen_at IS NULL",
                    (now, by, task_id),
                )
            return status

        return self._database.run(step)

    def reopen(self, task_id: str) -> Future[tuple[TaskStatus, int] | None]:
        """A final state -> queued in this process, as if it had never begun.

        Raises, in the future, ``TaskError`` if it has no final state, or its call was not kept.

        The result is the job, and how many bytes were stored of it before. It is ``None`` if there
        is no job of that id.
        """
        owner = self.process

        def step(connection: sqlite3.Connection) -> tuple[TaskStatus, int] | None:
            kept = self._kept(connection, task_id)
            if kept is None:
                return None
            content = check_repeatable(kept)
            # The process that had it would take an order to end it for one to end the new run.
            if connection.execute("SELECT 1 FROM orders WHERE task_id = ?", (task_id,)).fetchone():
                raise TaskError(
                    f"job {task_id} is just being cancelled; ask again in a moment", task_id=task_id
                )
            connection.execute(
                "UPDATE tasks SET state = 'queued', eta = NULL, started_at = NULL, "
                "ended_at = NULL, attempts = 0, cancel_requested = 0, progress = NULL, "
                "failure = NULL, seen_at = NULL, seen_by = '', stored_bytes = ?, owner = ? "
                "WHERE task_id = ?",
                (len(content), owner, task_id),
            )
            connection.execute(
                "DELETE FROM payloads WHERE task_id = ? AND kind <> 'call'", (task_id,)
            )
            status = schema.read_job(connection, task_id)
            assert status is not None
            return status, kept.status.stored_bytes

        return self._database.run(step)


def check_repeatable(kept: KeptCall) -> bytes:
    """The call of a job that has ended.

    Raises:
        TaskError: it has not, or its call was not kept.
    """
    status = kept.status
    if not status.state.final:
        raise TaskError(
            f"job {status.task_id} is {status.state.value}; it can be run again when it has ended",
            task_id=status.task_id,
        )
    if kept.content is None:
        raise TaskError(
            f"job {status.task_id} cannot be run again: its arguments were not kept. Those of "
            "failed and lost jobs are, unless their pool has job_arguments='drop'; with "
            "job_arguments='show' those of all are",
            task_id=status.task_id,
        )
    return kept.content
