# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""One call on its way through a thread of the server's process, and what it sends meanwhile."""

from __future__ import annotations

import asyncio
import contextvars
import os
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any

from ..errors import ExecutorError
from ..options.lacks import MORE_PROCESSES
from ..worker.forks import ending_children
from ..worker.running import RunningCall, enter
from .base import Pool
from .call import Call
from .home import HOME

__all__ = ["ThreadRun", "no_thread"]


class ThreadRun:
    """One call on its way through a thread: when it began, and how it ended.

    Attributes:
        body: what runs; a coroutine function runs on the pool's own event loop.
        task: what runs the coroutine, once it has begun.
        thread: the identity of the thread that runs it, once it has begun; 0 before.
        abandoned: whether nobody waits for it any more.
    """

    __slots__ = (
        "_messages",
        "abandoned",
        "began",
        "body",
        "call",
        "context",
        "future",
        "is_async",
        "loop",
        "queued_at",
        "raised",
        "running",
        "started_at",
        "task",
        "thread",
    )

    def __init__(
        self,
        pool: Pool,
        call: Call,
        body: Callable[[], Any],
        is_async: bool,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.call: Call = call
        self.body: Callable[[], Any] = body if is_async else ending_children(body)
        self.is_async: bool = is_async
        self.loop: asyncio.AbstractEventLoop = loop
        self.context: contextvars.Context = contextvars.copy_context()
        self.future: asyncio.Future[Any] = loop.create_future()
        self.began: asyncio.Future[None] = loop.create_future()
        self.queued_at: float = perf_counter()
        self.raised: bool = False
        self.abandoned: bool = False
        self.task: asyncio.Task[Any] | None = None
        self.started_at: float | None = None
        self.thread: int = 0
        self._messages = _Messages(pool, call, self.future)
        self.running: RunningCall = RunningCall(0, self._messages)
        if call.on_record is not None:
            self.running.on_record = call.on_record
        self.context.run(enter, self.running)
        self.context.run(HOME.set, HOME.get() or loop)

    @property
    def ran_by(self) -> tuple[int | None, str]:
        """The process that runs it, as a job of a worker has it: this one."""
        return (os.getpid() if self.started_at is not None else None), ""

    def let_go(self) -> None:
        """Forget the error that the caller has by now: its traceback leads here and back."""
        if self.future.done() and (self.future.cancelled() or self.future.exception()):
            self.future = self.loop.create_future()
            self.future.cancel()
            self._messages.future = self.future
        if self.began.done() and not self.began.cancelled() and self.began.exception():
            self.began = self.future

    def end_coroutine(self) -> None:
        """Cancel the coroutine, on the loop that runs it; a function on a thread goes on."""
        self.abandoned = True
        task = self.task
        if task is not None:
            with suppress(RuntimeError):  # that loop is closed: it runs nothing any more
                task.get_loop().call_soon_threadsafe(task.cancel)

    def refuse(self, error: Exception) -> None:
        """Give the caller ``error`` if it has not begun."""
        if not self.began.done():
            self.began.set_exception(error)


class _Messages:
    """How a call on a thread sends; what it is told is delivered to it at once."""

    def __init__(self, pool: Pool, call: Call, future: asyncio.Future[Any]) -> None:
        self._pool = pool
        self._call = call
        self.future = future

    def send(self, number: int, channel: str, value: Any) -> None:
        if self.future.done():
            return
        with suppress(RuntimeError):  # the event loop is closed: nobody listens any more
            self.future.get_loop().call_soon_threadsafe(
                self._pool.message, self._call, os.getpid(), channel, value
            )

    def read(self, timeout: float | None) -> bool:
        return False


def no_thread(pool: str, cause: RuntimeError) -> ExecutorError:
    """The error of a call for which the system gives ``pool`` no thread."""
    error = ExecutorError(
        f"pool {pool!r} cannot start a thread: {cause}. {MORE_PROCESSES}. Nothing was started: "
        "repeating the call later is safe",
        pool=pool,
    )
    error.__cause__ = cause
    return error
