# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The facts about long jobs that must survive the server, in one SQLite file.

Each method of ``TaskStore`` is one step, which is taken as a whole or not at all. A step names the
state that it starts from, so that it is taken once, however many try; its result says whether this
caller has taken it.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from ...errors import TaskStoreError
from ..status import (
    TaskFailure,
    TaskState,
    TaskStatus,
    failure_text,
    progress_text,
)
from . import schema
from .database import Database, is_busy
from .facts import Claim, NewJob
from .folder import check_file, check_room, make_folder, open_file
from .ownership import Ownership
from .questions import Questions
from .recovery import Recovered, recover
from .salvage import replace_if_damaged
from .signing import Signer

__all__ = ["Claim", "Recovered", "TaskStore"]

_logger = logging.getLogger("genro_executor_plugin")

START_PATIENCE_SECONDS = 15.0
"""How long a start waits for a lock that another process has on the file."""

PURGE_AT_ONCE = 500
"""How many expired jobs are removed in one step: the others wait that long."""


class TaskStore(Questions):
    """The store in ``folder``, which one process at a time has open."""

    def __init__(
        self,
        folder: Path,
        key_file: Path,
        *,
        accept_unsigned: bool = False,
        synchronous: str = "FULL",
        max_bytes: int | None = None,
    ) -> None:
        self.folder = folder
        self._signer = Signer(key_file)
        self._accept_unsigned = accept_unsigned
        self._told_to_end = False
        self._max_bytes = max_bytes
        self._ownership = Ownership(folder)
        self._database = Database(folder / "jobs.sqlite", self._prepare, synchronous=synchronous)

    @classmethod
    def exists(cls, folder: Path) -> bool:
        """Whether there is a store in ``folder``; also where we may not look, as opening tells."""
        try:
            os.lstat(folder / "jobs.sqlite")
        except OSError as error:
            return not isinstance(error, FileNotFoundError | NotADirectoryError)
        return True

    def check_place(self) -> None:
        """Find out whether a store could be made, and make none.

        Raises:
            TaskStoreError: its folder or its key cannot be made or written, or are not ours alone.
        """
        try:
            make_folder(self.folder)
            self._signer.load()
            check_room(self.folder)
        except OSError as error:
            raise self._cannot_be_made(error) from error

    def _cannot_be_made(self, error: OSError) -> TaskStoreError:
        return TaskStoreError(f"the store of long jobs {self.folder} cannot be made: {error}")

    # -- opening and closing ----------------------------------------------------------------------

    def open(self) -> Future[Recovered]:
        """Open the store and read what is in it.

        Raises:
            TaskStoreError: at once if another server has the store, or its files cannot be
                opened or are not ours alone; in the future if it cannot be read.
        """
        try:
            make_folder(self.folder)
            self._signer.load()
            self._ownership.take()
        except OSError as error:
            # The lock is taken before the disk is found full: it must not stay taken.
            self._ownership.release()
            raise self._cannot_be_made(error) from error
        try:
            file = self.folder / "jobs.sqlite"
            for ending in ("", "-wal", "-shm"):
                check_file(Path(f"{file}{ending}"))
            damage = self._patiently(lambda: replace_if_damaged(file, self._check_told))
            os.close(open_file(file, os.O_CREAT | os.O_RDWR))
        except (OSError, sqlite3.Error) as error:
            self._ownership.release()
            raise TaskStoreError(
                f"the store of long jobs {self.folder} cannot be opened: {error}. Look at its "
                "files' owner and mode, and at who else has them open"
            ) from error
        except BaseException:
            self._ownership.release()
            raise
        for text in damage:
            _logger.error("%s", text)
        self._found_damage = damage
        return self._database.open()

    def leave(self) -> None:
        """Give up opening the store: the server is told to end. May be called at any time."""
        self._told_to_end = True
        self._database.leave()

    def _patiently(self, work: Callable[[], list[str]]) -> list[str]:
        """What ``work`` returns, tried again while another process has locked the file."""
        deadline = time.monotonic() + START_PATIENCE_SECONDS
        told = False
        while True:
            try:
                return work()
            except sqlite3.OperationalError as error:
                if not is_busy(error) or time.monotonic() > deadline:
                    raise
            self._check_told()
            if not told:
                _logger.warning(
                    "the store of long jobs %s is locked by another process; the start waits for "
                    "it for %g seconds",
                    self.folder,
                    START_PATIENCE_SECONDS,
                )
                told = True
            time.sleep(0.1)

    def _check_told(self) -> None:
        if self._told_to_end:
            raise TaskStoreError(f"the server was told to end while it opened {self.folder}")

    def close(self, *, release: bool = True) -> None:
        """Commit what is queued and release the store. Blocks until that is done.

        Without ``release`` no other server can open the store before this process has ended.
        """
        self._database.close()
        if release:
            self._ownership.release()

    def _prepare(self, connection: sqlite3.Connection) -> Recovered:
        schema.create(connection)
        if self._max_bytes is not None:
            (page,) = connection.execute("PRAGMA page_size").fetchone()
            connection.execute(f"PRAGMA max_page_count = {max(self._max_bytes // page, 1)}")
        return recover(connection, self._found_damage, self._signer, self._accept_unsigned)

    # -- steps ------------------------------------------------------------------------------------

    def add(
        self, status: TaskStatus, new: NewJob, now: float
    ) -> Future[tuple[TaskStatus | None, TaskStatus | None]]:
        """Accept a job, unless there is one of its id.

        Raises, in the future, ``TaskError`` if that one was submitted with another call.

        The result is the job that has its id already, if there is one, and a job that had its id,
        has expired and was removed, if there was one.
        """

        def step(connection: sqlite3.Connection) -> tuple[TaskStatus | None, TaskStatus | None]:
            expired = None
            while not connection.execute(schema.INSERT, schema.row_of(status)).rowcount:
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
        """queued -> running; ``None`` when it is not queued any more."""

        def step(connection: sqlite3.Connection) -> Claim | None:
            taken = connection.execute(
                "UPDATE tasks SET state = 'running', started_at = ?, eta = NULL, "
                "attempts = attempts + 1 WHERE task_id = ? AND state = 'queued'",
                (now, task_id),
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
        self, task_id: str, eta: float | None, failure: TaskFailure | None, *, attempted: bool
    ) -> Future[TaskStatus | None]:
        """running -> queued, to be run again; ``None`` when it is not running."""

        def step(connection: sqlite3.Connection) -> TaskStatus | None:
            done = connection.execute(
                "UPDATE tasks SET state = 'queued', eta = ?, failure = ?, progress = NULL, "
                "attempts = attempts - ? WHERE task_id = ? AND state = 'running'",
                (eta, failure_text(failure), int(not attempted), task_id),
            )
            return schema.read_job(connection, task_id) if done.rowcount else None

        return self._database.run(step)

    def end(self, status: TaskStatus, kind: str, content: bytes | None) -> Future[bool]:
        """queued or running -> the final state of ``status``, with its result or its exception.

        ``False`` if the job has a final state already, which then stays.
        """

        def step(connection: sqlite3.Connection) -> bool:
            done = connection.execute(
                "UPDATE tasks SET state = ?, ended_at = ?, failure = ?, progress = ?, "
                "cancel_requested = ?, stored_bytes = ? "
                "WHERE task_id = ? AND state IN ('queued', 'running')",
                (
                    status.state.value,
                    status.ended_at,
                    failure_text(status.failure),
                    progress_text(status.progress),
                    status.cancel_requested,
                    status.stored_bytes,
                    status.task_id,
                ),
            )
            if not done.rowcount:
                return False
            connection.execute(
                "DELETE FROM payloads WHERE task_id = ? AND kind = 'call'", (status.task_id,)
            )
            if content is not None:
                schema.write_payload(connection, self._signer, status.task_id, kind, content)
            return True

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
        """Remove jobs whose ``keep`` has passed; return them, and when the next one is due."""

        def step(connection: sqlite3.Connection) -> tuple[list[TaskStatus], float | None]:
            found = connection.execute(
                f"{schema.SELECT} WHERE ended_at IS NOT NULL AND ended_at + keep <= ? "
                f"ORDER BY ended_at + keep LIMIT {PURGE_AT_ONCE}",
                (now,),
            ).fetchall()
            gone = list(map(schema.status_of, found))
            for status in gone:
                schema.remove_job(connection, status.task_id)
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
