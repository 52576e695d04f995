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
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar

from ...errors import TaskStoreError

__all__ = ["Database"]

T = TypeVar("T")

Operation = Callable[[sqlite3.Connection], Any]

MAX_BATCH = 256
"""How many operations share a commit at most: the first of them waits for the last."""


class Database:
    """Runs operations on the file at ``path``, in the order they came, in batches."""

    def __init__(self, path: Path, prepare: Operation, *, synchronous: str = "FULL") -> None:
        self._path = path
        self._prepare = prepare
        self._synchronous = synchronous
        self._queue: queue.SimpleQueue[tuple[Operation, Future[Any]] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._broken: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="genro-long-jobs", daemon=True)

    def open(self) -> Future[Any]:
        """Start the thread and open the file; the result is what ``prepare`` returned."""
        opened: Future[Any] = Future()
        self._queue.put((self._prepare, opened))
        self._thread.start()
        return opened

    def run(self, operation: Callable[[sqlite3.Connection], T]) -> Future[T]:
        """Run ``operation`` with the next batch; the future is settled after the commit.

        Raises:
            TaskStoreError: in the future: the disk is full, or the file is damaged or closed.
        """
        future: Future[T] = Future()
        with self._lock:
            if not self._closed:
                self._queue.put((operation, future))
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
            connection = self._connect()
        except Exception as error:
            self._broken = self._in_words(error)
        try:
            while batch := self._next_batch():
                if connection is None:
                    for _, future in batch:
                        _settle(future, error=self._broken)
                else:
                    self._run_batch(connection, batch)
        finally:
            if connection is not None:
                connection.close()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA synchronous={self._synchronous}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _next_batch(self) -> list[tuple[Operation, Future[Any]]]:
        """The operations that have gathered; empty after ``close``."""
        batch = []
        item = self._queue.get()
        while item is not None:
            batch.append(item)
            if len(batch) >= MAX_BATCH:
                return batch
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch
        if batch:
            self._queue.put(None)  # the next call returns an empty batch
        return batch

    def _run_batch(
        self, connection: sqlite3.Connection, batch: list[tuple[Operation, Future[Any]]]
    ) -> None:
        try:
            results = _committed(connection, [operation for operation, _ in batch])
        except Exception as error:
            if len(batch) == 1:
                _settle(batch[0][1], error=self._in_words(error))
                return
            for item in batch:
                self._run_batch(connection, [item])
            return
        for (_, future), result in zip(batch, results, strict=True):
            _settle(future, result)

    def _in_words(self, error: Exception) -> BaseException:
        if not isinstance(error, sqlite3.Error):
            return error
        refusal = TaskStoreError(
            f"the store of long jobs {self._path} refused: {error}. Nothing of this was stored; "
            "look at the disk it is on"
        )
        refusal.__cause__ = error
        return refusal


def _committed(connection: sqlite3.Connection, operations: list[Operation]) -> list[Any]:
    """The results of ``operations``, all of them committed."""
    try:
        connection.execute("BEGIN")
        results = [operation(connection) for operation in operations]
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
