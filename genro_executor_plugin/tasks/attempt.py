# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""One run of one job in its pool, and how it ended."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..errors import (
    ExecutorClosedError,
    ExecutorError,
    ExecutorOverloadError,
    RemoteError,
    SerializationError,
    TaskLostError,
)
from ..executors import BaseExecutor, Call
from ..metrics.error_text import text_of
from ..portable.exceptions import pack_stored_failure
from ..portable.results import pack_stored_result
from .followed_call import FollowedCall
from .job_log import JobLog, see_records_of_threads
from .status import Progress, TaskFailure, TaskState
from .store.log import LogBatch
from .texts import MAX_MESSAGE_CHARS, MAX_TRACEBACK_CHARS, cut

__all__ = ["Attempt", "Outcome", "width_of"]

PROGRESS_INTERVAL_SECONDS = 0.02
"""Progress is passed on at once, and then not more often than this; the last one always is."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended.

    Attributes:
        state: the state it leads to, ``None`` when the pool has refused it.
        content: the result or the exception as bytes.
        failure: the exception in words.
        may_be_repeated: whether repeating it may help.
        retry_after: seconds after which the pool may accept it.
        interrupted: whether the server has ended it because it stops.
        begun: whether the job's code has run, or may have.
        goes_on: whether it still runs, in a thread that cannot be ended.
        ran_by: the process and the agent that it ran in, as far as they are known.
        log: what it has logged and is not stored yet, ``None`` for nothing.
    """

    state: TaskState | None
    content: bytes | None = None
    failure: TaskFailure | None = None
    may_be_repeated: bool = True
    retry_after: float = 0.0
    interrupted: bool = False
    begun: bool = True
    goes_on: bool = False
    ran_by: tuple[int | None, str] = (None, "")
    log: LogBatch | None = None

    @classmethod
    def succeeded(cls, content: bytes) -> Outcome:
        """It returned, and ``content`` is its result."""
        return cls(TaskState.SUCCEEDED, content)

    @classmethod
    def cancelled(cls) -> Outcome:
        """It was ended on request."""
        return cls(TaskState.CANCELLED)

    @classmethod
    def failed(cls, error: BaseException) -> Outcome:
        """It raised ``error``, or could not run because of it."""
        may_be_repeated = not isinstance(error, SerializationError)
        words = _in_words(error)  # packing may take the traceback away
        return cls(TaskState.FAILED, pack_stored_failure(error), words, may_be_repeated)

    @classmethod
    def refused(cls, error: BaseException, retry_after: float) -> Outcome:
        """The pool has refused it; nothing has run."""
        return cls(None, None, _in_words(error), retry_after=retry_after, begun=False)

    @classmethod
    def interruption(cls, *, begun: bool, goes_on: bool = False) -> Outcome:
        """The server stopped while it ran or waited in its pool."""
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
    return TaskFailure(
        cut(name, MAX_MESSAGE_CHARS),
        cut(text_of(error), MAX_MESSAGE_CHARS),
        cut("".join(traceback.format_exception(error)), MAX_TRACEBACK_CHARS),
    )


def width_of(pool: Callable[[str], BaseExecutor], name: str) -> int:
    """How many attempts the pool of that name runs at a time."""
    try:
        options = pool(name).pool_options
    except ExecutorError:
        return 1  # the attempt fails the job with the reason
    return options.max_workers * options.threads_per_worker


class Attempt:
    """Runs ``call`` in ``executor``, and calls ``on_progress`` with what it reports.

    What it logs goes to ``log``, if that is not ``None``.
    """

    def __init__(
        self,
        executor: BaseExecutor,
        call: Call,
        max_result_bytes: int,
        on_progress: Callable[[Progress], None],
        log: JobLog | None = None,
    ) -> None:
        self._log = log
        if log is not None:
            call.on_record = log.take
            see_records_of_threads()
        self._executor = executor
        self._call = call
        self._max_result_bytes = max_result_bytes
        self._progress = _ProgressThrottle(on_progress)
        self._followed = FollowedCall(self._progress.take)
        self._followed.attach(executor, call)

    async def run(self) -> Outcome:
        """Run the call to its end, and return how it ended."""
        running = self._followed.start(self._executor.run(self._call))
        try:
            # Not awaited directly: cancelling the call must not cancel what stores its end.
            await asyncio.wait([running])
            outcome = await self._outcome(running)
            log = self._log.rest() if self._log is not None else None
            return replace(outcome, ran_by=self._call.ran_by, log=log)
        except asyncio.CancelledError:
            running.cancel()
            raise
        finally:
            self._followed.close()
            self._progress.close()
            if self._log is not None:
                self._log.rest()

    async def _outcome(self, running: asyncio.Task[Any]) -> Outcome:
        begun, asked = self._call.begun, self._followed.asked
        goes_on = begun and not self._followed.can_be_killed
        if running.cancelled():
            if asked and not goes_on:
                return Outcome.cancelled()
            return Outcome.interruption(begun=begun, goes_on=goes_on)
        error = running.exception()
        if asked:
            return Outcome.cancelled()
        if error is None:
            return await self._success(running.result())
        if isinstance(error, ExecutorOverloadError) and not self._call.raised:
            return Outcome.refused(error, float(error.retry_after))
        if isinstance(error, ExecutorClosedError) and not self._call.raised:
            return Outcome.interruption(begun=begun, goes_on=goes_on)
        return self._failure(error)

    def _failure(self, error: BaseException) -> Outcome:
        outcome = Outcome.failed(error)
        words, content = outcome.failure, outcome.content
        if words is None or content is None or len(content) <= self._max_result_bytes:
            return outcome
        told = RemoteError(
            f"{words.type_name}: {words.message} (its exception takes {len(content)} bytes, and "
            f"max_result_bytes is {self._max_result_bytes}: this is what it said)",
            type_name=words.type_name,
            remote_traceback=words.traceback,
        )
        return replace(outcome, content=pack_stored_failure(told))

    async def _success(self, result: Any) -> Outcome:
        try:
            # Not on the event loop: it may be large.
            content = await asyncio.to_thread(pack_stored_result, result, self._call.func)
        except SerializationError as error:
            return self._failure(error)
        if len(content) > self._max_result_bytes:
            return Outcome.failed(
                SerializationError(
                    f"the result takes {len(content)} bytes, and max_result_bytes is "
                    f"{self._max_result_bytes}. Store the data elsewhere and return where it is"
                )
            )
        return Outcome.succeeded(content)

    @property
    def runs_in(self) -> tuple[int | None, str]:
        """The process and the agent that it runs in now, as far as they are known."""
        found: tuple[int | None, str] = getattr(self._call.handle, "ran_by", self._call.ran_by)
        return found

    def cancel(self, grace: float) -> None:
        """Ask it to end, and end it after ``grace`` seconds where its pool can."""
        self._followed.cancel(grace)

    def interrupt(self) -> None:
        """End it now, because the server stops."""
        self._followed.end()


class _ProgressThrottle:
    """Passes progress on at once, but not too often; the last one always arrives."""

    def __init__(self, on_progress: Callable[[Progress], None]) -> None:
        self._on_progress = on_progress
        self._latest: Progress | None = None
        self._pause: asyncio.TimerHandle | None = None

    def take(self, progress: Progress) -> None:
        self._latest = progress
        if self._pause is None:
            self._pass_on()
            self._begin_pause()

    def _begin_pause(self) -> None:
        loop = asyncio.get_running_loop()
        self._pause = loop.call_later(PROGRESS_INTERVAL_SECONDS, self._end_pause)

    def _end_pause(self) -> None:
        self._pause = None
        if self._latest is not None:
            self._pass_on()
            self._begin_pause()

    def _pass_on(self) -> None:
        latest, self._latest = self._latest, None
        if latest is not None:
            self._on_progress(latest)

    def close(self) -> None:
        """Pass on what is left; nothing comes after it."""
        self._pass_on()
        if self._pause is not None:
            self._pause.cancel()
