# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""genro-asgi as a host: what only it can be asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from genro_asgi import AuthMixin, BaseServer, Scope
from genro_asgi.middleware import AuthMiddleware

from .contract import Reach

__all__ = [
    "REACHES",
    "give_children_pools",
    "has_authentication",
    "identify",
    "note_identities",
    "note_loop",
    "role_of",
    "server_arguments",
    "tells_of_disconnects",
]


def has_authentication(server: Any, scope: Scope | None = None) -> bool:
    """Whether any authentication is configured for ``server``, which answers ``scope``, if any."""
    decides = type(server).authenticate
    if decides not in (BaseServer.authenticate, AuthMixin.authenticate):
        return True
    armed = server.get_middleware(AuthMiddleware) is not None if scope is None else "auth" in scope
    if not armed or decides is BaseServer.authenticate:
        return False
    stores = (server.user_store, server.api_key_store)
    core = server.auth_core
    # Without these attributes it is another AuthCore than the one known here: closed is safe.
    entries = (getattr(core, name, True) for name in _CREDENTIALS)
    login = getattr(server.applications.get("_server"), "oidc_providers", None)
    return any(store is not None for store in stores) or any(entries) or bool(login)


_CREDENTIALS = ("_basic", "_bearer", "_jwt")
"""Where an ``AuthCore`` keeps what it knows, empty for nothing."""


def tells_of_disconnects(scope: Mapping[str, Any]) -> bool:
    """Whether ``http.disconnect`` means, in the request of ``scope``, that its client has gone.

    It does not in a worker of a single-page application: the request came there in one piece, and
    its ``receive`` says ``http.disconnect`` as soon as the body was read.
    """
    return "genro.identity" not in scope


async def identify(server: Any, scope: Scope) -> None:
    """Find out who asks: a middleware has done that before anybody else sees the request."""


def note_identities(server: Any, note: Callable[[Any], None]) -> None:
    """Call ``note`` with each identity that is found later than that: there is none."""


def give_children_pools(server: Any) -> None:
    """Have the processes that ``server`` starts serve with pools.

    A process of a remote application has a bare server, which cannot have any, and says so.
    """


def note_loop(server: Any) -> None:
    """Have handlers on threads reach the event loop through ``server``: it has no such way."""


def role_of(server: Any) -> str:
    """The application that this process of ``server`` was started for, empty for a server."""
    return ""


def server_arguments(config: Any) -> dict[str, Any]:
    """What a server is to be told beside the configuration that was read from ``config``."""
    return {}


REACHES = (
    Reach(
        "genro_asgi_server_app:ServerApplication",
        ("oidc_providers",),
        use="find out whether a provider of identities is configured",
        wish="AuthMixin.is_configured",
    ),
)
"""What is used of genro-asgi alone and not promised by it."""
