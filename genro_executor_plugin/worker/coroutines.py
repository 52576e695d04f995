# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Coroutines in a worker: an event loop on a thread of its own, many calls at a time.

Imported with the first coroutine: this is where a worker gets asyncio.
"""

from __future__ import annotations

import asyncio
import selectors
import sys
import threading
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from contextvars import Context
from typing import Any

from ..errors import ExecutorError, SoftTimeoutError
from ..options.lacks import MORE_PROCESSES
from .forks import end_child, when_forked
from .running import HELD_TIME
from .stacks import stack_of_frame, stack_of_task
from .thread_runs import raise_in

__all__ = ["RUNS_COROUTINE", "RUNS_TASK", "CoroutineThread", "outcome_of", "thread_for"]


class _HeldUpError(asyncio.CancelledError):
    """Raised in a coroutine that is to end and does not let its event loop turn."""


Done = Callable[[asyncio.Task[Any]], None]


class CoroutineThread:
    """An event loop on a thread of its own, and the coroutines that run on it."""

    def __init__(
        self,
        broken: Callable[[BaseException], None],
        name: str = "genro-executor-coroutines",
        ended: Callable[[], None] | None = None,
        loop: type[asyncio.SelectorEventLoop] = asyncio.SelectorEventLoop,
    ) -> None:
        """Start the thread.

        Args:
            broken: called on it, at its end, when the loop cannot go on, because a coroutine has
                closed it or its descriptors. Nothing that runs on it will ever end by itself then.
            name: the name of the thread.
            ended: called on it when it has come to its end after ``stop``.
            loop: what kind of event loop it has.
        """
        self._broken = broken
        self._told_of_end = ended
        self._selector = selectors.DefaultSelector()
        self._loop = loop(self._selector)
        self._is_forked = self._closing = False
        when_forked(self.let_go)
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._numbered: dict[int, tuple[asyncio.Task[Any], _SoftlyLimited, Any]] = {}
        self._to_cancel: set[int] = set()
        try:
            self._thread.start()
        except RuntimeError:
            self._loop.close()
            raise

    def _run(self) -> None:
        while True:
            try:
                self._loop.run_forever()
            except (SystemExit, KeyboardInterrupt, _HeldUpError):
                pass  # it is the outcome of the task that raised it; the others go on
            except BaseException as error:
                if not self._is_forked:
                    self._broken(error)
                    return
            if self._is_forked:
                end_child(self._error())
            if self._closing:
                break
            # Otherwise a coroutine has stopped the loop; the others go on.
        try:
            self._loop.run_until_complete(self._end_what_is_left())
            self._loop.close()
        finally:
            if self._told_of_end is not None:
                self._told_of_end()

    def let_go(self) -> None:
        """Have the loop fail in a forked child, which is to end when its coroutine awaits or ends.

        Both have the same epoll and the same pipe that wakes it: a child that went on waiting would
        take what the parent waits for.
        """
        self._is_forked = True
        self._selector.close()

    def _error(self) -> BaseException | None:
        """What a coroutine has raised, which nothing was told of yet."""
        for task in self._tasks:
            if task.done() and not task.cancelled():
                return task.exception()
        return None

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
        number: int = 0,
        begins: Callable[[], None] | None = None,
        of: Any = None,
    ) -> None:
        """Run ``coroutine``; ``done`` is called on the loop's thread with its task.

        Args:
            coroutine: what to run.
            soft_timeout: seconds after which ``SoftTimeoutError`` is raised in it, 0 for never.
            done: called when it has ended.
            context: the context variables that it runs with, ``None`` for the caller's.
            number: of its call, for ``cancel``.
            begins: called on the loop's thread before its first step.
            of: what ``numbered`` says of it.
        """
        start = self._start
        self._loop.call_soon_threadsafe(
            start, coroutine, soft_timeout, done, context, number, begins, of
        )

    def _start(
        self,
        coroutine: Coroutine[Any, Any, Any],
        soft_timeout: float,
        done: Done,
        context: Context | None,
        number: int,
        begins: Callable[[], None] | None,
        of: Any,
    ) -> None:
        limited = _SoftlyLimited(coroutine)
        task = self._loop.create_task(_awaiting(limited, begins), context=context)
        self._tasks.add(task)
        if number:
            self._numbered[number] = task, limited, of
        timer = _SoftTimer(self._loop, limited, task, soft_timeout) if soft_timeout else None

        def finished(task: asyncio.Task[Any]) -> None:
            self._tasks.discard(task)
            self._numbered.pop(number, None)
            coroutine.close()  # one that was cancelled before its first step was never awaited
            if timer is not None:
                timer.cancel()
            done(task)

        task.add_done_callback(finished)

    def cancel(self, number: int, cancelled: Callable[[int], None]) -> None:
        """Cancel call ``number``, and then call ``cancelled`` with it, if it still runs.

        If it was asked before, and the event loop has not turned since because this very call
        holds it up, the call is interrupted between two instructions of Python.
        """
        if number in self._to_cancel:
            task = self._numbered.get(number, (None,))[0]
            if task is not None and asyncio.current_task(self._loop) is task:
                raise_in(self.ident, _HeldUpError)
            return
        self._to_cancel.add(number)
        self._loop.call_soon_threadsafe(self._cancel, number, cancelled)

    def _cancel(self, number: int, cancelled: Callable[[int], None]) -> None:
        self._to_cancel.discard(number)
        if number in self._numbered:
            task, limited, _ = self._numbered[number]
            limited.cancel(task)
            cancelled(number)

    def has(self, number: int) -> bool:
        """Whether it runs call ``number``."""
        return number in self._numbered

    def numbered(self) -> list[tuple[int, asyncio.Task[Any], Any, Any]]:
        """Of each call that runs: its number, its task, its coroutine, and what it was started of.

        Any thread may ask.
        """
        return [
            (number, task, limited.coroutine, of)
            for number, (task, limited, of) in list(self._numbered.items())
        ]

    def stack_of(self, number: int) -> str:
        """Where call ``number`` is; to be called on another thread, which the loop's waits for."""
        task, limited, _ = self._numbered[number]
        if asyncio.current_task(self._loop) is task:
            return stack_of_frame(sys._current_frames().get(self.ident))
        return stack_of_task(task, limited.coroutine)

    def stop(self) -> bool:
        """End the loop and its thread, and the tasks and threads that coroutines have left.

        Returns:
            whether there was anything to end.
        """
        self._closing = True
        with suppress(RuntimeError):  # a coroutine has closed it
            self._loop.call_soon_threadsafe(self._loop.stop)
        return self._thread.is_alive()

    def close(self) -> None:
        """Do as ``stop`` does, and wait for it."""
        self.stop()
        self._thread.join()

    async def _end_what_is_left(self) -> None:
        """As ``asyncio.run`` does at its end."""
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        for outcome in await asyncio.gather(*left, return_exceptions=True):
            if isinstance(outcome, Exception):
                context = {"message": "a task raised at its worker's end", "exception": outcome}
                self._loop.call_exception_handler(context)
        await self._loop.shutdown_asyncgens()
        await self._loop.shutdown_default_executor()


def outcome_of(task: asyncio.Task[Any]) -> BaseException | None:
    """What ``task``, which is done, has raised; ``None`` if it has returned."""
    return asyncio.CancelledError() if task.cancelled() else task.exception()


class _SoftlyLimited:
    """A coroutine in which ``SoftTimeoutError`` is raised, where it awaits, when its time is up."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self.coroutine = coroutine
        self._error: SoftTimeoutError | None = None

    def run_out(self, task: asyncio.Task[Any], seconds: float) -> None:
        """Raise ``SoftTimeoutError`` in the coroutine, which ``task`` runs."""
        self._error = SoftTimeoutError.after(seconds)
        task.cancel()  # wakes it where it awaits; __await__ raises the error instead

    def cancel(self, task: asyncio.Task[Any]) -> None:
        """Raise ``CancelledError`` in the coroutine, also when its soft limit has just passed."""
        self._error = None
        task.cancel()

    def __await__(self) -> Generator[Any, Any, Any]:
        thrown: BaseException | None = None
        value: Any = None
        try:
            while True:
                try:
                    if thrown is None:
                        waited_for = self.coroutine.send(value)
                    else:
                        waited_for = self.coroutine.throw(thrown)
                except StopIteration as finished:
                    return finished.value
                thrown = value = None
                try:
                    value = yield waited_for
                except BaseException as error:
                    thrown = error
                    if self._error is not None and isinstance(error, asyncio.CancelledError):
                        thrown, self._error = self._error, None
        finally:
            thrown = None  # or this frame and the error that leaves it would hold each other


class _SoftTimer:
    """Strikes when a coroutine's soft limit is over; time at breakpoints does not count."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        limited: _SoftlyLimited,
        task: asyncio.Task[Any],
        seconds: float,
    ) -> None:
        self._loop = loop
        self._limited = limited
        self._task = task
        self._seconds = seconds
        self._held = HELD_TIME.seconds
        self._handle: asyncio.TimerHandle | None = loop.call_later(seconds, self._is_up)

    def _is_up(self) -> None:
        before, self._held = self._held, HELD_TIME.seconds
        if self._held > before:
            self._handle = self._loop.call_later(self._held - before, self._is_up)
        else:
            self._handle = None
            self._limited.run_out(self._task, self._seconds)

    def cancel(self) -> None:
        """Strike no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


async def _awaiting(limited: _SoftlyLimited, begins: Callable[[], None] | None) -> Any:
    if begins is not None:
        begins()
    return await limited


def thread_for(
    coroutine: Coroutine[Any, Any, Any], broken: Callable[[BaseException], None]
) -> CoroutineThread:
    """A thread for coroutines, ``coroutine`` the first of them; ``broken`` as for the class.

    Raises:
        ExecutorError: the system has no thread; ``coroutine`` is closed.
    """
    try:
        return CoroutineThread(broken)
    except RuntimeError as error:
        coroutine.close()
        raise ExecutorError(
            f"the worker cannot start a thread for its coroutines: {error}. {MORE_PROCESSES}. "
            "Nothing was started: repeating the call later is safe"
        ) from error


RUNS_COROUTINE = frozenset({id(_SoftlyLimited.__await__.__code__)})
RUNS_TASK = frozenset({id(asyncio.Handle._run.__code__)})
