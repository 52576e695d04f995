# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""nats-py's client, which says nothing in the clear to a server that was to encrypt.

nats-py encrypts if the server says so. Whoever answers in the place of that server, and says
nothing of it, would be told passwords and every call. What a server says is looked at here before
anything is said to it.
"""

from __future__ import annotations

from typing import Any

import nats.aio.client
import nats.errors

__all__ = ["make_client"]


class _Client(nats.aio.client.Client):
    """A client for which ``tls://`` means that the server encrypts, or is none."""

    wants_tls = False

    async def _process_info(self, info: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        # nats-py has no public place between what the server says of itself and the answer.
        scheme = self._current_server.uri.scheme if self._current_server is not None else ""
        wanted = scheme == "tls" or (self.wants_tls and scheme not in ("ws", "wss"))
        if wanted and not info.get("tls_required"):
            raise nats.errors.Error("nats: the server does not offer TLS")
        await super()._process_info(info, *args, **kwargs)


def make_client(wants_tls: bool) -> Any:
    """A client that is not connected yet.

    Args:
        wants_tls: whether every server has to encrypt, also one with the scheme ``nats``.
    """
    client = _Client()
    client.wants_tls = wants_tls
    return client
