# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Threads for what would hold up the event loop: user code, imports, and long copies."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

__all__ = ["Threads"]

_logger = logging.getLogger("genro_executor_plugin")

T = TypeVar("T")

Work = Callable[[], object]


class Threads:
    """At most ``most`` threads that do what they are given, first come, first served.

    One thread keeps the order. They are started when they are needed, and are daemons: work that
    never ends keeps neither its pool nor the server from ending.
    """

    def __init__(self, name: str, most: int, loop: asyncio.AbstractEventLoop) -> None:
        self._name = name
        self._most = most
        self._loop = loop
        self._work: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._unfinished = 0
        self._threads = 0
        self._closed = False
        self._all_ended = asyncio.Event()

    def put(self, work: Work) -> None:
        """Have ``work`` done on a thread; on this one if the system has no thread for it."""
        if self._closed or not self._has_a_thread():
            _do(work)
        else:
            self._work.put(work)

    def run(self, work: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Run ``work(*args)`` on a thread and return the future of its result."""
        future: asyncio.Future[T] = self._loop.create_future()
        # The frame below is a caller of what fails: it must not hold what holds the error.
        waiting = [future]

        def on_thread() -> None:
            try:
                result = work(*args)
            except BaseException as error:
                self.on_loop(_settle, waiting.pop(), None, error)
            else:
                self.on_loop(_settle, waiting.pop(), result, None)

        self.put(on_thread)
        return future

    def behind(self, done: Callable[[], None]) -> None:
        """Call ``done`` on the event loop once a thread has come to it."""
        self.put(lambda: self.on_loop(done))

    def on_loop(self, func: Callable[..., object], *args: Any) -> None:
        """Call ``func(*args)`` on the event loop, from any thread."""
        with suppress(RuntimeError):  # it is closed: nobody waits any more
            self._loop.call_soon_threadsafe(func, *args)

    def replace_one(self) -> None:
        """Allow one thread more, in place of one whose work does not end."""
        with self._lock:
            self._most += 1

    def end(self) -> int:
        """Have the threads end behind what they were given; return how many there are."""
        self._closed = True
        with self._lock:
            left = self._threads
        for _ in range(left):
            self._work.put(None)
        return left

    async def close(self, seconds: float) -> None:
        """End the threads behind what they were given, waiting at most ``seconds`` for it."""
        if self.end():
            try:
                await asyncio.wait_for(self._all_ended.wait(), seconds)
            except TimeoutError:
                _logger.warning(
                    "%s: work that was given to a thread has not ended after %g s",
                    *(self._name,),
                    seconds,
                )

    def _has_a_thread(self) -> bool:
        with self._lock:
            self._unfinished += 1
            if self._threads >= min(self._unfinished, self._most):
                return True
            self._threads += 1
        thread = threading.Thread(target=self._serve, name=self._name, daemon=True)
        try:
            thread.start()
        except RuntimeError:
            with self._lock:
                self._threads -= 1
                if self._threads:
                    return True
                self._unfinished -= 1
            return False
        return True

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            _do(work)
            del work  # what is idle must not keep anybody's objects
            with self._lock:
                self._unfinished -= 1
        with self._lock:
            self._threads -= 1
            if self._threads:
                return
        self.on_loop(self._all_ended.set)


def _do(work: Work) -> None:
    try:
        work()
    except BaseException:  # a thread that ended here would leave the rest undone
        _logger.exception("what was given to a thread failed: %r", work)


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    try:
        _tell(future, result, error)
    except BaseException as trouble:  # whoever waits must be told something
        _logger.exception("what a thread has done could not be told")
        if not future.done():
            future.set_exception(RuntimeError(f"it could not be told: {trouble!r}"))


def _tell(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    elif isinstance(error, Exception) and not isinstance(error, StopIteration):
        future.set_exception(error)
    else:
        wrapped = RuntimeError(f"{error!r} was raised on a thread")
        wrapped.__cause__ = error
        future.set_exception(wrapped)
