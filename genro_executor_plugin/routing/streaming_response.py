# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A streaming response that ends when its client is gone, or reads nothing any more."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from ..hosts.names import StreamingResponse, tells_of_disconnects

if TYPE_CHECKING:
    from ..hosts.names import Receive, Scope, Send

__all__ = ["SEND_TIMEOUT_SECONDS", "DisconnectAwareResponse"]

_logger = logging.getLogger("genro_executor_plugin")

SEND_TIMEOUT_SECONDS = 15.0
"""How long a client may take to read a piece, if nothing else is said."""

_PIECE_BYTES = 256 * 1024
"""What is sent at a time: a slow client reads so much within the timeout, but perhaps no more."""


class DisconnectAwareResponse(StreamingResponse):
    """A ``StreamingResponse`` that ends, and closes its source, when nobody reads it.

    That is when its client disconnects, and when its client has read nothing of a piece of 256 KB
    for ``send_timeout`` seconds (``None`` for no limit): it would hold what sends the chunks.
    """

    __slots__ = ("__weakref__", "at_end", "send_timeout")

    at_end: Callable[[], object]
    """Called once, after the response was sent or sending it has failed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.send_timeout: float | None = SEND_TIMEOUT_SECONDS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        patient = _PatientSend(send)
        sending = asyncio.ensure_future(super().__call__(scope, receive, patient))
        leaving = asyncio.ensure_future(_until_gone(scope, receive))
        limit = self.send_timeout
        try:
            async with aclosing(self.body_iterator):  # type: ignore[type-var]
                try:
                    # One timer for the response and not one for each chunk.
                    while not await _first(
                        sending, leaving, None if limit is None else limit - patient.waits_for()
                    ):
                        if limit is not None and patient.waits_for() >= limit:
                            _logger.warning(
                                "%s: the client has read nothing for %g s (send_timeout); its "
                                "response was ended",
                                scope.get("path"),
                                limit,
                            )
                            break
                    if sending.done():
                        sending.result()
                finally:
                    sending.cancel()
                    leaving.cancel()
                    await asyncio.gather(sending, leaving, return_exceptions=True)
        finally:
            del self.body_iterator
            self.at_end()


async def _first(
    sending: asyncio.Future[Any], leaving: asyncio.Future[Any], timeout: float | None
) -> bool:
    """Whether one of the two is done, after ``timeout`` seconds at the latest."""
    done, _ = await asyncio.wait(
        {sending, leaving}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED
    )
    return bool(done)


class _PatientSend:
    """The host's ``send``, which knows how long it has been waiting."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._since: float | None = None

    async def __call__(self, message: Any) -> None:
        body = message.get("body", b"")
        if len(body) <= _PIECE_BYTES:
            await self._wait(message)
            return
        for start in range(0, len(body), _PIECE_BYTES):
            piece = body[start : start + _PIECE_BYTES]
            more = message.get("more_body", False) or start + _PIECE_BYTES < len(body)
            await self._wait({**message, "body": piece, "more_body": more})

    async def _wait(self, message: Any) -> None:
        self._since = asyncio.get_running_loop().time()
        await self._send(message)
        self._since = None

    def waits_for(self) -> float:
        """For how many seconds the host has not taken the latest piece."""
        return 0.0 if self._since is None else asyncio.get_running_loop().time() - self._since


async def _until_gone(scope: Scope, receive: Receive) -> None:
    """Return when the client has disconnected; never, where the host does not tell."""
    if not tells_of_disconnects(scope) or (await receive())["type"] != "http.disconnect":
        # The body was read before: this ``receive`` repeats it, as that of a message on a
        # websocket does, and asking again and again would stop the event loop.
        await asyncio.get_running_loop().create_future()
