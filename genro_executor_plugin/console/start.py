# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the console says in the log when its server starts: who may use it, and the link to it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from ..hosts.names import bound_address
from .token import ConsoleToken

__all__ = ["announce", "say_that_it_is_open"]

_logger = logging.getLogger("genro_executor_plugin")

_LOOK_AGAIN_SECONDS = 0.02


def say_that_it_is_open(mount: str) -> None:
    """Warn that everybody controls the pools."""
    _logger.warning(
        "console: open=True: whoever reaches this server controls its pools, at /%s/, without a "
        "token and without authentication",
        mount,
    )


async def announce(server: Any, mount: str, token: ConsoleToken) -> None:
    """Warn that there is no authentication, and say the link with the token.

    A server on any free port is bound after its applications have started, and nothing tells them
    of that: it is looked at until it has happened.
    """
    while (address := bound_address(server)) == "":  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(_LOOK_AGAIN_SECONDS)
    where = f"http://{address}" if address is not None else "<the server's address>"
    _logger.warning(
        "console: this server has no authentication, so its console asks for a token. Open "
        "%s/%s/?token=%s",
        where,
        mount,
        token.value,
    )
