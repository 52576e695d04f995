# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The event loop of a thread pool: one for all of its coroutines, as long as the pool lives.

What belongs to an event loop (an HTTP client, a lock, a task that goes on behind the answer) is
therefore the same for every call. It is on a thread of its own, and never the server's loop:
a coroutine that blocks holds up the coroutines of its own pool, and nothing else.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from time import monotonic
from typing import Any, TypeVarTuple, Unpack

from ..options.pool import PoolOptions
from ..worker.coroutines import CoroutineThread
from .thread_run import ThreadRun

__all__ = ["PoolLoop", "raisable"]

_logger = logging.getLogger("genro_executor_plugin")

_CANCELLED_SECONDS = 0.5
"""How long a coroutine that is cancelled at the pool's end has for it, at least."""

Arguments = TypeVarTuple("Arguments")

Done = Callable[[ThreadRun, Any, BaseException | None], None]


class _WakingLoop(asyncio.SelectorEventLoop):
    """Turns as well for what another thread puts on it as if it were its own.

    A coroutine of the pool that waits for a lock which a handler on the server's loop lets go of is
    woken by that one's thread: ``set_result`` of its future calls ``call_soon``, which wakes no
    other thread. The coroutine would wait until something else happens on this loop.
    """

    _thread: int | None = None

    def run_forever(self) -> None:
        """Run until it is stopped."""
        self._thread = threading.get_ident()
        super().run_forever()

    def call_soon(
        self,
        callback: Callable[[Unpack[Arguments]], object],
        *args: *Arguments,
        context: contextvars.Context | None = None,
    ) -> asyncio.Handle:
        """Have ``callback`` called in the next turn, which begins at once."""
        if self._thread == threading.get_ident() or self._thread is None:
            return super().call_soon(callback, *args, context=context)
        return self.call_soon_threadsafe(callback, *args, context=context)


class PoolLoop:
    """The coroutines of one thread pool, on an event loop of their own."""

    def __init__(
        self,
        pool: str,
        options: PoolOptions,
        done: Done,
        server_loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Start the thread.

        Args:
            pool: the pool's name.
            options: the pool's options; its initializer and finalizer run on this loop, too.
            done: called on the loop's thread with each run, its result and its error.
            server_loop: the event loop that ``close`` is called on.

        Raises:
            RuntimeError: the system has no thread.
        """
        self._pool = pool
        self._options = options
        self._done = done
        self._running: set[ThreadRun] = set()
        self._server_loop = server_loop
        self._ended_thread = asyncio.Event()
        self._thread = self._new_thread()
        self._initialized = options.initializer is None
        self._nested = asyncio.Semaphore(options.max_workers)

    def start(self, run: ThreadRun) -> None:
        """Begin ``run``, whose body is a coroutine function, in the context of its caller."""
        self._running.add(run)
        self._thread.start(self._run(run), 0.0, lambda task: self._ended(run, task), run.context)

    def _new_thread(self) -> CoroutineThread:
        name = f"genro-executor-{self._pool}-loop"
        return CoroutineThread(self._is_broken, name, self._thread_has_ended, _WakingLoop)

    def _thread_has_ended(self) -> None:
        with suppress(RuntimeError):  # the server's loop is closed: nobody waits for it
            self._server_loop.call_soon_threadsafe(self._ended_thread.set)

    def _is_broken(self, error: BaseException) -> None:
        """Fail every run: a coroutine has closed the loop. Those that come have another one."""
        self._thread = self._new_thread()
        broken, self._running = self._running, set()
        for run in broken:
            failure = RuntimeError(
                f"a coroutine in pool {self._pool!r} has closed the event loop of all of them, "
                "or the loop's descriptors"
            )
            failure.__cause__ = error
            run.task = None
            self._done(run, None, failure)

    async def _run(self, run: ThreadRun) -> Any:
        run.task, run.thread = asyncio.current_task(), threading.get_ident()
        if run.abandoned:
            raise asyncio.CancelledError
        if not self._initialized:
            assert self._options.initializer is not None
            await _awaited(self._options.initializer, *self._options.initargs)
            self._initialized = True
        return await run.body()

    def _ended(self, run: ThreadRun, task: asyncio.Task[Any]) -> None:
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        run.task = None
        self._running.discard(run)
        self._done(run, None if error is not None else task.result(), error)

    def result_of(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """What ``coroutine`` returns; the calling thread of the pool waits for it."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._thread.loop).result()

    @property
    def thread_ident(self) -> int:
        """The identity of the thread that the loop runs on."""
        return self._thread.ident

    async def off_the_loop(self, func: Callable[[], Any]) -> Any:
        """What ``func`` returns, run on a thread made for it, with the context of the caller.

        At most ``max_workers`` of them run at a time.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def work() -> None:
            result, error = None, None
            try:
                result = context.run(func)
            except BaseException as raised:
                error = raised
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                loop.call_soon_threadsafe(_settle, future, result, error)
            result = error = None  # or this frame and the error would hold each other

        async with self._nested:
            # A daemon: a function that never ends must not keep the server from ending.
            threading.Thread(
                target=work, name=f"genro-executor-{self._pool}-nested", daemon=True
            ).start()
            return await future

    def stop(self) -> None:
        """End the loop as soon as what holds it up has ended; nobody waits for that."""
        self._thread.stop()

    async def close(self) -> None:
        """Run the finalizer and end the loop; nothing may be running on it.

        Both are users' code, which may never end. What has not ended after ``shutdown_timeout`` is
        cancelled, and left behind if that does not end it either.
        """
        deadline = monotonic() + self._options.shutdown_timeout
        if self._initialized and self._options.finalizer is not None:
            await self._finalize(self._options.finalizer)
        if not self._thread.stop():
            return
        try:
            left = max(deadline - monotonic(), _CANCELLED_SECONDS)
            await asyncio.wait_for(self._ended_thread.wait(), left)
        except TimeoutError:
            _logger.warning(
                "pool %r: what its coroutines have left has not ended after %g s, its "
                "shutdown_timeout; the thread of its event loop is left behind",
                *(self._pool, self._options.shutdown_timeout),
            )

    async def _finalize(self, finalizer: Callable[..., Any]) -> None:
        finalizing = asyncio.run_coroutine_threadsafe(_awaited(finalizer), self._thread.loop)
        try:
            await asyncio.wait_for(asyncio.wrap_future(finalizing), self._options.shutdown_timeout)
        except TimeoutError:
            _logger.warning(
                "pool %r: its finalizer has not ended after %g s, its shutdown_timeout; it was "
                "cancelled",
                *(self._pool, self._options.shutdown_timeout),
            )
        except Exception:
            _logger.exception("pool %r: its finalizer failed", self._pool)


async def _awaited(hook: Callable[..., Any], *arguments: Any) -> None:
    outcome = hook(*arguments)
    if inspect.isawaitable(outcome):
        await outcome


def _settle(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(raisable(error))


def raisable(error: BaseException) -> BaseException:
    """``error`` as something a future takes and an event loop survives."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    raised = RuntimeError(f"the function raised {error!r}, which cannot leave its thread")
    raised.__cause__ = error
    return raised
