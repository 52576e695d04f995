# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Questions about many jobs, answered beside the steps of jobs and within a time.

They have a connection and a thread of their own, which begin with the first of them: a search
through a hundred thousand jobs delays none that begins or ends.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from ...errors import TaskStoreError
from .database import Database

__all__ = ["Reader"]

T = TypeVar("T")

PATIENCE_SECONDS = 5.0
"""How long one question may take."""

MOST_WAITING = 8
"""How many questions wait or are answered; one more is refused, as nobody would wait that long."""

_STEPS_BETWEEN_LOOKS = 20_000
"""After how many steps of SQLite's machine the clock is looked at: less than a millisecond."""


class Reader:
    """Answers questions about the file at ``path``, which has been made before the first."""

    def __init__(self, path: Path, patience: float = PATIENCE_SECONDS) -> None:
        self._path = path
        self._patience = patience
        self._database: Database | None = None
        self._opened: Future[Any] | None = None
        self._asked: list[Future[Any]] = []
        self._closed = False
        self._lock = threading.Lock()

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """What ``question`` returns. It is given up when the future is cancelled.

        Raises, in the future, ``TaskStoreError`` if it takes longer than ``patience`` seconds, if
        too many others wait, or after ``close``.
        """
        asked: list[Future[T]] = []

        def within_the_time(connection: sqlite3.Connection) -> T:
            if self._closed:
                raise self._closing()
            ends_at = time.monotonic() + self._patience
            connection.set_progress_handler(
                lambda: (
                    self._closed
                    or time.monotonic() > ends_at
                    or any(future.cancelled() for future in asked)
                ),
                _STEPS_BETWEEN_LOOKS,
            )
            try:
                return question(connection)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                    raise
                if self._closed:
                    raise self._closing() from error
                raise _refusal(
                    f"finding these jobs took longer than {self._patience:g} s. Ask for fewer: "
                    "name a state, a route, a submitter or a time, or search for less"
                ) from error
            finally:
                connection.set_progress_handler(None, 0)

        with self._lock:
            self._asked = [future for future in self._asked if not future.done()]
            if self._closed or len(self._asked) >= MOST_WAITING:
                refused: Future[T] = Future()
                refused.set_exception(
                    self._closing()
                    if self._closed
                    else _refusal(
                        f"{MOST_WAITING} searches for jobs are under way; try again in a moment"
                    )
                )
                return refused
            asked.append(self._begun().ask(within_the_time))
            self._asked += asked
        return asked[0]

    def _begun(self) -> Database:
        """The connection; a new one if the file could not be opened before."""
        opened, found = self._opened, self._database
        if found is not None and opened is not None and opened.done() and opened.exception():
            found.close()
            found = None
        if found is None:
            # One at a time: a question that fails makes no other one be asked again.
            found = self._database = Database(self._path, _only_read, max_batch=1)
            self._opened = found.open(reads=True)
        return found

    def close(self) -> None:
        """Give up what is asked and end the thread. Blocks until that is done."""
        with self._lock:
            self._closed = True
        if self._database is not None:
            self._database.close()

    def _closing(self) -> TaskStoreError:
        return _refusal(f"the store of long jobs {self._path} is closed")


def _refusal(text: str) -> TaskStoreError:
    refusal = TaskStoreError(text)
    refusal.status, refusal.detail = 503, text
    return refusal


def _only_read(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")
