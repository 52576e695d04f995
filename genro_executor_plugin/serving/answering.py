# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pool errors as HTTP answers: a status, headers and a text that says nothing of the inside.

The message of such an error is for the server's log, because it names functions, pids and values.
The client reads the ``detail`` of its class instead, which is always the same.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..errors import ExecutorError
from ..hosts.names import HTTPException, tells_of_disconnects
from ..routing.caller import caller_of, calling
from ..routing.client import Client

if TYPE_CHECKING:
    from ..hosts.names import Receive, Scope, Send

__all__ = ["answering"]

_logger = logging.getLogger("genro_executor_plugin")


def answering(application: Any, scope: Scope) -> tuple[Any, Scope]:
    """Return ``application`` so that clients may read its pool errors, and the scope for it."""
    return (_Answering(application), scope) if scope["type"] == "http" else (application, scope)


class _Answering:
    """An application whose calls end with their client, and whose pool errors have a stable text.

    Its other attributes are those of the application.
    """

    __slots__ = ("_application",)

    def __init__(self, application: Any) -> None:
        self._application = application

    def __getattr__(self, name: str) -> Any:
        return getattr(self._application, name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = calling.set(caller_of(scope))
        try:
            async with Client(receive, told=tells_of_disconnects(scope)) as client:
                await self._application(scope, client.receive, send)
        except ExecutorError as error:
            if error.status == 500 and error.route is None:  # a route has logged its own
                _logger.error("%s", error, exc_info=error)
            raise HTTPException(error.status, error.detail, error.headers) from error
        finally:
            calling.reset(token)
