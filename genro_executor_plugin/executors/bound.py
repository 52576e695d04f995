# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A pool with other options: what ``BaseExecutor.options`` returns, and the decorator."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, ParamSpec, Protocol, TypeVar, Unpack, overload

from ..engines.call import Call
from ..options.call import CALL_OPTIONS, CallOptions
from ..options.keywords import CallKeywords
from ..options.pool import PoolOptions
from .calling import Calling

__all__ = ["BoundExecutor"]

P = ParamSpec("P")
T = TypeVar("T")


class _Pool(Protocol):
    @property
    def name(self) -> str: ...

    @property
    def pool_options(self) -> PoolOptions: ...

    def run(self, call: Call) -> Coroutine[Any, Any, Any]: ...

    def run_stream(self, call: Call) -> AsyncGenerator[Any, None]: ...

    def check_call(self, where: str, options: Mapping[str, Any]) -> CallOptions: ...


class BoundExecutor(Calling):
    """A pool with the options of its calls."""

    def __init__(self, executor: _Pool, options: CallOptions) -> None:
        self._executor = executor
        self._call_options = options

    def __repr__(self) -> str:
        given = {name: getattr(self._call_options, name) for name in CALL_OPTIONS}
        shown = ", ".join(f"{name}={value!r}" for name, value in given.items() if value is not None)
        return f"<{self._executor!r} options({shown})>"

    @property
    def name(self) -> str:
        """The pool's name."""
        return self._executor.name

    @property
    def pool_options(self) -> PoolOptions:
        """The options of the pool in force, those of its calls left aside."""
        return self._executor.pool_options

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
        """As ``BaseExecutor.submit``, with these options."""
        return self._executor.run(Call(func, args, kwargs, self._call_options))

    def options(self, **options: Unpack[CallKeywords]) -> BoundExecutor:
        """These options with some of them changed."""
        now = self._call_options
        # Whether they go together is a matter of all of them.
        whole = {name: getattr(now, name) for name in CALL_OPTIONS} | dict(options)
        checked = self._executor.check_call(f"pool {self.name!r}", whole)
        return BoundExecutor(self._executor, replace(checked, route=now.route, path=now.path))

    def run(self, call: Call) -> Coroutine[Any, Any, Any]:
        """Run ``call`` in the pool, with the options that it has itself."""
        return self._executor.run(call)

    def run_stream(self, call: Call) -> AsyncGenerator[Any, None]:
        """Run ``call`` in the pool as ``stream`` does, with the options that it has itself."""
        return self._executor.run_stream(call)
