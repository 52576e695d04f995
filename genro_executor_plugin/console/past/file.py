# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The file of the history: one SQLite file that is a ring, kept over restarts.

It is opened for each operation, so that a file that was deleted, replaced or repaired meanwhile is
seen, and nothing of it is held while nobody reads or writes. Several processes may have one file:
what they write of the same minute is added up. The same sums are kept for minutes and for longer
stretches, so that reading three days costs no more than reading some hours.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from . import tables
from .figures import Entry, Marker
from .tables import APPLICATION_ID, FORMAT, DamagedError

__all__ = ["HistoryFile", "HistoryFileError"]

T = TypeVar("T")

Operation = Callable[[sqlite3.Connection], T]

MOST_BYTES = 64 * 1024 * 1024
"""How large the file may become. The oldest eighth is removed where that is not enough."""

_MAGIC = b"SQLite format 3\0"

_PAGE_BYTES = 4096

_BUSY_SECONDS = 2.0
"""How long an operation waits for another process, which needs some milliseconds."""

_HANGS_SECONDS = 10.0
"""How long an operation waits for the one before it, in this process."""

_ATTEMPTS = 3
"""The first; one more where the file looks damaged; and one with the new file."""

_OTHER = "Take it away, or give the console another file with history=..."

_logger = logging.getLogger("genro_executor_plugin")


class HistoryFileError(Exception):
    """The file cannot be used; the message says which, why, and what to do."""


class HistoryFile:
    """The history at ``path``. Every method blocks, so the event loop's thread calls none.

    Args:
        path: the file.
        ours: whether nobody else would put a file there, so that what is no history is damage.
    """

    def __init__(self, path: Path, *, ours: bool) -> None:
        self.path = path
        self._ours = ours
        # One at a time: to look into a file and close it would end the locks that SQLite has on it.
        self._one = threading.Lock()

    def write(self, entries: Sequence[Entry], markers: Sequence[Marker], now: float) -> None:
        """Add ``entries`` and ``markers``, and remove what is older than it is kept.

        Raises:
            HistoryFileError: nothing of it was written.
        """
        self._run(partial(tables.store, entries=entries, markers=markers, now=now), make=True)

    def read(
        self, level: int, since: float, until: float, pool: str | None = None, route: str = ""
    ) -> list[Entry]:
        """The figures from ``since`` to ``until``, oldest first; of every pool, or of one.

        Raises:
            HistoryFileError: the file cannot be read.
        """
        rows = partial(
            tables.rows_in, level=level, since=since, until=until, pool=pool, route=route
        )
        return self._run(rows, make=False) or []

    def markers(self, since: float, until: float, most: int) -> tuple[list[Marker], int]:
        """The last ``most`` markers from ``since`` to ``until``, oldest first; how many there are.

        Raises:
            HistoryFileError: the file cannot be read.
        """
        found = partial(tables.markers_in, since=since, until=until, most=most)
        return self._run(found, make=False) or ([], 0)

    def pools(self) -> list[str]:
        """The names of the pools that there are figures of, in their order.

        Raises:
            HistoryFileError: the file cannot be read.
        """
        return self._run(tables.pools_in, make=False) or []

    def _run(self, operation: Operation[T], *, make: bool) -> T | None:
        """What ``operation`` returns; ``None`` if there is no file, and none is to be made."""
        if not self._one.acquire(timeout=_HANGS_SECONDS):
            raise self._unused(
                f"what was done with it {_HANGS_SECONDS:g} seconds ago has not ended",
                "The disk it is on may hang",
            )
        try:
            for attempt in range(_ATTEMPTS):
                found = self._checked(make)
                if found is None:
                    return None
                try:
                    return self._tried(operation, make)
                except (DamagedError, sqlite3.Error) as error:
                    if attempt == _ATTEMPTS - 1 or not _is_damage(error):
                        raise
                    if attempt:  # a disk that fails to read once looks like damage, too
                        self._set_aside(found, error)
            raise AssertionError("the last attempt has returned or raised")
        except (OSError, DamagedError, sqlite3.Error) as error:
            raise self._unused(f"{error}", _cure(error)) from error
        finally:
            self._one.release()

    def _tried(self, operation: Operation[T], make: bool) -> T | None:
        with closing(self._connected()) as connection:
            if not self._is_history(connection, make):
                return None
            try:
                return operation(connection)
            except sqlite3.OperationalError as error:
                if not _has_reached_its_size(connection, error):
                    raise
                tables.make_room(connection)
                return operation(connection)

    def _checked(self, make: bool) -> os.stat_result | None:
        """What is known of the file, which is ours alone; it is made if it is to be."""
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            if not make:
                return None
            for folder in [*_missing(self.path.parent)][::-1]:
                folder.mkdir(mode=0o700, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
            with suppress(FileExistsError):  # another process has made it just now
                os.close(os.open(self.path, flags, 0o600))
            found = self.path.lstat()
        if not stat.S_ISREG(found.st_mode):
            raise self._unused("it is a link, or no file", _OTHER)
        if found.st_uid != os.geteuid():
            raise self._unused(
                f"it belongs to uid {found.st_uid}, and this process has uid {os.geteuid()}", _OTHER
            )
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            mode = f"{stat.S_IMODE(found.st_mode):04o}"
            raise self._unused(f"it has mode {mode}: others may write it", "Use chmod go-w")
        return found

    def _connected(self) -> sqlite3.Connection:
        # Not made here, where it would get the rights that the umask leaves.
        where = f"file:{quote(os.fsencode(self.path))}?mode=rw"
        connection = sqlite3.connect(where, uri=True, isolation_level=None, timeout=_BUSY_SECONDS)
        try:
            # What an edited file declares (views, triggers) may call nothing that has effects.
            connection.execute("PRAGMA trusted_schema = OFF")
            connection.execute(f"PRAGMA max_page_count = {MOST_BYTES // _PAGE_BYTES}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_history(self, connection: sqlite3.Connection, make: bool) -> bool:
        """Whether the file has our tables, which an empty one is given if it is to be made."""
        if tables.is_empty(connection):
            if not make:
                return False
            tables.make_tables(connection)
        if tables.pragma(connection, "application_id") != APPLICATION_ID:
            raise DamagedError("it is no history of a console")
        version = tables.pragma(connection, "user_version")
        if version > FORMAT:
            raise self._unused(
                f"a newer version of this package has written it (format {version}, and this one "
                f"knows {FORMAT})",
                _OTHER,
            )
        if version < FORMAT:
            raise DamagedError(f"it has format {version}, which is not read any more")
        return True

    def _set_aside(self, found: os.stat_result, error: Exception) -> None:
        """Give the damaged file another name, so that a new one can be made.

        Raises:
            HistoryFileError: it is not ours.
        """
        with suppress(FileNotFoundError):
            if self.path.lstat().st_ino != found.st_ino:
                return  # another process has done so
            with self.path.open("rb") as file:
                head = file.read(72)
            known = head.startswith(_MAGIC) and head[68:] == APPLICATION_ID.to_bytes(4, "big")
            if not known and not self._ours:
                what = f"it is no history of a console ({error}), and is left as it is"
                raise self._unused(what, "Give the console another file with history=...")
            aside = Path(f"{self.path}.damaged")
            self.path.replace(aside)
            # SQLite would take it for what is to be undone in the new file.
            Path(f"{self.path}-journal").unlink(missing_ok=True)
            _logger.warning(
                "the history in %s is damaged: %s. It is %s now, and a new one begins",
                *(self.path, error, aside),
            )

    def _unused(self, why: str, cure: str) -> HistoryFileError:
        return HistoryFileError(f"the history in {self.path} is not used: {why}. {cure}")


def _missing(folder: Path) -> Iterable[Path]:
    while not os.path.lexists(folder):
        yield folder
        folder = folder.parent


def _code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", None) or 0) & 0xFF


def _is_damage(error: BaseException) -> bool:
    if isinstance(error, DamagedError):
        return True
    # A table or a column that is not there is an error in a statement (SQLITE_ERROR); a text that
    # is none has no code.
    return isinstance(error, sqlite3.DatabaseError) and _code(error) in (
        *(0, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR),
        *(sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_CONSTRAINT),
    )


def _cure(error: BaseException) -> str:
    if _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "Another process has locked it; look at who has it open. It is tried again"
    return "Look at the disk it is on and at its rights. It is tried again"


def _has_reached_its_size(connection: sqlite3.Connection, error: sqlite3.Error) -> bool:
    """Whether it is the file that is as large as it may become, and not the disk that is full."""
    if _code(error) != sqlite3.SQLITE_FULL:
        return False
    if connection.in_transaction:
        connection.execute("ROLLBACK")
    return tables.pragma(connection, "page_count") >= MOST_BYTES // _PAGE_BYTES - 8
