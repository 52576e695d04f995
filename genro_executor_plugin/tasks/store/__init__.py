# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The facts about long jobs that must survive the server, in one SQLite file.

Each method of ``TaskStore`` is one step, which is taken as a whole or not at all. A step names the
state that it starts from, so that it is taken once, however many try; its result says whether this
caller has taken it. A job is run by one process, which the step names as well.
"""

from __future__ import annotations

import sqlite3
import time
from concurrent.futures import Future

from ...errors import TaskStoreError
from ..status import (
    TaskFailure,
    TaskState,
    TaskStatus,
    failure_text,
    progress_text,
)
from . import schema
from .attempts import Ran, note_attempt
from .facts import Claim, NewJob
from .log import LogBatch, add_log
from .recovery import Recovered
from .repeating import RepeatingStore

__all__ = ["Claim", "Recovered", "TaskStore"]

PURGE_AT_ONCE = 500
"""How many expired jobs are removed in one step: the others wait that long."""

PURGE_SECONDS = 0.05
"""How long one step goes on removing: jobs that begin or end wait for it, and what is kept of some
takes many pages."""


class TaskStore(RepeatingStore):
    """The store in ``folder``, which the processes of one application have open together."""

    # -- steps ------------------------------------------------------------------------------------

    def add(
        self, status: TaskStatus, new: NewJob, now: float
    ) -> Future[tuple[TaskStatus | None, TaskStatus | None]]:
        """Accept a job, unless there is one of its id.

        Raises, in the future, ``TaskError`` if that one was submitted with another call.

        The result is the job that has its id already, if there is one, and a job that had its id,
        has expired and was removed, if there was one.
        """
        owner = self.process

        def step(connection: sqlite3.Connection) -> tuple[TaskStatus | None, TaskStatus | None]:
            expired = None
            row = (*schema.row_of(status), owner, new.arguments)
            while not connection.execute(schema.INSERT, row).rowcount:
                existing = schema.read_job(connection, status.task_id)
                assert existing is not None
                if existing.ended_at is None or existing.ended_at + existing.keep > now:
                    schema.check_same_call(connection, status, new.fingerprint)
                    return existing, expired
                expired = existing
                schema.remove_job(connection, status.task_id)
            schema.note_origin(connection, status.task_id, new.client, new.fingerprint)
            schema.write_payload(connection, self._signer, status.task_id, "call", new.content)
            return None, expired

        return self._database.run(step)

    def claim(self, task_id: str, now: float) -> Future[Claim | None]:
        """queued -> running; ``None`` when it is not queued any more, or another process has it."""
        owner = self.process

        def step(connection: sqlite3.Connection) -> Claim | None:
            taken = connection.execute(
                "UPDATE tasks SET state = 'running', started_at = ?, eta = NULL, "
                "attempts = attempts + 1 WHERE task_id = ? AND state = 'queued' AND owner = ?",
                (now, task_id, owner),
            )
            if not taken.rowcount:
                return None
            status = schema.read_job(connection, task_id)
            assert status is not None
            try:
                call = schema.read_payload(connection, self._signer, task_id, "call")
            except (TaskStoreError, sqlite3.DatabaseError) as error:
                return Claim(status, None, str(error))
            damage = "" if call is not None else f"the call of job {task_id} is not in the store"
            return Claim(status, call, damage)

        return self._database.run(step)

    def put_back(
        self, task_id: str, eta: float | None, failure: TaskFailure | None, ran: Ran | None
    ) -> Future[TaskStatus | None]:
        """running -> queued, to be run again; ``None`` when it is not running here.

        Args:
            task_id: the job.
            eta: when it may run again.
            failure: why its last attempt has failed.
            ran: how this attempt ended; ``None`` if nothing of it has run.
        """
        owner, now = self.process, time.time()

        def step(connection: sqlite3.Connection) -> TaskStatus | None:
            if ran is not None:
                note_attempt(connection, task_id, now, ran, owner)
            done = connection.execute(
                "UPDATE tasks SET state = 'queued', eta = ?, failure = ?, progress = NULL, "
                "attempts = attempts - ? WHERE task_id = ? AND state = 'running' AND owner = ?",
                (eta, failure_text(failure), int(ran is None), task_id, owner),
            )
            return schema.read_job(connection, task_id) if done.rowcount else None

        return self._database.run(step)

    def end(
        self, status: TaskStatus, kind: str, content: bytes | None, ran: Ran | None = None
    ) -> Future[int | None]:
        """queued or running -> the final state of ``status``, with its result or its exception.

        ``ran`` says how its attempt ended, if that is not what ``status`` says.

        The result says how many bytes are stored of it then. It is ``None`` if the job has a final
        state already, which then stays, or another process has it.
        """
        owner = self.process

        now = time.time() if status.ended_at is None else status.ended_at
        how = Ran(status.state.value, failure=status.failure) if ran is None else ran

        def step(connection: sqlite3.Connection) -> int | None:
            note_attempt(connection, status.task_id, now, how, owner)
            done = connection.execute(
                "UPDATE tasks SET state = ?, ended_at = ?, failure = ?, progress = ?, "
                "cancel_requested = ? "
                "WHERE task_id = ? AND state IN ('queued', 'running') AND owner = ?",
                (
                    status.state.value,
                    status.ended_at,
                    failure_text(status.failure),
                    progress_text(status.progress),
                    status.cancel_requested,
                    status.task_id,
                    owner,
                ),
            )
            if not done.rowcount:
                return None
            size = len(content or b"")
            size += schema.kept_bytes(connection, status.task_id, status.state)
            connection.execute(
                "UPDATE tasks SET stored_bytes = ? WHERE task_id = ?", (size, status.task_id)
            )
            if content is not None:
                schema.write_payload(connection, self._signer, status.task_id, kind, content)
            return size

        return self._database.run(step)

    def cancel_queued(self, task_id: str, now: float) -> Future[TaskStatus | None]:
        """queued -> cancelled; ``None`` when it is not queued any more."""

        def step(connection: sqlite3.Connection) -> TaskStatus | None:
            row = connection.execute(
                "SELECT 1 FROM tasks WHERE task_id = ? AND state = 'queued'", (task_id,)
            ).fetchone()
            if row is None:
                return None
            schema.end_job(connection, task_id, TaskState.CANCELLED, now, None)
            return schema.read_job(connection, task_id)

        return self._database.run(step)

    def ask_to_end(self, task_id: str) -> Future[None]:
        """Store that a running job was asked to end."""

        def step(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE tasks SET cancel_requested = 1 WHERE task_id = ? AND state = 'running'",
                (task_id,),
            )

        return self._database.run(step)

    def note_progress(self, status: TaskStatus) -> Future[None]:
        """Store the latest progress of a running job."""

        def step(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE tasks SET progress = ? WHERE task_id = ? AND state = 'running'",
                (progress_text(status.progress), status.task_id),
            )

        return self._database.run(step)

    def add_log(self, task_id: str, batch: LogBatch) -> Future[None]:
        """Store what a job has logged that runs here; only the last lines are kept."""
        owner = self.process

        def step(connection: sqlite3.Connection) -> None:
            add_log(connection, task_id, owner, batch)

        return self._database.run(step)

    def remove(self, task_id: str) -> Future[TaskStatus | None]:
        """Remove a job in a final state and return it; ``None`` if there is none."""

        def step(connection: sqlite3.Connection) -> TaskStatus | None:
            status = schema.read_job(connection, task_id)
            if status is None or not status.state.final:
                return None
            schema.remove_job(connection, task_id)
            return status

        return self._database.run(step)

    def purge(self, now: float) -> Future[tuple[list[TaskStatus], float | None]]:
        """Remove some jobs whose ``keep`` has passed; return them, and when the next one is due."""

        def step(connection: sqlite3.Connection) -> tuple[list[TaskStatus], float | None]:
            found = connection.execute(
                f"{schema.SELECT} WHERE ended_at IS NOT NULL AND ended_at + keep <= ? "
                f"ORDER BY ended_at + keep LIMIT {PURGE_AT_ONCE}",
                (now,),
            ).fetchall()
            gone: list[TaskStatus] = []
            ends_at = time.monotonic() + PURGE_SECONDS
            for row in found:
                gone.append(schema.status_of(row))
                schema.remove_job(connection, gone[-1].task_id)
                if time.monotonic() > ends_at:
                    break
            (following,) = connection.execute(
                "SELECT min(ended_at + keep) FROM tasks WHERE ended_at IS NOT NULL"
            ).fetchone()
            return gone, following

        return self._database.run(step)

    def set_aside(self, task_id: str, kind: str, reason: str) -> Future[None]:
        """Move a damaged payload to a table from which nothing is ever deleted."""

        def step(connection: sqlite3.Connection) -> None:
            schema.set_payload_aside(connection, task_id, kind, reason)

        return self._database.run(step)
