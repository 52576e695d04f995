# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a job logs while it runs, on its way from the thread that it comes from to the store.

Records of workers come with the messages of their call. Those of calls on threads of this process
are seen where Python makes them: a handler at the root would end what ``logging.basicConfig`` and
the handler of last resort do, and be gone with the next configuration.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from ..worker.running import current
from .store.log import MOST_BYTES, MOST_LINES, LogBatch
from .texts import MAX_MESSAGE_CHARS, cut

__all__ = ["JobLog", "see_records_of_threads"]

WRITE_SECONDS = 1.0
"""How often what a job has logged is stored while it runs."""

_MOST_NAME_CHARS = 200

_plain = logging.Formatter()


class JobLog:
    """The lines of one run, until they are stored: the last ones, if there are too many.

    Args:
        write: stores some; what it returns is done when they are.
    """

    def __init__(self, write: Callable[[LogBatch], Future[Any]]) -> None:
        self._write = write
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._lines: deque[str] = deque()
        self._bytes = 0
        self._logged = 0
        self._expected = False
        self._over = False
        self._timer: asyncio.TimerHandle | None = None

    def take(self, record: logging.LogRecord) -> None:
        """Keep ``record`` as a line; on any thread."""
        line = _line_of(record)
        with self._lock:
            if self._over:
                return
            self._lines.append(line)
            self._bytes += len(line)
            self._logged += 1
            while len(self._lines) > MOST_LINES or self._bytes > MOST_BYTES:
                self._bytes -= len(self._lines.popleft())
            if self._expected:
                return
            self._expected = True
        with suppress(RuntimeError):  # the event loop is closed, and the store with it
            self._loop.call_soon_threadsafe(self._wait)

    def rest(self) -> LogBatch | None:
        """What is not stored yet. Nothing more is taken: what is logged now is nobody's."""
        with self._lock:
            self._over = True
        if self._timer is not None:
            self._timer.cancel()
        return self._batch()

    def _wait(self) -> None:
        if not self._over:
            self._timer = self._loop.call_later(WRITE_SECONDS, self._store)

    def _batch(self) -> LogBatch | None:
        with self._lock:
            if not self._logged:
                return None
            batch = LogBatch(tuple(self._lines), self._logged)
            self._lines.clear()
            self._bytes = self._logged = 0
        return batch

    def _store(self) -> None:
        batch = self._batch()
        if batch is None:
            self._expected = False
            return

        def stored(written: Future[Any]) -> None:
            failed = written.cancelled() or written.exception() is not None
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stored, batch.logged if failed else 0)

        self._write(batch).add_done_callback(stored)

    def _stored(self, lost: int) -> None:
        """Go on with what has come meanwhile; lines that the store has refused are counted."""
        with self._lock:
            self._logged += lost
            self._expected = bool(self._logged)
            again = self._expected
        if again:
            self._wait()


def _line_of(record: logging.LogRecord) -> str:
    """``record`` as it is stored. Whatever is wrong with it, who logs must not find out here."""
    try:
        return _line(record.created, record.levelno, record.levelname, record.name, _text(record))
    except Exception as error:  # its arguments do not go with its text, or have no text
        text = f"(a record that has no text: {type(error).__name__})"
        return _line(time.time(), logging.ERROR, "ERROR", "", text)


def _text(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[0] is not None:
        return f"{text}\n{_plain.formatException(record.exc_info)}"
    return f"{text}\n{record.exc_text}" if record.exc_text else text


def _line(at: float, level: int, level_name: str, logger: str, text: str) -> str:
    names = cut(level_name, _MOST_NAME_CHARS), cut(logger, _MOST_NAME_CHARS)
    return json.dumps([round(float(at), 3), int(level), *names, cut(text, MAX_MESSAGE_CHARS)])


_installing = threading.Lock()


def see_records_of_threads() -> None:
    """See the records that calls on threads of this process make. Doing it again changes nothing.

    A factory that an application sets afterwards has to call the one that was there, as Python's
    documentation has it; otherwise the lines of such calls are not kept.
    """
    global _seen
    with _installing:
        if not _seen:
            logging.setLogRecordFactory(_seeing(logging.getLogRecordFactory()))
            _seen = True


_seen = False


def _seeing(make: Callable[..., logging.LogRecord]) -> Callable[..., logging.LogRecord]:
    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(*args, **kwargs)
        call = current()
        # Without a name it is one that comes from elsewhere, and is filled afterwards.
        if call is not None and call.on_record is not None and record.name is not None:
            call.on_record(record)
        return record

    return made
