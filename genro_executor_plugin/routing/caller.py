# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The caller: identity, session and headers of the request that is being answered."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..hosts.loaded import ADMIN_TAGS
from ..hosts.names import asker_of
from .client import client_of_request

__all__ = ["Caller", "caller_of", "current_caller"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a request comes from.

    Attributes:
        identity: the identity that authentication has found, empty for an anonymous request.
        session: a digest of the session's id, empty without a session.
        tags: the authorization tags of the identity.
        key: the request's ``Idempotency-Key``, empty without one.
        courier: the address on the server's hub that events of its jobs are sent to, empty
            without one.
        address: the address of the client, empty for the application itself.
    """

    identity: str = ""
    session: str = ""
    tags: frozenset[str] = frozenset()
    key: str = ""
    courier: str = ""
    address: str = ""

    @property
    def anonymous(self) -> bool:
        """Whether the request has neither an identity nor a session."""
        return not self.identity and not self.session

    def is_admin(self, admin_tags: Iterable[str] = ADMIN_TAGS) -> bool:
        """Whether the caller may see everybody's jobs."""
        return not self.tags.isdisjoint(admin_tags)


def current_caller() -> Caller | None:
    """The caller whose request this context comes from; ``None`` outside of a request."""
    client = client_of_request()
    if client is None:
        return None
    scope = client.scope
    if client.identity is not None and scope.get("auth") is None:
        scope = {**scope, "auth": client.identity}  # the application answers a copy of its scope
    return caller_of(scope)


def caller_of(scope: Mapping[str, Any]) -> Caller:
    """The caller of the ASGI ``scope``, as the host's middlewares have left it there."""
    asker = asker_of(scope)
    headers = {
        name: value
        for name, value in scope.get("headers", ())
        if name in (b"idempotency-key", b"mcp-session-id")
    }
    session_id = asker.session_id
    return Caller(
        identity=asker.identity or "",
        session=hashlib.sha256(session_id.encode()).hexdigest() if session_id else "",
        tags=asker.tags,
        key=headers.get(b"idempotency-key", b"").decode("latin-1"),
        courier=headers.get(b"mcp-session-id", b"").decode("latin-1") or session_id,
        address=(scope.get("client") or ("unknown",))[0] or "unknown",
    )
