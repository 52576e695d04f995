# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What can be asked about the jobs in a store; no question changes anything."""

from __future__ import annotations

import sqlite3
from concurrent.futures import Future

from ..status import TaskState, TaskStatus
from . import schema
from .attempts import EndedAttempt, attempts_of
from .database import Database
from .log import KeptLog, log_of
from .reader import Reader
from .search import JobPage, JobQuery, page_of
from .signing import Signer
from .totals import JobTotals, totals_of

__all__ = ["Questions"]


class Questions:
    """The questions that a store answers."""

    _database: Database
    _reader: Reader
    _signer: Signer

    def status(self, task_id: str) -> Future[TaskStatus | None]:
        """The job of that id, ``None`` if there is none."""
        return self._database.ask(lambda connection: schema.read_job(connection, task_id))

    def attempts(self, task_id: str) -> Future[list[EndedAttempt]]:
        """The attempts of a job that have ended, the first one first; the last ones are kept."""
        return self._database.ask(lambda connection: attempts_of(connection, task_id))

    def log(self, task_id: str) -> Future[KeptLog]:
        """The last lines that a job has logged."""
        return self._reader.ask(lambda connection: log_of(connection, task_id))

    def outcome(self, task_id: str) -> Future[tuple[TaskStatus, bytes | None] | None]:
        """The job, and its result or its exception as bytes."""

        def step(connection: sqlite3.Connection) -> tuple[TaskStatus, bytes | None] | None:
            status = schema.read_job(connection, task_id)
            if status is None:
                return None
            kind = "result" if status.state is TaskState.SUCCEEDED else "failure"
            return status, schema.read_payload(connection, self._signer, task_id, kind)

        return self._database.ask(step)

    def list(
        self, state: str | None, submitter: str | None, session: str | None, limit: int
    ) -> Future[list[TaskStatus]]:
        """The jobs that match, the newest first, at most ``limit`` of them."""
        wanted = {"state": state, "submitter": submitter, "session": session}
        given = {name: value for name, value in wanted.items() if value is not None}
        where = " AND ".join(f"{name} = ?" for name in given)
        query = f"{schema.SELECT} {'WHERE ' + where if where else ''} ORDER BY seq DESC LIMIT ?"

        def step(connection: sqlite3.Connection) -> list[TaskStatus]:
            found = connection.execute(query, (*given.values(), limit)).fetchall()
            return [schema.status_of(row) for row in found]

        return self._database.ask(step)

    def page(self, query: JobQuery, now: float) -> Future[JobPage]:
        """A page of the jobs that match, and how many there are.

        Raises, in the future, ``TaskStoreError`` if finding them takes too long.
        """
        return self._reader.ask(lambda connection: page_of(connection, query, now))

    def totals(self, now: float) -> Future[JobTotals]:
        """How many jobs of each pool there are, and how late those are that wait."""
        return self._reader.ask(lambda connection: totals_of(connection, now))

    def counts(self) -> Future[dict[str, int]]:
        """The number of jobs in each state, of ``unseen`` ones among those that failed or are lost,
        and of ``damaged`` pieces that were set aside."""

        def step(connection: sqlite3.Connection) -> dict[str, int]:
            counted = dict.fromkeys((state.value for state in TaskState), 0)
            counted.update(
                connection.execute("SELECT state, count(*) FROM tasks GROUP BY state").fetchall()
            )
            (counted["unseen"],) = connection.execute(
                f"SELECT count(*) FROM {schema.COUNTED_UNSEEN}"
            ).fetchone()
            (counted["damaged"],) = connection.execute("SELECT count(*) FROM damaged").fetchone()
            return counted

        return self._database.ask(step)
