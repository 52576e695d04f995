# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The client of a request: how its request is answered, and what happens when it disconnects.

**Answers.** The message of a pool's error is for the server's log, because it names functions,
pids and values. The client reads the ``detail`` of its class instead, which is always the same.

**Disconnects.** Calls of offloaded routes end when the client of their request has gone. Their
answers could reach no client, so a waiting call leaves the queue, and what happens to a running one
is its pool's ``on_cancel``. Only calls of offloaded routes end this way: a handler that runs in
the server and calls a pool itself is not interrupted.

ASGI says that a client has gone through ``receive``, which also delivers the request's body.
``Client`` stands between the server and the application: it looks only after the body has been
read, only when a call takes long enough to be worth it, and passes on every message that it reads.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from ..errors import ClientDisconnectedError, ExecutorError
from ..hosts.names import LoggedAnswer, tells_of_disconnects

if TYPE_CHECKING:
    from ..hosts.names import Message, Receive, Scope, Send

__all__ = ["WATCH_AFTER_SECONDS", "Client", "client_of_request", "current_client", "note_identity"]

_logger = logging.getLogger("genro_executor_plugin")

WATCH_AFTER_SECONDS = 0.05
"""How long a call runs or waits before its client is watched; most calls never get there."""

_client: ContextVar[Client | None] = ContextVar("genro_executor_client", default=None)


def client_of_request() -> Client | None:
    """The client of the request that this context comes from, also after it was answered."""
    return _client.get()


def current_client() -> Client | None:
    """The client of the request that is being served, ``None`` outside of a request."""
    client = _client.get()
    return None if client is None or client.closed else client


def note_identity(found: Any) -> None:
    """Note that ``found`` is whom the request that is being served comes from."""
    client = current_client()
    if client is not None:
        client.identity = found


class Client:
    """The client of one request, and what answers it: an application with a step around it.

    It is one object because every request pays for it. What an offloaded call needs of it is made
    by that call. It has no ``__init__``, whose call every request would pay for, too: whoever
    makes one sets ``application``. Its other attributes are those of the application.

    Attributes:
        application: what answers the request; a client is for one request alone.
        scope: the ASGI scope of its request.
        identity: whom the host has found as the one who asks, where the scope does not say.
        gone: whether it has disconnected; only known once it was watched.
        closed: whether its request has been served.
        watcher: what reads the next message of its request, once it has been watched.
    """

    # Of the class until they are set: most requests need none of them.
    gone: bool = False
    closed: bool = False
    identity: Any = None
    _body_read = False
    watcher: asyncio.Task[Message] | None = None
    _calls: set[asyncio.Timeout] | None = None
    application: Any
    scope: Scope
    _receive: Receive

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["application"], name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have the application answer the request; errors of pools get a stable text."""
        self.scope = scope
        self._receive = receive
        token = _client.set(self)
        try:
            await self.application(scope, self.receive, send)
        except ExecutorError as error:
            if error.status == 500 and error.route is None:  # a route has logged its own
                _logger.error("%s", error, exc_info=error)
            raise LoggedAnswer(error.status, error.detail, error.headers) from error
        finally:
            _client.reset(token)
            self.closed = True
            if self.watcher is not None:
                await self.end()

    async def end(self) -> None:
        """Stop watching it: its request has been served."""
        if self.watcher is not None and not self.watcher.done():
            self.watcher.cancel()
            await asyncio.wait([self.watcher])

    async def receive(self) -> Message:
        """Return the next message of the request, as the server sends it to the application."""
        watcher = self.watcher
        if watcher is None:
            message = await self._receive()
        else:
            message = await asyncio.shield(watcher)
            self.watcher = None
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
        if self._calls is None:
            self._calls = set()
        calls = self._calls
        loop = asyncio.get_running_loop()
        watching = loop.call_later(WATCH_AFTER_SECONDS, self._watch)
        limit = asyncio.timeout(None)  # ``_heard`` sets it when the client disconnects
        try:
            async with limit:
                calls.add(limit)
                return await call
        except TimeoutError:
            if not limit.expired():
                raise
            raise _disconnected() from None
        finally:
            calls.discard(limit)
            watching.cancel()

    def _watch(self) -> None:
        if not self._body_read or self.gone or self.closed or not tells_of_disconnects(self.scope):
            return
        if self.watcher is None:
            self.watcher = asyncio.ensure_future(self._receive())
            asyncio.get_running_loop().call_soon(self._first_look, self.watcher)

    def _first_look(self, watcher: asyncio.Task[Message]) -> None:
        """Take in what could be read at once.

        What plays a buffered request again (a function, and not a server's connection) says
        ``http.disconnect`` as soon as the body was read: then it does not tell of its client.
        """
        at_once = watcher.done() and not watcher.cancelled() and watcher.exception() is None
        replayed = getattr(self._receive, "__self__", None) is None
        if not (at_once and replayed and watcher.result()["type"] == "http.disconnect"):
            watcher.add_done_callback(self._heard)

    def _heard(self, watcher: asyncio.Task[Message]) -> None:
        if watcher.cancelled() or watcher.exception() is not None:
            return  # the application meets the exception when it asks
        if watcher.result()["type"] == "http.disconnect":
            self.gone = True
            now = asyncio.get_running_loop().time()
            for limit in self._calls or ():
                limit.reschedule(now)


def _disconnected() -> ClientDisconnectedError:
    return ClientDisconnectedError(
        "the client went away, and the call that it waited for was cancelled. "
        "A pool with on_cancel='abandon' lets the run of such a call go on"
    )
