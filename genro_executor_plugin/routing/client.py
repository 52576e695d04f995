# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls of offloaded routes end when the client of their request disconnects.

Nobody reads the answer any more, so a waiting call leaves the queue, and what happens to a running
one is its pool's ``on_cancel``. Only calls of offloaded routes end this way: a handler that runs
in the server and calls a pool itself is not interrupted.

ASGI says that a client has gone through ``receive``, which also delivers the request's body.
``Client`` stands between the server and the application: it looks only after the body has been
read, only when a call takes long enough to be worth it, and passes on every message that it reads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Any, Self

from ..errors import ClientDisconnectedError

__all__ = ["WATCH_AFTER_SECONDS", "Client", "current_client"]

WATCH_AFTER_SECONDS = 0.05
"""How long a call runs or waits before its client is watched; most calls never get there."""

Message = MutableMapping[str, Any]

_client: ContextVar[Client | None] = ContextVar("genro_executor_client", default=None)


def current_client() -> Client | None:
    """The client of the request that is being served, ``None`` outside of a request."""
    client = _client.get()
    return None if client is None or client.closed else client


class Client:
    """The client of one request; it is entered with ``async with`` while that is served.

    Attributes:
        gone: whether it has disconnected; only known once it was watched.
        closed: whether its request has been served.
    """

    __slots__ = (
        "_body_read",
        "_calls",
        "_receive",
        "_token",
        "_told",
        "_watcher",
        "closed",
        "gone",
    )

    def __init__(self, receive: Callable[[], Awaitable[Message]], *, told: bool = True) -> None:
        """A client whose request is received by ``receive``.

        Args:
            receive: as the server has given it to the application.
            told: whether ``receive`` tells of a client that has gone; some hosts do not.
        """
        self._receive = receive
        self._told = told
        self._body_read = False
        self._watcher: asyncio.Task[Message] | None = None
        self._calls: set[asyncio.Timeout] = set()
        self._token: Token[Client | None]
        self.gone = False
        self.closed = False

    async def __aenter__(self) -> Self:
        self._token = _client.set(self)
        return self

    async def __aexit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        _client.reset(self._token)
        self.closed = True
        if self._watcher is not None and not self._watcher.done():
            self._watcher.cancel()
            await asyncio.wait([self._watcher])

    async def receive(self) -> Message:
        """Return the next message of the request, as the server sends it to the application."""
        watcher = self._watcher
        if watcher is None:
            message = await self._receive()
        else:
            message = await asyncio.shield(watcher)
            self._watcher = None
        if not message.get("more_body", False):
            self._body_read = True
        return message

    async def call(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Return what ``call`` returns, and cancel it when the client disconnects.

        Raises:
            ClientDisconnectedError: the client has gone.
        """
        if self.gone:
            call.close()
            raise _disconnected()
        loop = asyncio.get_running_loop()
        watching = loop.call_later(WATCH_AFTER_SECONDS, self._watch)
        limit = asyncio.timeout(None)  # ``_heard`` sets it when the client disconnects
        try:
            async with limit:
                self._calls.add(limit)
                return await call
        except TimeoutError:
            if not limit.expired():
                raise
            raise _disconnected() from None
        finally:
            self._calls.discard(limit)
            watching.cancel()

    def _watch(self) -> None:
        if not self._told or not self._body_read or self.gone or self.closed:
            return
        if self._watcher is None:
            self._watcher = asyncio.ensure_future(self._receive())
            self._watcher.add_done_callback(self._heard)

    def _heard(self, watcher: asyncio.Task[Message]) -> None:
        if watcher.cancelled() or watcher.exception() is not None:
            return  # the application meets the exception when it asks
        if watcher.result()["type"] == "http.disconnect":
            self.gone = True
            now = asyncio.get_running_loop().time()
            for limit in self._calls:
                limit.reschedule(now)


def _disconnected() -> ClientDisconnectedError:
    return ClientDisconnectedError(
        "the client went away, and the call that it waited for was cancelled. "
        "A pool with on_cancel='abandon' lets the run of such a call go on"
    )
