# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Threads of the server's process: blocking work that waits more than it computes.

::

    event loop                                        a thread of the pool
    ----------                                        --------------------
    run(call)  -> _Run, into the queue
    _start_next   as long as a thread is free  ---->  _serve: takes it, runs it in the caller's
                                                      context, then ``route_cleanup``
    message       <-- call_soon_threadsafe  --------  RunningCall.send
    _finished     <-- call_soon_threadsafe  --------  the result, or what was raised
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
import os
import queue
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from time import perf_counter
from typing import Any

from ..errors import ExecutorError, ExecutorTimeoutError
from ..metrics.worker_state import WorkerState
from ..options.capabilities import Capability
from ..options.pool import PoolOptions
from ..portable.hooks import run_hook
from ..portable.references import describe
from ..worker.forks import end_child
from ..worker.running import RunningCall, enter
from ..worker.streaming import streamed
from .base import Engine, Load, Pool
from .call import Call

__all__ = ["ThreadEngine"]

_logger = logging.getLogger("genro_executor_plugin")


class _Run:
    """One call on its way through a thread: when it began, and how it ended."""

    __slots__ = (
        "began",
        "call",
        "context",
        "func",
        "future",
        "loop",
        "queued_at",
        "raised",
        "running",
        "started_at",
    )

    def __init__(
        self,
        pool: Pool,
        call: Call,
        func: Callable[[], Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.call = call
        self.func = func
        self.loop = loop
        self.context = contextvars.copy_context()
        self.future: asyncio.Future[Any] = loop.create_future()
        self.began: asyncio.Future[None] = loop.create_future()
        self.queued_at = perf_counter()
        self.raised = False
        self.started_at: float | None = None
        self.running = RunningCall(0, _Messages(pool, call, self.future))
        self.context.run(enter, self.running)


class _Messages:
    """How a call on a thread sends; what it is told is delivered to it at once."""

    def __init__(self, pool: Pool, call: Call, future: asyncio.Future[Any]) -> None:
        self._pool = pool
        self._call = call
        self._future = future

    def send(self, number: int, channel: str, value: Any) -> None:
        if self._future.done():
            return
        with suppress(RuntimeError):  # the event loop is closed: nobody listens any more
            self._future.get_loop().call_soon_threadsafe(
                self._pool.message, self._call, os.getpid(), channel, value
            )

    def read(self, timeout: float | None) -> bool:
        return False


class ThreadEngine(Engine):
    """Runs calls on threads of its own: nothing else waits because these are busy."""

    name = "thread"
    capabilities = frozenset(
        {
            Capability.ABANDONS,
            Capability.CONTEXT,
            Capability.INITIALIZES,
            Capability.PAUSES,
            Capability.RESIZES,
            Capability.STREAMS,
        }
    )
    default_workers = 40

    def __init__(self, pool: Pool, options: PoolOptions) -> None:
        super().__init__(pool, options)
        self._threads: list[threading.Thread] = []
        self._runs: queue.SimpleQueue[_Run | None] = queue.SimpleQueue()
        self._taken = 0
        self._loop: asyncio.AbstractEventLoop
        self._waiting: deque[_Run] = deque()
        self._begun: set[_Run] = set()

    @property
    def mode(self) -> str:
        return "bypass" if self.options.effective_bypass else ""

    async def run(self, call: Call, packed: Any) -> Any:
        self._loop = asyncio.get_running_loop()
        run = call.handle = _Run(self.pool, call, self._body(call, packed), self._loop)
        self._waiting.append(run)
        self._start_next()
        try:
            await self._until_begun(run, call)
            return await self._result(run, call)
        finally:
            call.raised = run.raised
            call.begun = run.started_at is not None
            call.handle = None  # or the two would wait for the garbage collector
            if run.started_at is None:
                self._waiting.remove(run)
            else:
                call.waited = run.started_at - run.queued_at
                call.ran = perf_counter() - run.started_at

    def tell(self, call: Call, channel: str, value: Any) -> bool:
        run = call.handle
        if not isinstance(run, _Run) or run not in self._begun:
            return False
        run.running.deliver(channel, value)
        return True

    def _body(self, call: Call, packed: Any) -> Callable[[], Any]:
        """What the thread runs."""
        func = streamed(call.func, self._through(call)) if call.streams else call.func

        def body() -> Any:
            if inspect.iscoroutinefunction(func):
                return asyncio.run(func(*call.args, **call.kwargs))
            try:
                result = func(*call.args, **call.kwargs)
                return asyncio.run(result) if inspect.iscoroutine(result) else result
            finally:
                if call.cleanup is not None:
                    call.cleanup.route_cleanup()

        return body

    def _through(self, call: Call) -> Callable[[Any], Any] | None:
        """What the chunks of a stream go through on their way."""
        return None

    async def _until_begun(self, run: _Run, call: Call) -> None:
        if run.started_at is not None:
            return
        try:
            async with asyncio.timeout_at(call.deadline):
                await run.began
        except TimeoutError:
            if run.started_at is None:
                raise self.pool.waited_too_long(call) from None

    async def _result(self, run: _Run, call: Call) -> Any:
        limit = call.options.timeout or self.options.timeout
        if limit is None:
            return await run.future
        assert run.started_at is not None
        done, _ = await asyncio.wait([run.future], timeout=run.started_at + limit - perf_counter())
        if done:
            return run.future.result()
        raise ExecutorTimeoutError(
            f"{describe(call.func)} ran longer than {limit:g} s in pool {self.pool.name!r}; it "
            "goes on in its thread, and its place stays taken until it is done",
            pool=self.pool.name,
            timeout=limit,
        )

    def _start_next(self) -> None:
        while self._waiting and self._taken < self.options.max_workers and not self.pool.paused:
            if len(self._threads) <= self._taken and not self._add_thread():
                return
            run = self._waiting.popleft()
            self._taken += 1
            self._begun.add(run)
            run.started_at = perf_counter()
            if not run.began.done():
                run.began.set_result(None)
            self._runs.put(run)

    def _add_thread(self) -> bool:
        """Have one thread more; ``False`` if the system has none for us."""
        try:
            self._threads.append(self._new_thread())
        except RuntimeError as error:
            if not self._threads and not self._waiting[0].began.done():  # nobody else would end it
                refusal = ExecutorError(f"pool {self.pool.name!r} cannot start a thread: {error}")
                refusal.__cause__ = error
                self._waiting[0].began.set_exception(refusal)
            return False
        return True

    def _new_thread(self) -> threading.Thread:
        thread = threading.Thread(
            target=self._serve,
            args=(self._runs,),
            name=f"genro-executor-{self.pool.name}-{len(self._threads)}",
            daemon=True,  # a call that never ends must not keep the server from ending
        )
        thread.start()
        return thread

    def _serve(self, runs: queue.SimpleQueue[_Run | None]) -> None:
        pid = os.getpid()
        initialized = self.options.initializer is None
        while (run := runs.get()) is not None:
            result, error = None, None
            try:
                if not initialized:
                    assert self.options.initializer is not None
                    run_hook(self.options.initializer, self.options.initargs)
                    initialized = True
                result = run.context.run(run.func)
            except BaseException as raised:
                error = raised
            if os.getpid() != pid:
                end_child(error)
            self._tell(run, result, error)
            del run, result, error  # what is idle must not keep anybody's objects
        if initialized and self.options.finalizer is not None:
            try:
                run_hook(self.options.finalizer)
            except Exception:
                _logger.exception("pool %r: its finalizer failed", self.pool.name)

    def _tell(self, run: _Run, result: Any, error: BaseException | None) -> None:
        """Report the end of ``run`` on its event loop, or on the one that is used by now."""
        for loop in (run.loop, self._loop):
            try:
                loop.call_soon_threadsafe(self._finished, run, result, error)
            except RuntimeError:
                continue  # closed: nobody waits there any more
            return
        self._taken -= 1
        self._begun.discard(run)

    def _finished(self, run: _Run, result: Any, error: BaseException | None) -> None:
        self._taken -= 1
        self._begun.discard(run)
        if not run.future.done():
            run.raised = error is not None
            if error is None:
                run.future.set_result(result)
            else:
                run.future.set_exception(_raisable(error))
                run.future.exception()  # an abandoned run has nobody to retrieve it
        self._start_next()

    async def close(self) -> None:
        for run in (*self._waiting, *self._begun):
            if not run.began.done():
                run.began.set_exception(self.pool.closed_error())
            elif not run.future.done():
                run.future.set_exception(self.pool.closed_error())
        threads, self._threads = self._threads, []
        for _ in threads:
            self._runs.put(None)
        for thread in () if self._begun else threads:
            thread.join()

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
        return Load(self._taken, self._taken, len(self._threads))


def _raisable(error: BaseException) -> BaseException:
    """``error`` as something a future takes and an event loop survives."""
    if isinstance(error, Exception) and not isinstance(error, StopIteration):
        return error
    raised = RuntimeError(f"the function raised {error!r}, which cannot leave its thread")
    raised.__cause__ = error
    return raised
