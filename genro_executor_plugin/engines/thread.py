# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Threads of the server's process: blocking work that waits more than it computes.

::

    event loop                                        a thread of the pool
    ----------                                        --------------------
    run(call)  -> ThreadRun, into the queue
    _start_next   as long as a place is free  ----->  _serve: takes it, runs it in the caller's
                                                      context, then ``route_cleanup``
       or, for a coroutine  ----------------------->  _await: on the one event loop that the pool
                                                      keeps on a thread of its own
    message       <-- call_soon_threadsafe  --------  RunningCall.send
    _finished     <-- call_soon_threadsafe  --------  the result, or what was raised
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any, ClassVar

from ..metrics.worker_state import WorkerState
from ..options.capabilities import Capability
from ..options.pool import PoolOptions
from ..portable.files import discard_result
from ..portable.hooks import run_hook
from ..portable.references import describe
from ..worker.streaming import streamed
from .base import Engine, Load, Pool
from .call import Call
from .debugger import ends_within
from .stacks import end_late_run
from .thread_insight import ThreadInsight
from .thread_loop import PoolLoop, raisable
from .thread_run import ThreadRun, no_thread

__all__ = ["ThreadEngine"]

_logger = logging.getLogger("genro_executor_plugin")


class ThreadEngine(ThreadInsight, Engine):
    """Runs calls on threads of its own: nothing else waits because these are busy."""

    name = "thread"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.ABANDONS,
            Capability.CONTEXT,
            Capability.INITIALIZES,
            Capability.PAUSES,
            Capability.PROFILES,
            Capability.RESIZES,
            Capability.STREAMS,
        }
    )
    default_workers: ClassVar[int | None] = 40
    minds_debuggers = False

    def __init__(self, pool: Pool, options: PoolOptions) -> None:
        super().__init__(pool, options)
        self._threads: list[threading.Thread] = []
        self._runs: queue.SimpleQueue[ThreadRun | None] = queue.SimpleQueue()
        self._taken = 0
        self._on_threads = 0
        self._making_loop = threading.Lock()
        self._coroutines: PoolLoop | None = None
        self.own_threads: set[int] = set()
        self._loop: asyncio.AbstractEventLoop
        self._waiting: deque[ThreadRun] = deque()
        self._begun: set[ThreadRun] = set()
        self._serving = 0
        self._lock = threading.Lock()
        self._all_ended = asyncio.Event()

    @property
    def mode(self) -> str:
        return "bypass" if self.options.effective_bypass else ""

    async def run(self, call: Call, packed: Any) -> Any:
        self._loop = asyncio.get_running_loop()
        body, is_async = self._body(call)
        run = call.handle = ThreadRun(self.pool, call, body, is_async, self._loop)
        self._waiting.append(run)
        self._start_next()
        try:
            await self._until_begun(run, call)
            return await self._result(run, call)
        finally:
            run.let_go()
            call.raised = run.raised
            call.begun = run.started_at is not None
            call.ran_by = run.ran_by
            if run in self._begun and (call.kill_on_cancel or self.options.on_cancel == "kill"):
                run.end_coroutine()  # nobody waits for it any more
            call.handle = None  # or the two would wait for the garbage collector
            if run.started_at is not None:
                call.waited = run.started_at - run.queued_at
                call.ran = perf_counter() - run.started_at
            elif run in self._waiting:
                self._waiting.remove(run)

    async def run_inside(self, call: Call) -> Any:
        if self._coroutines is None or threading.get_ident() != self._coroutines.thread_ident:
            return await super().run_inside(call)
        if inspect.iscoroutinefunction(call.func):
            return await call.func(*call.args, **call.kwargs)

        def body() -> Any:
            self.own_threads.add(threading.get_ident())
            try:
                return call.func(*call.args, **call.kwargs)
            finally:
                self.own_threads.discard(threading.get_ident())

        result = await self._coroutines.off_the_loop(body)
        return await result if inspect.isawaitable(result) else result

    def tell(self, call: Call, channel: str, value: Any) -> bool:
        run = call.handle
        if not isinstance(run, ThreadRun) or run not in self._begun:
            return False
        run.running.deliver(channel, value)
        return True

    def _body(self, call: Call) -> tuple[Callable[[], Any], bool]:
        """What the thread runs, and whether that is a coroutine function."""
        through = self._through(call)
        func = streamed(call.func, through) if call.streams else call.func

        def body() -> Any:
            try:
                result = func(*call.args, **call.kwargs)
                if inspect.iscoroutine(result):
                    result = self._pool_loop().result_of(result)
            finally:
                if call.cleanup is not None:
                    call.cleanup.route_cleanup()
            return result if through is None else through(result)

        async def async_body() -> Any:
            result = await func(*call.args, **call.kwargs)
            return result if through is None else through(result)

        return (async_body, True) if inspect.iscoroutinefunction(func) else (body, False)

    def _through(self, call: Call) -> Callable[[Any], Any] | None:
        """What the result, and each chunk of a stream, goes through on its way."""
        return None

    async def _until_begun(self, run: ThreadRun, call: Call) -> None:
        if run.started_at is not None:
            return
        try:
            async with asyncio.timeout_at(call.deadline):
                await run.began
        except TimeoutError:
            if run.started_at is None:
                raise self.pool.waited_too_long(call) from None

    async def _result(self, run: ThreadRun, call: Call) -> Any:
        limit = call.options.timeout or self.options.timeout
        if limit is None:
            return await run.future
        assert run.started_at is not None
        left = run.started_at + limit - perf_counter()
        if await ends_within(run.future, left, self.minds_debuggers):
            return run.future.result()
        raise end_late_run(run, self.pool.name, limit)

    def _start_next(self) -> None:
        while self._waiting and self._taken < self.options.max_workers and not self.pool.paused:
            if not self._has_thread_for(self._waiting[0]):
                return
            run = self._waiting.popleft()
            self._taken += 1
            self._begun.add(run)
            run.started_at = perf_counter()
            if not run.began.done():
                run.began.set_result(None)
            if run.is_async:
                self._pool_loop().start(run)
            else:
                self._on_threads += 1
                self._runs.put(run)

    def _has_thread_for(self, run: ThreadRun) -> bool:
        """Whether there is a thread for ``run``, which may be made now."""
        try:
            if run.is_async:
                self._pool_loop()
            elif len(self._threads) <= self._on_threads:
                self._threads.append(self._new_thread())
        except RuntimeError as error:
            if not self._taken:  # no call will end, and have those that wait begin
                refused, self._waiting = self._waiting, deque()
                for waiting in refused:
                    waiting.refuse(no_thread(self.pool.name, error))
            return False
        return True

    def _pool_loop(self) -> PoolLoop:
        """The pool's own event loop, started now if this is its first coroutine."""
        with self._making_loop:  # a function on a thread may return the first one
            if self._coroutines is None:
                self._coroutines = PoolLoop(*(self.pool.name, self.options, self._tell, self._loop))
                self.own_threads.add(self._coroutines.thread_ident)
            return self._coroutines

    def _new_thread(self) -> threading.Thread:
        thread = threading.Thread(
            target=self._serve,
            args=(self._runs,),
            name=f"genro-executor-{self.pool.name}-{len(self._threads)}",
            daemon=True,  # a call that never ends must not keep the server from ending
        )
        with self._lock:
            self._serving += 1
        try:
            thread.start()
        except BaseException:
            with self._lock:
                self._serving -= 1
            raise
        return thread

    def _serve(self, runs: queue.SimpleQueue[ThreadRun | None]) -> None:
        initialized = self.options.initializer is None
        thread = threading.get_ident()
        self.own_threads.add(thread)
        while (run := runs.get()) is not None:
            run.thread, result, error = thread, None, None
            try:
                if not initialized:
                    assert self.options.initializer is not None
                    run_hook(self.options.initializer, self.options.initargs)
                    initialized = True
                result = run.context.run(run.body)
            except BaseException as raised:
                error = raised
            self._tell(run, result, error)
            del run, result, error  # what is idle must not keep anybody's objects
        self.own_threads.discard(thread)
        if initialized and self.options.finalizer is not None:
            try:
                run_hook(self.options.finalizer)
            except Exception:
                _logger.exception("pool %r: its finalizer failed", self.pool.name)
        with self._lock:
            self._serving -= 1
            if self._serving:
                return
        with suppress(RuntimeError):  # the event loop is closed
            self._loop.call_soon_threadsafe(self._all_ended.set)

    def _tell(self, run: ThreadRun, result: Any, error: BaseException | None) -> None:
        """Report the end of ``run`` on its event loop, or on the one that is used by now."""
        for loop in (run.loop, self._loop):
            try:
                loop.call_soon_threadsafe(self._finished, run, result, error)
            except RuntimeError:
                continue  # closed: nobody waits there any more
            return
        self._left(run)

    def _left(self, run: ThreadRun) -> None:
        self._taken -= 1
        self._on_threads -= not run.is_async
        self._begun.discard(run)

    def _finished(self, run: ThreadRun, result: Any, error: BaseException | None) -> None:
        self._left(run)
        if not run.future.done():
            run.raised = error is not None
            if error is None:
                run.future.set_result(result)
            else:
                run.future.set_exception(raisable(error))
                run.future.exception()  # an abandoned run has nobody to retrieve it
        elif error is None:
            discard_result(result)
        self._start_next()

    async def close(self) -> None:
        for run in (*self._waiting, *self._begun):
            if not run.began.done():
                run.began.set_exception(self.pool.closed_error())
            elif not run.future.done():
                run.future.set_exception(self.pool.closed_error())
                run.future.exception()  # an abandoned run has nobody to retrieve it
        threads, self._threads = self._threads, []
        for _ in threads:
            self._runs.put(None)
        if self._begun:
            for run in self._begun:
                run.end_coroutine()
            if self._coroutines is not None:
                self._coroutines.stop()
            return  # what they run goes on; nothing can end it
        ending = [] if self._coroutines is None else [self._coroutines.close()]
        if threads:
            ending.append(self._threads_end())
        await asyncio.gather(*ending)

    async def _threads_end(self) -> None:
        try:
            await asyncio.wait_for(self._all_ended.wait(), self.options.shutdown_timeout)
        except TimeoutError:
            _logger.warning(
                "pool %r: its finalizer has not ended after %g s, its shutdown_timeout; its "
                "thread is left behind",
                *(self.pool.name, self.options.shutdown_timeout),
            )

    def set_paused(self, paused: bool) -> None:
        self._start_next()

    def resize(self) -> None:
        self._start_next()

    def workers(self) -> list[WorkerState]:
        now = perf_counter()
        return [
            WorkerState(
                os.getpid(),
                "busy",
                run.call.options.route,
                describe(run.call.func),
                now - (run.started_at or now),
                running=1,
                calls=1,
            )
            for run in self._begun
        ]

    def load(self) -> Load:
        threads = len(self._threads) + (self._coroutines is not None)
        return Load(self._taken, self._taken, threads)
