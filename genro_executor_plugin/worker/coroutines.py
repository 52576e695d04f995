# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Coroutines in a worker: an event loop on a thread of its own, many calls at a time.

Imported with the first coroutine: this is where a worker gets asyncio.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context
from typing import Any

from ..errors import ExecutorError, SoftTimeoutError
from ..options.lacks import MORE_PROCESSES

__all__ = ["CoroutineThread", "outcome_of", "thread_for"]

Done = Callable[[asyncio.Task[Any]], None]


class CoroutineThread:
    """An event loop on a thread of its own, and the coroutines that run on it."""

    def __init__(self, name: str = "genro-executor-coroutines") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._tasks: set[asyncio.Task[Any]] = set()
        try:
            self._thread.start()
        except RuntimeError:
            self._loop.close()
            raise

    def _run(self) -> None:
        while True:
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt):
                continue  # it is the outcome of the task that raised it; the others go on
            break
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop."""
        return self._loop

    @property
    def ident(self) -> int:
        """The identity of the thread that the loop runs on."""
        assert self._thread.ident is not None  # it was started
        return self._thread.ident

    def start(
        self,
        coroutine: Coroutine[Any, Any, Any],
        soft_timeout: float,
        done: Done,
        context: Context | None = None,
    ) -> None:
        """Run ``coroutine``; ``done`` is called on the loop's thread with its task.

        Args:
            coroutine: what to run.
            soft_timeout: seconds after which ``SoftTimeoutError`` is raised in it, 0 for never.
            done: called when it has ended.
            context: the context variables that it runs with, ``None`` for the caller's.
        """
        self._loop.call_soon_threadsafe(self._start, coroutine, soft_timeout, done, context)

    def _start(
        self,
        coroutine: Coroutine[Any, Any, Any],
        soft_timeout: float,
        done: Done,
        context: Context | None,
    ) -> None:
        limited = _SoftlyLimited(coroutine)
        task = self._loop.create_task(_awaiting(limited), context=context)
        self._tasks.add(task)
        timer = None
        if soft_timeout:
            timer = self._loop.call_later(soft_timeout, limited.run_out, task, soft_timeout)

        def finished(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            if timer is not None:
                timer.cancel()
            done(task)

        task.add_done_callback(finished)

    def close(self) -> None:
        """End the loop and its thread; no coroutine may be running on it."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


def outcome_of(task: asyncio.Task[Any]) -> BaseException | None:
    """What ``task``, which is done, has raised; ``None`` if it has returned."""
    return asyncio.CancelledError() if task.cancelled() else task.exception()


class _SoftlyLimited:
    """A coroutine in which ``SoftTimeoutError`` is raised, where it awaits, when its time is up."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._error: SoftTimeoutError | None = None

    def run_out(self, task: asyncio.Task[Any], seconds: float) -> None:
        """Raise ``SoftTimeoutError`` in the coroutine, which ``task`` runs."""
        self._error = SoftTimeoutError.after(seconds)
        task.cancel()  # wakes it where it awaits; __await__ raises the error instead

    def __await__(self) -> Generator[Any, Any, Any]:
        step: Callable[[], Any] = lambda: self._coroutine.send(None)  # noqa: E731
        while True:
            try:
                waited_for = step()
            except StopIteration as finished:
                return finished.value
            try:
                value = yield waited_for
            except BaseException as thrown:
                error: BaseException = thrown
                if self._error is not None and isinstance(thrown, asyncio.CancelledError):
                    error, self._error = self._error, None
                step = _throwing(self._coroutine, error)
            else:
                step = _sending(self._coroutine, value)


def _sending(coroutine: Coroutine[Any, Any, Any], value: Any) -> Callable[[], Any]:
    return lambda: coroutine.send(value)


def _throwing(coroutine: Coroutine[Any, Any, Any], error: BaseException) -> Callable[[], Any]:
    return lambda: coroutine.throw(error)


async def _awaiting(limited: _SoftlyLimited) -> Any:
    return await limited


def thread_for(coroutine: Coroutine[Any, Any, Any]) -> CoroutineThread:
    """A thread for coroutines, ``coroutine`` the first of them.

    Raises:
        ExecutorError: the system has no thread; ``coroutine`` is closed.
    """
    try:
        return CoroutineThread()
    except RuntimeError as error:
        coroutine.close()
        raise ExecutorError(
            f"the worker cannot start a thread for its coroutines: {error}. {MORE_PROCESSES}. "
            "Nothing was started: repeating the call later is safe"
        ) from error
