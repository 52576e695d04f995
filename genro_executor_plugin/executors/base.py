# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A pool: what every kind of pool does alike, in front of the engine that runs its calls.

::

    submit(func, ...)                        the plugin's adapter comes in at ``run``
      └─ run ── _traced ── _counted
           1  admission                      admission.py: take a place, or be refused
           2  engine.pack(call)              portable/packing.py: what cannot travel ends here
              wait                           until there is a place, if there was none
           3  engine.run(call, packed)       engines/process/engine.py, thread.py, inline.py, ...
           4  counters                       counting.py: how it ended, how long it took

An engine is written against the contract in ``engines/base.py``.
"""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from threading import get_ident
from typing import Any, ParamSpec, TypeVar, Unpack, overload

from ..engines.base import Aside
from ..engines.call import Call, Message
from ..errors import ExecutorError
from ..metrics import tracing
from ..options.call import CallOptions
from ..options.capabilities import Capability
from ..options.keywords import CallKeywords
from ..portable.references import describe
from ..portable.shared_memory.segments import is_large_call
from .admission import Admission
from .bound import BoundExecutor
from .calling import DEFAULT_CALL, Calling
from .counting import count_error, tell_of_times
from .nested import Elsewhere, run_here, stream_here
from .steering import SteeredPool
from .streams import CallStream
from .turns import Turn

__all__ = ["BaseExecutor", "BoundExecutor", "Call", "Message"]

T = TypeVar("T")
P = ParamSpec("P")


class BaseExecutor(SteeredPool, Calling):
    """A named pool. It belongs to one event loop at a time; calls of other loops run there.

    Also a decorator: ``await f(...)`` on a decorated ``f`` runs it in the pool.
    """

    # -- calls --------------------------------------------------------------------------------

    @overload
    def submit(
        self, func: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...
    @overload
    def submit(
        self, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]: ...
    def submit(
        self, func: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Coroutine[Any, Any, Any]:
        """Run ``func(*args, **kwargs)`` in this pool and return what it returns.

        A coroutine function is awaited where it runs. Cancelling the caller takes a waiting
        call out of the queue; what happens to a running one is the pool's ``on_cancel``.

        Raises:
            ExecutorOverloadError: the queue is full; nothing was started.
            ExecutorTimeoutError: the run took longer than ``timeout`` seconds.
            WorkerCrashedError: the worker died during the call; the call may have had effects.
            SerializationError: the function, an argument or the result cannot travel.
            ExecutorClosedError: the pool is shut down.
            Exception: whatever ``func`` raises, with the remote traceback as its cause.
        """
        return self.run(Call(func, args, kwargs, DEFAULT_CALL))

    def options(self, **options: Unpack[CallKeywords]) -> BoundExecutor:
        """This pool with other options for the calls made through what is returned.

        Args:
            options: ``timeout``, ``soft_timeout``, ``queue_timeout``, ``on_overload``,
                ``max_waiting``, ``retries``, ``idle``, ``send_timeout``, ``key``, ``key_serial``.

        Raises:
            ExecutorConfigError: naming the option, the value and what is allowed.
        """
        return BoundExecutor(self, self.check_call(f"pool {self._name!r}", options))

    async def run_stream(self, call: Call) -> AsyncGenerator[Any, None]:
        """Run ``call`` as ``stream`` does."""
        here = self._nested or get_ident() in self._engine.own_threads
        if here or not self.home.is_here():
            there = self.home.stream
            async for value in stream_here(call) if here else there(lambda: self.run_stream(call)):
                yield value
            return
        self._need(Capability.STREAMS, "stream")
        stream = self.open_stream(call)
        try:
            if await stream.head() is None:
                raise TypeError(
                    f"{describe(call.func)} returned {describe(type(stream.result()))}, which is "
                    "no stream; use submit() for it"
                )
            async for value in stream:
                yield value
        finally:
            await stream.aclose()

    def open_stream(self, call: Call) -> CallStream:
        """Start ``call`` as one that may answer in chunks."""
        return CallStream(self, call)

    def __reduce__(self) -> tuple[Any, ...]:
        """What refers to a pool can travel by value: in a worker, calls run where they are."""
        return _sent, (self._name,)

    def run(self, call: Call) -> Coroutine[Any, Any, Any]:
        """Run ``call``: serialize, be admitted, run, count. See ``submit`` for what it raises."""
        if self._nested:
            return run_here(call)
        if (own := self._engine.own_threads) and get_ident() in own:
            return self._engine.run_inside(call)
        return self._traced(call) if tracing.MODULE in sys.modules else self._counted(call)

    async def _traced(self, call: Call) -> Any:
        """Run ``call`` in a span of its own."""
        call.traced = True
        function = describe(call.func)
        attributes = {"executor.pool": self._name, "executor.mode": self.mode}
        attributes["executor.function"] = function
        if call.options.route is not None:
            attributes["executor.route"] = call.options.route
        with tracing.call_span(f"executor {call.options.route or function}", attributes) as span:
            try:
                return await self._counted(call)
            finally:
                if call.waited is not None:
                    span.set_attribute("executor.queue_wait_seconds", call.waited)
                    span.set_attribute("executor.run_seconds", call.ran)
                    self._meters = self._meters or self._measured()
                    if self._meters is not None:
                        self._meters.ran(self._name, call.options.path, call.waited, call.ran)

    async def _counted(self, call: Call) -> Any:
        # Asking for the running loop costs a system call (getpid) on Python 3.11.
        call.loop = loop = asyncio.get_running_loop()
        if self.home.loop is not loop and not self.home.is_here():
            return await self.home.run(lambda: self._counted(call))
        counters, admission, engine = self._metrics, self._admission, self._engine
        counters.submitted += 1
        turn = admission if call.options.key is None else admission.of_key(call)
        try:
            admitted = turn.admit(call)
            if not admitted and is_large_call(call.args, call.kwargs):
                # What waits must not hold memory and a descriptor each.
                await turn.wait(call)
                admitted = True
            # Packed before it waits: what cannot travel is told at once.
            try:
                packed = engine.pack(call)
                if type(packed) is Aside:
                    if packed is Aside.WHEN_ADMITTED and not admitted:
                        await turn.wait(call)
                        admitted = True
                    packed = await engine.pack_aside(call)
            except BaseException as error:
                if admitted:
                    turn.leave()
                if isinstance(error, ExecutorError) or not isinstance(error, Exception):
                    raise
                raise self._engine_failed(call, error) from error
            if not admitted:
                await self._wait_for_a_place(turn, call, packed)
            call.begun = True  # unless its engine says that it was not
            try:
                result = await engine.run(call, packed)
            except ExecutorError:
                raise
            except asyncio.CancelledError as error:
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    raise
                # Nobody has cancelled the caller: the engine has cancelled what it waited for.
                if admission.closed:
                    raise self.closed_error() from error
                raise self._engine_failed(call, error) from error
            except Exception as error:
                if not call.raised:
                    raise self._engine_failed(call, error) from error
                raise
            finally:
                turn.leave()
                if call.ran is not None:
                    try:
                        counters.ran(call.options.path, call.waited, call.ran)
                    except TypeError:
                        tell_of_times(self._name, call.waited, call.ran)
        except ExecutorError as error:
            count_error(self._name, counters, call, error)
            if error.pool is None:
                error.pool = self._name
            if error.route is None:
                error.route = call.options.route
            raise
        except asyncio.CancelledError:
            counters.count(call.options.path, "cancelled")
            raise
        except BaseException as error:
            call.raised = True
            count_error(self._name, counters, call, error)
            raise
        path = call.options.path
        (counters.routes.get(path) or counters.route(path)).completed += 1
        return result

    @asynccontextmanager
    async def thread_beside(self, options: CallOptions) -> AsyncIterator[None]:
        """Allow one thread more that waits for a call of this pool, or wait until it is.

        There is one for each place in the pool; others wait, or are refused, as calls are.

        Raises:
            ExecutorOverloadError: too many wait already, or it would have waited too long.
        """
        call, threads = Call(self.run, (), {}, options), self._on_threads
        turn = threads if options.key is None else threads.of_key(call)
        try:
            if not turn.admit(call):
                await turn.wait(call)
        except ExecutorError as error:
            self._metrics.submitted += 1
            count_error(self._name, self._metrics, call, error)
            error.route = error.route or options.route
            raise
        try:
            yield
        finally:
            turn.leave()

    async def _wait_for_a_place(self, turn: Admission | Turn, call: Call, packed: Any) -> None:
        try:
            await turn.wait(call)
        except BaseException:
            self.ask_engine("discard", None, packed)
            raise

    def _engine_failed(self, call: Call, error: BaseException) -> ExecutorError:
        fault = traceback.format_exception_only(error)[-1].strip()  # also if its text fails
        return ExecutorError(
            f"the engine of pool {self._name!r}, a {self.kind} pool, failed while it ran "
            f"{describe(call.func)}: {fault}. It has to raise an ExecutorError, or set "
            "call.raised where the function itself has raised",
            pool=self._name,
        )

    def commit(self, call: Call) -> None:
        """Do not repeat the run of ``call`` from now on: something of it has been seen already."""
        self._engine.commit(call)

    def tell(self, call: Call, channel: str, value: Any) -> bool:
        """Give the running ``call`` a message; ``False`` if it does not run (any more)."""
        return self._engine.tell(call, channel, value)


def _sent(name: str) -> BaseExecutor:
    return BaseExecutor(name, engine=Elsewhere)
