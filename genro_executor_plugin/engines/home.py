# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The event loop that a pool, or the long jobs of a server, belong to.

Calls may come from other event loops: a coroutine in a pool of threads runs on one of its own, and
a function on a thread may use ``asyncio.run``. Such a call is run on the loop that its pool
belongs to. The caller's context variables go along; the result, the exception and a cancellation
come back.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import ContextVar
from typing import Any

from ..errors import ExecutorError
from ..worker.forks import when_forked

__all__ = ["HOME", "Home", "run_on"]

HOME: ContextVar[asyncio.AbstractEventLoop | None] = ContextVar("genro_executor_home", default=None)
"""The event loop from which code on a thread of a pool was called."""


class Home:
    """The event loop of one pool: that of its first call, and another one when that has ended.

    Attributes:
        loop: the event loop, ``None`` before the first call.
    """

    __slots__ = ("__weakref__", "_lock", "loop")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.loop: asyncio.AbstractEventLoop | None = None
        when_forked(self.let_go)

    def let_go(self) -> None:
        """Belong to no event loop in a forked child: none that it has a copy of runs there."""
        self._lock = threading.Lock()
        self.loop = None
        HOME.set(None)

    def is_here(self) -> bool:
        """Whether the running event loop is the one; it becomes it if there is no other."""
        here = asyncio.get_running_loop()
        if self.loop is here:
            return True
        with self._lock:
            if self.loop is None or not self.loop.is_running():
                # Code on a thread of a pool has a loop of its own, which may end at any time.
                server = HOME.get()
                self.loop = server if server is not None and server.is_running() else here
            return self.loop is here

    async def run(self, make: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
        """What the coroutine that ``make`` returns returns, run on the loop of the pool."""
        assert self.loop is not None
        return await run_on(self.loop, make)

    async def stream(self, make: Callable[[], AsyncGenerator[Any, None]]) -> AsyncGenerator[Any]:
        """Yield what the generator that ``make`` returns yields, run on the loop of the pool."""
        source = make()

        async def step() -> tuple[bool, Any]:
            try:
                return True, await source.__anext__()
            except StopAsyncIteration:
                return False, None

        try:
            while True:
                found, value = await self.run(step)
                if not found:
                    return
                yield value
        finally:
            await self.run(source.aclose)


async def run_on(
    loop: asyncio.AbstractEventLoop, make: Callable[[], Coroutine[Any, Any, Any]]
) -> Any:
    """What the coroutine that ``make`` returns returns, run on ``loop``.

    Raises:
        ExecutorError: ``loop`` has ended.
        Exception: what the coroutine raises.
    """
    if loop is asyncio.get_running_loop():
        return await make()

    async def there() -> Any:
        return await make()

    running = there()
    try:
        outcome = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(running, loop))
    except RuntimeError as error:
        running.close()
        raise ExecutorError("the event loop that the call belongs to has ended") from error
    try:
        return await outcome
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise ExecutorError("the event loop that the call belongs to has ended") from error
