# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Questions about many jobs, answered beside the steps of jobs and within a time.

They have a connection and a thread of their own, which begin with the first of them: a search
through a hundred thousand jobs delays none that begins or ends.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import TypeVar

from ...errors import TaskStoreError
from .database import Database

__all__ = ["Reader"]

T = TypeVar("T")

PATIENCE_SECONDS = 5.0
"""How long one question may take."""

_STEPS_BETWEEN_LOOKS = 20_000
"""After how many steps of SQLite's machine the clock is looked at: less than a millisecond."""


class Reader:
    """Answers questions about the file at ``path``, which has been made before the first."""

    def __init__(self, path: Path, patience: float = PATIENCE_SECONDS) -> None:
        self._patience = patience
        self._database = Database(path, _only_read)
        self._begun = False

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """What ``question`` returns. Called on one thread only.

        Raises, in the future, ``TaskStoreError`` if it takes longer than ``patience`` seconds.
        """
        if not self._begun:
            self._begun = True
            self._database.open()

        def within_the_time(connection: sqlite3.Connection) -> T:
            ends_at = time.monotonic() + self._patience
            connection.set_progress_handler(
                lambda: time.monotonic() > ends_at, _STEPS_BETWEEN_LOOKS
            )
            try:
                return question(connection)
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                    raise
                refusal = TaskStoreError(
                    f"finding these jobs took longer than {self._patience:g} s. Ask for fewer: "
                    "name a state, a route, a submitter or a time, or search for less"
                )
                refusal.status, refusal.detail = 503, str(refusal)
                raise refusal from error
            finally:
                connection.set_progress_handler(None, 0)

        return self._database.ask(within_the_time)

    def close(self) -> None:
        """End the thread. Blocks until that is done."""
        self._database.close()


def _only_read(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA query_only = ON")
