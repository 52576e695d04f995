# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The history of one console: where it is kept, who writes it, and who may ask how much at once."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Any

from ...errors import ExecutorConfigError
from ...executors.registry import ExecutorRegistry
from ...hosts.names import HTTPException, HTTPNotFound
from ..history import History
from .file import HistoryFile, HistoryFileError
from .query import answer_to, query_in
from .recorder import Recorder
from .tables import KEPT_SECONDS

__all__ = ["KeptHistory"]

OFF = "off"
"""What the option is for no history at all."""

_NAME = "history.sqlite"

_MOST_WAITING = 4
"""How many requests may wait for the file, which is read for one at a time."""

_PATIENCE_SECONDS = 20.0
"""How long a request waits for those before it."""

_LATER = (b"retry-after", b"30")

_logger = logging.getLogger("genro_executor_plugin")


class KeptHistory:
    """The history of a server, in a file beside its long jobs unless ``declared`` says otherwise.

    Args:
        declared: the path of the file, ``"off"`` for no history, or ``None``.

    Raises:
        ExecutorConfigError: ``declared`` is none of these.
    """

    def __init__(self, declared: Any) -> None:
        self._declared = _checked(declared)
        self._recorder: Recorder | None = None
        self._reading: asyncio.Lock | None = None
        self._waiting = 0
        self._why_not = f"it was started with history={OFF!r}" if declared == OFF else ""

    def start(
        self, server: Any, registry: ExecutorRegistry, samples: History, version: str
    ) -> None:
        """Begin to write, unless there is no place for it."""
        if self._declared == OFF:
            return
        try:
            file = self._file(server)
        except ExecutorConfigError as error:
            self._why_not = f"there is no place for it: {error}"
            _logger.info("console: no history is kept: %s", error)
            return
        self._reading = asyncio.Lock()
        self._recorder = Recorder(registry, samples, file)
        self._recorder.start(version)

    async def stop(self) -> None:
        """Write what there is, and stop."""
        if self._recorder is not None:
            await self._recorder.stop()

    def note_change(self, what: str, who: str) -> None:
        """Remember that somebody has changed something."""
        if self._recorder is not None:
            self._recorder.note("change", what, who)

    @property
    def state(self) -> dict[str, Any] | None:
        """For how many hours it is kept and what is wrong with it; ``None`` without one."""
        if self._recorder is None:
            return None
        return {"hours": KEPT_SECONDS // 3600, "trouble": self._recorder.trouble}

    async def answer(self, query_string: bytes) -> dict[str, Any]:
        """What the history has for the part of a URL behind ``?``.

        Raises:
            HTTPException: nothing is kept, the query is wrong, or the file cannot be read now.
        """
        recorder, reading = self._recorder, self._reading
        if recorder is None or reading is None:
            raise HTTPNotFound(
                f"This server keeps no history: {self._why_not or 'it has not started'}. Give its "
                "console a file with history=..."
            )
        now = time.time()
        query = query_in(query_string, now)
        if self._waiting >= _MOST_WAITING:
            raise HTTPException(
                503, "Too many ask for the history at once; ask again", [(b"retry-after", b"2")]
            )
        self._waiting += 1
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await reading.acquire()
            try:
                found = await asyncio.to_thread(answer_to, query, recorder.file, now)
            finally:
                reading.release()
        except TimeoutError as error:
            raise HTTPException(
                503, "The history is not read: the disk that it is on may hang", [_LATER]
            ) from error
        except HistoryFileError as error:
            raise HTTPException(503, str(error), [_LATER]) from error
        finally:
            self._waiting -= 1
        return {**found, "trouble": recorder.trouble}

    def _file(self, server: Any) -> HistoryFile:
        if isinstance(self._declared, Path):
            return HistoryFile(self._declared, ours=False)
        folder: Path = server.long_tasks.settings.folder_of(server)
        return HistoryFile(folder / _NAME, ours=True)


def _checked(declared: Any) -> Path | str | None:
    if declared is None or (isinstance(declared, str) and declared == OFF):
        return declared
    if isinstance(declared, str | os.PathLike):
        text = os.fspath(declared)
        if isinstance(text, str) and text.strip() and "\0" not in text:
            return Path(text).expanduser().absolute()
    raise ExecutorConfigError(
        f"ExecutorConsole: history={declared!r} is not the path of a file, or {OFF!r} for none"
    )
