# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A streaming response that ends when its client is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from typing import TYPE_CHECKING

from ..hosts.names import StreamingResponse, tells_of_disconnects

if TYPE_CHECKING:
    from ..hosts.names import Receive, Scope, Send

__all__ = ["DisconnectAwareResponse"]


class DisconnectAwareResponse(StreamingResponse):
    """A ``StreamingResponse`` that ends, and closes its source, when its client disconnects."""

    __slots__ = ("__weakref__", "at_end")

    at_end: Callable[[], object]
    """Called once, after the response was sent or sending it has failed."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.ensure_future(super().__call__(scope, receive, send))
        leaving = asyncio.ensure_future(_until_gone(scope, receive))
        try:
            async with aclosing(self.body_iterator):  # type: ignore[type-var]
                try:
                    await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
                    if sending.done():
                        sending.result()
                finally:
                    sending.cancel()
                    leaving.cancel()
                    await asyncio.gather(sending, leaving, return_exceptions=True)
        finally:
            del self.body_iterator
            self.at_end()


async def _until_gone(scope: Scope, receive: Receive) -> None:
    """Return when the client has disconnected; never, where the host does not tell."""
    if not tells_of_disconnects(scope) or (await receive())["type"] != "http.disconnect":
        # The body was read before: this ``receive`` repeats it, as that of a message on a
        # websocket does, and asking again and again would stop the event loop.
        await asyncio.get_running_loop().create_future()
