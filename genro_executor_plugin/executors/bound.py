# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A pool with other options: what ``BaseExecutor.options`` returns, and the decorator."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any, ParamSpec, Protocol

from ..engines.call import Call
from ..errors import ExecutorConfigError
from ..options.call import CALL_OPTIONS, CallOptions

__all__ = ["BoundExecutor"]

P = ParamSpec("P")


class _Pool(Protocol):
    @property
    def name(self) -> str: ...

    def run(self, call: Call) -> Coroutine[Any, Any, Any]: ...

    def run_stream(self, call: Call) -> AsyncGenerator[Any, None]: ...

    def check_call(self, where: str, options: dict[str, Any]) -> CallOptions: ...


class BoundExecutor:
    """A pool with the options of its calls."""

    def __init__(self, executor: _Pool, options: CallOptions) -> None:
        self._executor = executor
        self._options = options

    def __repr__(self) -> str:
        given = {name: getattr(self._options, name) for name in CALL_OPTIONS}
        shown = ", ".join(f"{name}={value!r}" for name, value in given.items() if value is not None)
        return f"<{self._executor!r} options({shown})>"

    async def submit(self, func: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """As ``BaseExecutor.submit``, with these options."""
        return await self._executor.run(Call(func, args, kwargs, self._options))

    def stream(
        self, func: Callable[..., Any], /, *args: Any, **kwargs: Any
    ) -> AsyncGenerator[Any, None]:
        """As ``BaseExecutor.stream``, with these options."""
        return self._executor.run_stream(Call(func, args, kwargs, self._options))

    def options(self, **options: Any) -> BoundExecutor:
        """These options with some of them changed."""
        checked = self._executor.check_call(f"pool {self._executor.name!r}", options)
        changes = {name: getattr(checked, name) for name in options}
        return BoundExecutor(self._executor, replace(self._options, **changes))

    def __call__(self, func: Callable[P, Any]) -> Callable[P, Awaitable[Any]]:
        """Decorate ``func``: calling the result runs ``func`` in the pool with these options."""
        if not callable(func):
            raise ExecutorConfigError(
                f"pool {self._executor.name!r} decorates functions, not {func!r}; "
                "for one call use submit(func, ...)",
                pool=self._executor.name,
            )

        @functools.wraps(func)
        async def offloaded(*args: P.args, **kwargs: P.kwargs) -> Any:
            return await self.submit(func, *args, **kwargs)

        return offloaded
