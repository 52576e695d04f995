# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a pool and a pool with options do alike: they stream, map and decorate.

The signatures keep the arguments and the result of the function that is run, so that a type
checker reports a wrong argument where the call is made.
"""

from __future__ import annotations

import asyncio
import functools
from collections import deque
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
)
from typing import Any, ParamSpec, Protocol, TypeAlias, TypeVar, overload

from ..engines.call import Call
from ..errors import ExecutorConfigError
from ..options.call import CallOptions
from ..options.pool import PoolOptions

__all__ = ["DEFAULT_CALL", "Calling"]

P = ParamSpec("P")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")

T_co = TypeVar("T_co", covariant=True)


class StreamingAnswer(Protocol[T_co]):
    """A streaming response of a host, which streams its chunks."""

    @property
    def body_iterator(self) -> AsyncIterable[T_co]:
        """The chunks."""


Stream: TypeAlias = Iterator[T] | AsyncIterable[T] | StreamingAnswer[T]
"""What a function returns whose result can be taken chunk by chunk."""

DEFAULT_CALL = CallOptions()
"""The options of a call that is made as its pool says."""


class Calling:
    """The ways to call functions that are built on ``run`` and ``run_stream``."""

    _call_options: CallOptions = DEFAULT_CALL

    @property
    def name(self) -> str:
        """The pool's name."""
        raise NotImplementedError

    @property
    def pool_options(self) -> PoolOptions:
        """The options of the pool in force."""
        raise NotImplementedError

    def run(self, call: Call) -> Coroutine[Any, Any, Any]:
        """Run ``call`` and return what it returns."""
        raise NotImplementedError

    def run_stream(self, call: Call) -> AsyncGenerator[Any, None]:
        """Run ``call`` and yield what it yields."""
        raise NotImplementedError

    def stream(
        self,
        func: Callable[P, Stream[T] | Awaitable[Stream[T]]],
        /,
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> AsyncGenerator[T, None]:
        """Run ``func``, a generator function of either sort, and yield what it yields.

        It is ahead of the caller by a bounded number of chunks only. Ending the iteration
        (``aclose``, or leaving ``contextlib.aclosing``) closes the generator where it runs.

        Raises:
            ExecutorTimeoutError: the run took longer than ``timeout`` seconds in all, or sent
                nothing for ``idle`` seconds.
            TypeError: ``func`` returned something that is no stream.
            Exception: as ``submit``; what ``func`` raises comes behind what it had yielded.
        """
        return self.run_stream(Call(func, args, kwargs, self._call_options))

    @overload
    def map(
        self, func: Callable[[A], Awaitable[T]], a: Iterable[A], /, *, ahead: int | None = None
    ) -> AsyncGenerator[T, None]: ...
    @overload
    def map(
        self, func: Callable[[A], T], a: Iterable[A], /, *, ahead: int | None = None
    ) -> AsyncGenerator[T, None]: ...
    @overload
    def map(
        self,
        func: Callable[[A, B], Awaitable[T]],
        a: Iterable[A],
        b: Iterable[B],
        /,
        *,
        ahead: int | None = None,
    ) -> AsyncGenerator[T, None]: ...
    @overload
    def map(
        self,
        func: Callable[[A, B], T],
        a: Iterable[A],
        b: Iterable[B],
        /,
        *,
        ahead: int | None = None,
    ) -> AsyncGenerator[T, None]: ...
    @overload
    def map(
        self,
        func: Callable[[A, B, C], Awaitable[T]],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        *,
        ahead: int | None = None,
    ) -> AsyncGenerator[T, None]: ...
    @overload
    def map(
        self,
        func: Callable[[A, B, C], T],
        a: Iterable[A],
        b: Iterable[B],
        c: Iterable[C],
        /,
        *,
        ahead: int | None = None,
    ) -> AsyncGenerator[T, None]: ...
    @overload
    def map(
        self,
        func: Callable[..., Awaitable[T]],
        a: Iterable[Any],
        b: Iterable[Any],
        c: Iterable[Any],
        d: Iterable[Any],
        /,
        *more: Iterable[Any],
        ahead: int | None = None,
    ) -> AsyncGenerator[T, None]: ...
    @overload
    def map(
        self,
        func: Callable[..., T],
        a: Iterable[Any],
        b: Iterable[Any],
        c: Iterable[Any],
        d: Iterable[Any],
        /,
        *more: Iterable[Any],
        ahead: int | None = None,
    ) -> AsyncGenerator[T, None]: ...
    async def map(
        self, func: Callable[..., Any], /, *iterables: Iterable[Any], ahead: int | None = None
    ) -> AsyncGenerator[Any, None]:
        """Run ``func`` over the items of ``iterables`` and yield the results in their order.

        At most ``ahead`` calls are under way or done and not yet taken; the default is twice
        ``max_workers``. Ending the iteration early cancels what is under way.
        """
        limit = ahead if ahead is not None else 2 * self.pool_options.max_workers
        tasks: deque[asyncio.Task[Any]] = deque()
        arguments = zip(*iterables, strict=False)
        try:
            for items in arguments:
                call = Call(func, items, {}, self._call_options)
                tasks.append(asyncio.ensure_future(self.run(call)))
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

    @overload
    def __call__(self, func: Callable[P, Awaitable[T]]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __call__(self, func: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    def __call__(self, func: Callable[P, Any]) -> Callable[P, Coroutine[Any, Any, Any]]:
        """Decorate ``func``: calling the result runs ``func`` in the pool with these options."""
        if not callable(func):
            raise ExecutorConfigError(
                f"pool {self.name!r} decorates functions, not {func!r}; "
                "for one call use submit(func, ...)",
                pool=self.name,
            )

        @functools.wraps(func)
        async def offloaded(*args: P.args, **kwargs: P.kwargs) -> Any:
            return await self.run(Call(func, args, kwargs, self._call_options))

        return offloaded
