# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools of a server that is told of no lifespan: they start with its first request.

A host that serves single-page applications has processes of its own for them, and calls the
hosted application there with requests alone. Pools and long jobs end when the event loop ends its
tasks; where the process is ended before, their workers end with it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..hosts.names import Receive, Scope, Send

__all__ = ["FirstRequest", "StartedFirst"]

_logger = logging.getLogger("genro_executor_plugin")


class FirstRequest:
    """Starts pools once, however many requests come at the same time.

    Attributes:
        pending: whether neither a lifespan nor a request has started them yet.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[None]],
        refusal: Callable[[BaseException], str],
        end: Callable[[], Awaitable[None]],
    ) -> None:
        self.pending: bool = True
        self._start = start
        self._refusal = refusal
        self._end = end
        self._started: asyncio.Future[None] | None = None
        self._living: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the pools, or wait until another request has. Raises what the start raised."""
        if self._started is None:
            self._started = asyncio.get_running_loop().create_future()
            # Not in the context of this request: what starts there outlives it.
            self._living = asyncio.create_task(self._live(), context=contextvars.Context())
        await asyncio.shield(self._started)

    async def stop(self) -> None:
        """End what the first request has started; the pools end with it."""
        living = self._living
        if living is not None and living is not asyncio.current_task() and not living.done():
            living.cancel()
            await asyncio.wait([living])

    async def _live(self) -> None:
        assert self._started is not None
        try:
            try:
                await self._start()
            except Exception as error:
                _logger.error("no route with a pool is answered: %s", self._refusal(error))
                self._started.set_exception(error)
                return
            self.pending = False
            self._started.set_result(None)
            await asyncio.get_running_loop().create_future()  # until the loop ends its tasks
        finally:
            await self._end()


class StartedFirst:
    """An application that answers once the pools of its server have started."""

    __slots__ = ("_application", "_first")

    def __init__(self, application: Any, first: FirstRequest) -> None:
        self._application = application
        self._first = first

    def __getattr__(self, name: str) -> Any:
        return getattr(self._application, name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._first.start()
        await self._application(scope, receive, send)
