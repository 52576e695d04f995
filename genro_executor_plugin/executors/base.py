# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The contract of every kind of pool, and what all kinds do alike: admission and metrics."""

from __future__ import annotations

import asyncio
import logging
import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from typing import Any, ClassVar, ParamSpec, TypeVar

from ..errors import (
    ExecutorClosedError,
    ExecutorConfigError,
    ExecutorError,
    ExecutorOverloadError,
)
from ..metrics import tracing
from ..metrics.counters import PoolMetrics, percentiles_ms
from ..metrics.worker_state import WorkerState
from ..options.capabilities import Capability
from ..options.pool import (
    CALL_OPTIONS,
    CallOptions,
    PoolOptions,
    check_option,
)
from ..portable.modules import inside_worker
from ..portable.references import describe
from .admission import Door
from .bound import BoundExecutor
from .call import Call, Message
from .counting import count_error
from .nested import run_here, stream_here
from .streams import CallStream

__all__ = ["BaseExecutor", "BoundExecutor", "Call", "Message"]

_logger = logging.getLogger("genro_executor_plugin")

T = TypeVar("T")
P = ParamSpec("P")


_DEFAULT_CALL = CallOptions()


class BaseExecutor(ABC):
    """A named pool. One instance belongs to one event loop at a time.

    Also a decorator: ``await f(...)`` on a decorated ``f`` runs it in the pool.
    """

    kind: ClassVar[str]
    capabilities: ClassVar[frozenset[Capability]] = frozenset()

    def __init__(self, name: str, options: PoolOptions) -> None:
        self._name = name
        self._options = options
        self._metrics = PoolMetrics()
        self._door = Door(options.max_pending)
        # In a worker (its module declares a pool, say): pools do not nest.
        self._nested = inside_worker()
        self._paused = False
        self._hurry = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None
        self._listeners: dict[str, Callable[[Message], None]] = {}

    # -- the contract -------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The pool's name."""
        return self._name

    @property
    def pool_options(self) -> PoolOptions:
        """The options in force, complete and checked."""
        return self._options

    @property
    def mode(self) -> str:
        """How calls run: ``process``, ``thread``, ``inline`` or ``bypass``."""
        return self.kind

    def submit(
        self, func: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> Coroutine[Any, Any, Any]:
        """Run ``func(*args, **kwargs)`` in this pool and return what it returns.

        A coroutine function is awaited where it runs. Cancelling the caller takes a waiting
        call out of the line; what happens to a running one is the pool's ``on_cancel``.

        Raises:
            ExecutorOverloadError: the waiting line is full; nothing was started.
            ExecutorTimeoutError: the run took longer than ``timeout`` seconds.
            WorkerCrashedError: the worker died during the call; the call may have had effects.
            SerializationError: the function, an argument or the result cannot travel.
            ExecutorClosedError: the pool is shut down.
            Exception: whatever ``func`` raises, with the remote traceback as its cause.
        """
        return self.run(Call(func, args, kwargs, _DEFAULT_CALL))

    def options(self, **options: Any) -> BoundExecutor:
        """This pool with other options for the calls made through what is returned.

        Args:
            options: ``timeout``, ``soft_timeout``, ``queue_timeout``, ``on_overload``, ``retries``.

        Raises:
            ExecutorConfigError: naming the option, the value and what is allowed.
        """
        return BoundExecutor(self, self.check_call(f"pool {self._name!r}", options))

    def check_call(
        self, where: str, options: dict[str, Any], route: str | None = None, path: str = ""
    ) -> CallOptions:
        """``options`` of a call (from ``route``), checked against what this kind of pool can keep.

        Raises:
            ExecutorConfigError: naming ``where``, the option, the value and what is allowed.
        """
        checked: dict[str, Any] = {}
        for option, value in options.items():
            if option not in CALL_OPTIONS:
                raise ExecutorConfigError(
                    f"{where}: unknown option {option!r}; a call takes {', '.join(CALL_OPTIONS)}",
                    pool=self._name,
                )
            checked[option] = None if value is None else check_option(where, option, value)
        self._check_promises(where, checked)
        return CallOptions(**checked, route=route, path=path)

    async def map(
        self, func: Callable[..., T], /, *iterables: Iterable[Any], ahead: int | None = None
    ) -> AsyncIterator[T]:
        """Run ``func`` over the items of ``iterables`` and yield the results in their order.

        At most ``ahead`` calls are under way or done and not yet taken; the default is twice
        ``max_workers``. Ending the iteration early cancels what is under way.
        """
        limit = ahead if ahead is not None else 2 * self._options.max_workers
        tasks: deque[asyncio.Task[T]] = deque()
        arguments = zip(*iterables, strict=False)
        try:
            for items in arguments:
                tasks.append(asyncio.ensure_future(self.submit(func, *items)))
                if len(tasks) >= limit:
                    yield await tasks[0]
                    tasks.popleft()
            while tasks:
                yield await tasks[0]
                tasks.popleft()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def stream(
        self, func: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> AsyncGenerator[Any, None]:
        """Run ``func``, a generator function of either sort, and yield what it yields.

        It is ahead of the caller by a bounded number of chunks only. Ending the iteration
        (``aclose``, or leaving ``contextlib.aclosing``) closes the generator where it runs.

        Raises:
            ExecutorTimeoutError: the run took longer than ``timeout`` seconds in all, or sent
                nothing for ``idle`` seconds.
            TypeError: ``func`` returned something that is no stream.
            Exception: as ``submit``; what ``func`` raises comes behind what it had yielded.
        """
        return self.run_stream(Call(func, args, kwargs, _DEFAULT_CALL))

    async def run_stream(self, call: Call) -> AsyncGenerator[Any, None]:
        """Run ``call`` as ``stream`` does."""
        if self._nested:
            async for value in stream_here(call):
                yield value
            return
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
        return _as_in_a_worker, (self._name,)

    def __call__(self, func: Callable[P, Any]) -> Callable[P, Awaitable[Any]]:
        """Decorate ``func``: calling the result runs ``func`` in this pool."""
        return BoundExecutor(self, _DEFAULT_CALL)(func)

    async def shutdown(self) -> None:
        """Refuse new calls, finish the admitted ones, and end the workers.

        Calls that are not done after ``shutdown_timeout`` seconds are ended with
        ``ExecutorClosedError``. Calling it again is harmless.
        """
        ending = self._start_ending()
        if not ending.done():
            await asyncio.shield(ending)

    def hurry(self) -> None:
        """Shut down without waiting for calls, also when a shutdown waits for them already.

        It returns at once; ``shutdown`` waits until everything has ended.
        """
        self._hurry.set()
        self._start_ending()

    def _start_ending(self) -> asyncio.Task[None]:
        self._door.close(self._closed_error)
        if self._ending is None:
            self._ending = asyncio.create_task(self._end_all())
        return self._ending

    async def _end_all(self) -> None:
        try:
            await self._let_calls_finish()
        finally:
            await self._end()  # also when nobody has the patience to wait any longer

    async def _let_calls_finish(self) -> None:
        if self._door.inside and not self._hurry.is_set():
            waits = [asyncio.create_task(wait()) for wait in (self._door.empty, self._hurry.wait)]
            await asyncio.wait(
                waits, timeout=self._options.shutdown_timeout, return_when="FIRST_COMPLETED"
            )
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)

    def listen(self, channel: str, listener: Callable[[Message], None]) -> None:
        """Have ``listener`` called, on the event loop, with every message of ``channel``.

        A channel has one listener; its messages do not reach ``on_message`` of their call.
        """
        self._listeners[channel] = listener

    def commit(self, call: Call) -> None:
        """Something of what ``call`` does has been seen already: its run is not repeated."""
        return

    def tell(self, call: Call, channel: str, value: Any) -> bool:
        """Give the running ``call`` a message; ``False`` if it does not run (any more)."""
        return False

    def _message(self, call: Call | None, pid: int | None, channel: str, value: Any) -> None:
        """Hand on what a run has sent."""
        listener = self._listeners.get(channel)
        try:
            if listener is not None:
                listener(Message(channel, value, self._name, pid, call))
            elif call is not None and call.on_message is not None:
                call.on_message(channel, value)
        except Exception:
            _logger.exception("pool %r: a message of channel %r was lost", self._name, channel)

    @property
    def closed(self) -> bool:
        """Whether the pool has been shut down."""
        return self._door.closed

    # -- steering -------------------------------------------------------------------------------

    def pause(self) -> None:
        """Begin no call until ``resume``: calls are admitted and wait; those that run go on."""
        if not self._paused:
            self._paused = True
            self._pausing()

    def resume(self) -> None:
        """Begin and admit calls again, after ``pause`` or ``drain``."""
        self._door.draining = False
        if self._paused:
            self._paused = False
            self._pausing()

    async def drain(self) -> None:
        """Refuse new calls with ``ExecutorOverloadError`` until ``resume``; returns when the pool
        is empty. Cancelling this leaves the pool as it is: refusing.
        """
        self._door.draining = True
        await self._door.empty()

    @property
    def paused(self) -> bool:
        """Whether the pool begins no calls."""
        return self._paused

    @property
    def draining(self) -> bool:
        """Whether the pool refuses new calls until it is resumed."""
        return self._door.draining

    @property
    def unhealthy(self) -> str | None:
        """Why the pool cannot serve calls as it should just now; ``None`` if it can."""
        if self._door.closed:
            return "it is shut down"
        if self._door.draining:
            return "it is drained and refuses calls"
        return "it is paused" if self._paused else None

    def worker_states(self) -> list[WorkerState]:
        """Every worker as it is now; empty for a kind that has none of its own."""
        return []

    @property
    def restarts(self) -> dict[str, int]:
        """How many workers ended before their time or were replaced, by reason."""
        return {}

    @property
    def counters(self) -> PoolMetrics:
        """What the pool has counted so far, to be read only."""
        return self._metrics

    @property
    def metrics(self) -> dict[str, Any]:
        """The pool's state as plain values; durations in milliseconds."""
        counters = self._metrics
        pending = counters.pending
        return {
            "name": self._name,
            "mode": self.mode,
            "pending": pending,
            "running": self._running_now(),
            "queued": max(0, pending - self._running_now()),
            "submitted": counters.submitted,
            **counters.outcomes,
            "restarts": sum(self.restarts.values()),
            "workers": self._worker_count(),
            "busy": self._busy_now(),
            "max_workers": self._options.max_workers,
            "max_pending": self._options.max_pending,
            "avg_duration_ms": round(counters.run.mean * 1000, 3),
            **percentiles_ms("wait", counters.last_waits),
            **percentiles_ms("run", counters.last_runs),
        }

    # -- what a kind provides -----------------------------------------------------------------

    @abstractmethod
    async def _execute(self, call: Call, packed: Any) -> Any:
        """Run an admitted call; record its wait and run time with ``_ran``."""

    @abstractmethod
    async def _end(self) -> None:
        """End what still runs with ``ExecutorClosedError``, and let go of everything."""

    @abstractmethod
    def _running_now(self) -> int:
        """How many calls run just now."""

    @abstractmethod
    def _worker_count(self) -> int:
        """How many workers there are."""

    def _busy_now(self) -> int:
        """How many workers are at work."""
        return self._running_now()

    def _pausing(self) -> None:
        """``paused`` has changed: begin no call from now on, or begin those that wait."""
        raise ExecutorError(f"pool {self._name!r}, a {self.kind} pool, cannot be paused")

    def _pack(self, call: Call) -> Any:
        """Make the call portable, where the kind needs it. Raises ``SerializationError``."""
        return None

    def _give_up_on(self, packed: Any) -> None:
        """Let go of what a call was packed into that is not run."""
        return

    def _check_promises(self, where: str, options: dict[str, Any]) -> None:
        """Refuse the options of a call that this kind cannot keep."""
        return

    # -- what all kinds do alike ----------------------------------------------------------------

    def run(self, call: Call) -> Coroutine[Any, Any, Any]:
        """Run ``call``: serialize, be admitted, run, count. See ``submit`` for what it raises."""
        if self._nested:
            return run_here(call)
        return self._traced(call) if tracing.is_loaded() else self._counted(call)

    async def _traced(self, call: Call) -> Any:
        """Run ``call`` in a span of its own."""
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

    async def _counted(self, call: Call) -> Any:
        counters = self._metrics
        counters.submitted += 1
        try:
            if not self._door.is_free:
                self._refuse_or_wait(call)
            # Before it is admitted: what cannot travel must not cost anyone a place.
            packed = self._pack(call)
            self._set_deadline(call)
            if self._door.is_free:
                self._door.inside += 1
            else:
                await self._wait_at_the_door(call, packed)
            try:
                result = await self._execute(call, packed)
            finally:
                self._door.leave()
        except ExecutorError as error:
            count_error(counters, call, error)
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
            count_error(counters, call, error)
            raise
        path = call.options.path
        (counters.routes.get(path) or counters.route(path)).completed += 1
        return result

    def _refuse_or_wait(self, call: Call) -> None:
        """Refuse a call that nobody lets in, and that must not wait until somebody does."""
        if self._door.closed:
            raise self._closed_error()
        if self._door.draining:
            raise self._overload(
                "is drained: it takes no new calls until it is resumed", "draining"
            )
        if (call.options.on_overload or self._options.on_overload) == "fail":
            raise self._overload(f"has {self._door.inside} calls, its max_pending", "full")

    def _set_deadline(self, call: Call) -> None:
        limit = call.options.queue_timeout or self._options.queue_timeout
        if limit is not None:
            call.deadline = asyncio.get_running_loop().time() + limit

    async def _wait_at_the_door(self, call: Call, packed: Any) -> None:
        try:
            await self._door.wait(call.deadline)
        except BaseException as error:
            self._give_up_on(packed)
            if isinstance(error, TimeoutError):
                raise self._waited_too_long(call) from None
            raise

    def _ran(self, call: Call, waited: float, ran: float) -> None:
        call.waited, call.ran = waited, ran
        self._metrics.ran(call.options.path, waited, ran)

    def _waited_too_long(self, call: Call) -> ExecutorOverloadError:
        limit = call.options.queue_timeout or self._options.queue_timeout
        return self._overload(
            f"did not begin the call within its queue_timeout of {limit:g} s", "queue_timeout"
        )

    def _overload(self, fact: str, reason: str) -> ExecutorOverloadError:
        return ExecutorOverloadError(
            f"pool {self._name!r} {fact}; try again in {self.retry_after} s",
            pool=self._name,
            retry_after=self.retry_after,
            reason=reason,
        )

    @property
    def retry_after(self) -> int:
        """Whole seconds until the line should have moved: its length times the mean run time."""
        seconds = self._metrics.pending * self._metrics.run.mean / self._options.max_workers
        return max(1, math.ceil(seconds))

    def _closed_error(self) -> ExecutorClosedError:
        return ExecutorClosedError(f"pool {self._name!r} is shut down", pool=self._name)


class _PoolInWorker(BaseExecutor):
    """What a pool is in a worker: ``run`` runs its calls on the spot."""

    kind: ClassVar[str] = "inline"

    async def _execute(self, call: Call, packed: Any) -> Any:
        raise ExecutorError(f"pool {self._name!r} was sent here; a pool stays where it was made")

    async def _end(self) -> None:
        """It has nothing to end."""

    def _running_now(self) -> int:
        return 0

    def _worker_count(self) -> int:
        return 0


def _as_in_a_worker(name: str) -> BaseExecutor:
    return _PoolInWorker(name, PoolOptions.declare(name, "inline", {}))
