# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""One SQLite file, and the one thread that talks to it.

Operations wait in a queue while a commit is under way. Those that have gathered by then share the
next commit, and so one fsync. The future of an operation is done when its commit is. A batch that
fails is rolled back, and its operations are repeated one by one, so that only the bad one fails.
Operations must depend on nothing but the connection, because they may run twice.
"""

from __future__ import annotations

import queue
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from ...errors import TaskStoreError

__all__ = ["Database", "is_busy"]

T = TypeVar("T")

Operation = Callable[[sqlite3.Connection], Any]

BUSY_PATIENCE_SECONDS = 10.0
"""How long a batch waits for a lock that another process has on the file (a backup, a shell)."""

LEAVING_PATIENCE_SECONDS = 1.0
"""The same when the server is told to end: enough for other servers, which commit in between."""

_BUSY_PAUSE_SECONDS = 0.001, 0.025
"""How long it waits before it tries again: from the first, for a sibling that commits in a
millisecond, to the second. By chance, so that of several that wait each gets its turn."""

MAX_BATCH = 256
"""How many operations share a commit at most: the first of them waits for the last."""


class _Item(NamedTuple):
    """An operation that waits for its batch; ``reads`` if it changes nothing."""

    operation: Operation
    future: Future[Any]
    reads: bool = False


class Database:
    """Runs operations on the file at ``path``, in the order they came, in batches."""

    def __init__(
        self,
        path: Path,
        prepare: Operation,
        *,
        synchronous: str = "FULL",
        max_batch: int = MAX_BATCH,
    ) -> None:
        self._path = path
        self._max_batch = max_batch
        self._prepare = prepare
        self._synchronous = synchronous
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._broken: BaseException | None = None
        self._files: dict[Path, int] = {}
        self._told_to_end = False
        self._thread = threading.Thread(target=self._serve, name="genro-long-jobs", daemon=True)

    def open(self, *, reads: bool = False) -> Future[Any]:
        """Start the thread and open the file; the result is what ``prepare`` returned.

        ``reads`` says that ``prepare`` changes nothing: it then waits for no lock and holds none.
        """
        opened: Future[Any] = Future()
        self._queue.put(_Item(self._prepare, opened, reads))
        self._thread.start()
        return opened

    def ask(self, question: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """As ``run``, for an operation that only reads: it waits for no lock."""
        return self.run(question, reads=True)

    def run(
        self, operation: Callable[[sqlite3.Connection], T], *, reads: bool = False
    ) -> Future[T]:
        """Run ``operation`` with the next batch; the future is settled after the commit.

        Raises:
            TaskStoreError: in the future: the disk is full, or the file is damaged or closed.
        """
        future: Future[T] = Future()
        with self._lock:
            if not self._closed:
                self._queue.put(_Item(operation, future, reads))
                return future
        future.set_exception(TaskStoreError(f"the store of long jobs {self._path} is closed"))
        return future

    def close(self) -> None:
        """Run what is queued, close the file and end the thread. Blocks until that is done."""
        with self._lock:
            if not self._closed:
                self._closed = True
                self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join()

    # -- on the thread ----------------------------------------------------------------------------

    def _serve(self) -> None:
        connection = None
        try:
            connection = self._patiently(self._connect)
        except Exception as error:
            self._broken = self._in_words(error)
        try:
            while batch := self._next_batch():
                if connection is None:
                    for item in batch:
                        _settle(item.future, error=self._broken)
                else:
                    self._run_batch(connection, batch)
        finally:
            if connection is not None:
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None, timeout=0.0)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
            # What an edited file declares (views, triggers) may call nothing that has effects.
            connection.execute("PRAGMA trusted_schema=OFF")
        except BaseException:
            connection.close()
            raise
        return connection

    def _next_batch(self) -> list[_Item]:
        """The operations that have gathered; empty after ``close``."""
        batch = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) >= self._max_batch:
                return batch
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch
        if batch:
            self._queue.put(None)  # the next call returns an empty batch
        return batch

    def _run_batch(self, connection: sqlite3.Connection, batch: list[_Item]) -> None:
        try:
            self._check_files()
            results = self._patiently(lambda: _committed(connection, batch))
            self._check_files()
        except Exception as error:
            if isinstance(error, _GoneError) or is_busy(error):
                # It is no single operation's fault: each of them would wait or fail again.
                for item in batch:
                    _settle(item.future, error=self._in_words(error))
                return
            if len(batch) == 1:
                _settle(batch[0].future, error=self._in_words(error))
                return
            for item in batch:
                self._run_batch(connection, [item])
            return
        for item, result in zip(batch, results, strict=True):
            _settle(item.future, result)

    def _patiently(self, work: Callable[[], T]) -> T:
        """What ``work`` returns, tried again while another process has locked the file."""
        began = time.monotonic()
        pause, longest = _BUSY_PAUSE_SECONDS
        while True:
            try:
                return work()
            except sqlite3.OperationalError as error:
                patience = BUSY_PATIENCE_SECONDS
                if self._told_to_end:
                    patience = min(patience, LEAVING_PATIENCE_SECONDS)
                if not is_busy(error) or time.monotonic() - began > patience:
                    raise
            time.sleep(pause * random.uniform(0.5, 1.5))
            pause = min(2 * pause, longest)

    def leave(self) -> None:
        """Wait less for a lock: the server is told to end. May be called at any time."""
        self._told_to_end = True

    def _check_files(self) -> None:
        """Check that the file and its log are still those that were opened.

        What is committed to a file that was deleted or replaced is gone when it is closed.

        Raises:
            _GoneError: they are not.
        """
        for path in (self._path, Path(f"{self._path}-wal")):
            try:
                found = path.stat().st_ino
            except OSError:
                found = 0
            if self._files.get(path, 0) not in (0, found):
                raise _GoneError(
                    f"the file {path} of the store of long jobs was deleted or replaced while the "
                    "server used it. Nothing more is stored: bring it back, and restart the server"
                )
            self._files[path] = found

    def _in_words(self, error: Exception) -> BaseException:
        if is_busy(error):
            busy = TaskStoreError(
                f"the store of long jobs {self._path} is locked by another process, for longer "
                "than this one waits. Nothing of this was stored; look at who has the file open, "
                "and try again"
            )
            busy.status, busy.detail = 503, "Long jobs cannot be stored now. Try again later."
            busy.__cause__ = error
            return busy
        if not isinstance(error, sqlite3.Error):
            return error
        refusal = TaskStoreError(
            f"the store of long jobs {self._path} refused: {error}. Nothing of this was stored; "
            "look at the disk it is on"
        )
        refusal.__cause__ = error
        return refusal


class _GoneError(TaskStoreError):
    """The file of the store is not there any more, or is another one."""


def is_busy(error: BaseException | None) -> bool:
    """Whether ``error``, or what it came from, is a lock of another process, which passes."""
    if isinstance(error, TaskStoreError):
        error = error.__cause__
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _committed(connection: sqlite3.Connection, batch: list[_Item]) -> list[Any]:
    """The results of the operations, all of them committed."""
    try:
        # Not deferred: a lock is met before anything was done.
        connection.execute("BEGIN" if all(item.reads for item in batch) else "BEGIN IMMEDIATE")
        # A question that nobody waits for any more is not asked.
        results = [
            None if item.reads and item.future.cancelled() else item.operation(connection)
            for item in batch
        ]
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # SQLite has rolled back by itself when the disk is full
            connection.execute("ROLLBACK")
        raise
    return results


def _settle(future: Future[Any], result: Any = None, error: BaseException | None = None) -> None:
    if not future.set_running_or_notify_cancel():
        return  # the caller has cancelled the future; the operation is done all the same
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
