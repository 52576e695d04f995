# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""One run of one job in its pool: what it says, how it is ended, and what came of it."""

from __future__ import annotations

import asyncio
import json
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ..errors import (
    ExecutorClosedError,
    ExecutorOverloadError,
    SerializationError,
    TaskLostError,
)
from ..executors import BaseExecutor, Call, ThreadExecutor
from ..portable.exceptions import pack_stored_failure
from ..portable.results import pack_stored_result
from .progress import CANCEL, PROGRESS
from .status import Progress, TaskFailure, TaskState

__all__ = ["Attempt", "Outcome"]

PROGRESS_INTERVAL_SECONDS = 0.02
"""Progress is passed on at once, and then not more often than this; the last word always is."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        state: the state it leads to, ``None`` when the pool took nothing on.
        content: the result or the exception as bytes.
        failure: the exception in words.
        may_be_repeated: repeating it may help.
        retry_after: seconds after which the pool may take it on.
        interrupted: the server stops.
        begun: the job's code has run, or may have.
        goes_on: it still runs, in a thread.
    """

    state: TaskState | None
    content: bytes | None = None
    failure: TaskFailure | None = None
    may_be_repeated: bool = True
    retry_after: float = 0.0
    interrupted: bool = False
    begun: bool = True
    goes_on: bool = False

    @classmethod
    def succeeded(cls, content: bytes) -> Outcome:
        """It returned."""
        return cls(TaskState.SUCCEEDED, content)

    @classmethod
    def cancelled(cls) -> Outcome:
        """It was ended on request."""
        return cls(TaskState.CANCELLED)

    @classmethod
    def failed(cls, error: BaseException) -> Outcome:
        """It raised ``error``, or came to nothing because of it."""
        may_be_repeated = not isinstance(error, SerializationError)
        words = _in_words(error)  # packing may take the traceback away
        return cls(TaskState.FAILED, pack_stored_failure(error), words, may_be_repeated)

    @classmethod
    def refused(cls, error: BaseException, retry_after: float) -> Outcome:
        """The pool has not taken it on."""
        return cls(None, None, _in_words(error), retry_after=retry_after, begun=False)

    @classmethod
    def interruption(cls, *, begun: bool, goes_on: bool = False) -> Outcome:
        """The server stops while it runs or waits in its pool."""
        error = TaskLostError("the server stopped while the job was running")
        content, words = pack_stored_failure(error), _in_words(error)
        return cls(TaskState.LOST, content, words, interrupted=True, begun=begun, goes_on=goes_on)


def _in_words(error: BaseException) -> TaskFailure:
    kind = type(error)
    name = (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else (f"{kind.__module__}.{kind.__qualname__}")
    )
    try:
        message = str(error)
    except Exception as broken:
        message = f"(its text cannot be had: {type(broken).__name__})"
    return TaskFailure(name, message, "".join(traceback.format_exception(error)))


class Attempt:
    """Runs ``call`` in ``executor``."""

    def __init__(
        self,
        executor: BaseExecutor,
        call: Call,
        max_result_bytes: int,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._executor = executor
        self._call = call
        self._max_result_bytes = max_result_bytes
        self._on_progress = on_progress
        self._latest: Progress | None = None
        self._flush: asyncio.TimerHandle | None = None
        self._kill: asyncio.TimerHandle | None = None
        self._asked = False
        self._running: asyncio.Task[Any] | None = None
        call.on_message = self._said
        call.kill_on_cancel = True

    async def run(self) -> Outcome:
        """Run it to its end."""
        self._running = asyncio.create_task(self._executor.run(self._call))
        try:
            # Not awaited directly: what ends the call must not end whoever settles the job.
            await asyncio.wait([self._running])
            return await self._outcome(self._running)
        except asyncio.CancelledError:
            self._running.cancel()
            raise
        finally:
            self._pass_on()
            for timer in (self._flush, self._kill):
                if timer is not None:
                    timer.cancel()

    async def _outcome(self, running: asyncio.Task[Any]) -> Outcome:
        begun = self._call.begun
        if running.cancelled():
            goes_on = begun and self._is_thread
            if self._asked and not goes_on:
                return Outcome.cancelled()
            return Outcome.interruption(begun=begun, goes_on=goes_on)
        error = running.exception()
        if error is not None:
            if self._asked:
                return Outcome.cancelled()
            if isinstance(error, ExecutorOverloadError) and not self._call.raised:
                return Outcome.refused(error, float(error.retry_after))
            if isinstance(error, ExecutorClosedError) and not self._call.raised:
                return Outcome.interruption(begun=begun, goes_on=begun and self._is_thread)
            return Outcome.failed(error)
        if self._asked:
            return Outcome.cancelled()
        return await self._success(running.result())

    async def _success(self, result: Any) -> Outcome:
        try:
            # Not on the event loop: it may be large.
            content = await asyncio.to_thread(pack_stored_result, result, self._call.func)
        except SerializationError as error:
            return Outcome.failed(error)
        if len(content) > self._max_result_bytes:
            return Outcome.failed(
                SerializationError(
                    f"the result takes {len(content)} bytes, and max_result_bytes is "
                    f"{self._max_result_bytes}. Store the data elsewhere and return where it is"
                )
            )
        return Outcome.succeeded(content)

    @property
    def _is_thread(self) -> bool:
        return isinstance(self._executor, ThreadExecutor)

    # -- ending it --------------------------------------------------------------------------------

    def cancel(self, grace: float) -> None:
        """Ask it to end; after ``grace`` seconds end it. A thread is only asked."""
        self._asked = True
        if not self._executor.tell(self._call, CANCEL, True):
            self._end()  # it waits in the pool's line, and never begins
        elif self._kill is None and not self._is_thread:
            self._kill = asyncio.get_running_loop().call_later(grace, self._end)

    def interrupt(self) -> None:
        """End it now: the server stops."""
        self._end()

    def _end(self) -> None:
        if self._running is not None:
            self._running.cancel()

    # -- what it says -----------------------------------------------------------------------------

    def _said(self, channel: str, value: Any) -> None:
        if channel != PROGRESS:
            return
        fraction, message, data, at = value
        self._latest = Progress(fraction, message, json.loads(data) if data else {}, at)
        if self._flush is None:
            self._pass_on()
            self._flush = asyncio.get_running_loop().call_later(
                PROGRESS_INTERVAL_SECONDS, self._flush_due
            )

    def _flush_due(self) -> None:
        self._flush = None
        if self._latest is not None:
            self._pass_on()
            self._flush = asyncio.get_running_loop().call_later(
                PROGRESS_INTERVAL_SECONDS, self._flush_due
            )

    def _pass_on(self) -> None:
        latest, self._latest = self._latest, None
        if latest is not None:
            self._on_progress(latest)
