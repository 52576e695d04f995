# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Who may ask the console for what: identities, sites and sizes of requests.

Nothing here knows what the console shows. genro-routes' auth plugin decides whether tags suffice,
as it does for any route; this module says which tags a request has.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import ExecutorConfigError
from ..hosts.contract import HostServer
from ..hosts.names import (
    HTTPException,
    HTTPForbidden,
    HTTPUnsupportedMediaType,
    asker_of,
    has_authentication,
    public_url_of,
)

if TYPE_CHECKING:
    from ..hosts.names import Message, Scope

__all__ = ["RULE", "Access", "check_change", "limited", "who_asks"]

RULE = "SERVER_ADMIN"
"""The ``auth_rule`` of everything in the console that is not open."""

BODY_LIMIT_BYTES = 64 * 1024
"""The largest body that is read. A change is a few names and numbers."""

_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip", "via")
"""Headers that a proxy adds. A client behind one is not on this machine, even if the proxy is."""

_CHOICES: Mapping[str, tuple[str, ...]] = {
    "metrics": ("open", "closed"),
    "health": ("open", "closed"),
    "without_authentication": ("loopback", "metrics", "everyone"),
}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use the console, as it was configured.

    Attributes:
        tag: the authorization tag that an identity needs.
        metrics: ``"open"``: everybody may read the metrics; ``"closed"``: they need the tag.
        health: the same for ``health``.
        without_authentication: who is answered by a server that has no authentication.
            ``"loopback"``: clients on the same machine; ``"metrics"``: those, and everybody who
            asks for metrics or health; ``"everyone"``.
    """

    tag: str = RULE
    metrics: str = "open"
    health: str = "open"
    without_authentication: str = "loopback"

    def __post_init__(self) -> None:
        for option, allowed in _CHOICES.items():
            value = getattr(self, option)
            if value not in allowed:
                raise ExecutorConfigError(
                    f"ExecutorConsole: {option}={value!r} is not one of "
                    f"{', '.join(map(repr, allowed))}"
                )
        tag: object = self.tag
        if not isinstance(tag, str) or not tag.strip() or "," in tag:
            raise ExecutorConfigError(
                f"ExecutorConsole: tag={tag!r} is not the name of one authorization tag"
            )

    def tags_of(self, scope: Scope, server: HostServer, *, open_route: bool) -> list[str]:
        """Return the tags of the request, with ``RULE`` in the place of the configured tag.

        Raises:
            HTTPForbidden: the server has no authentication, and this client is not let in.
        """
        asker = asker_of(scope)
        if asker.identity is not None:
            # An identity without the tag is authenticated: 403, not 401.
            return [RULE] if self.tag in asker.tags else ["-"]
        if has_authentication(server, scope):
            return []
        if self.without_authentication != "everyone" and not _is_loopback(scope):
            if open_route and self.without_authentication == "metrics":
                return []
            raise HTTPForbidden(
                "This server has no authentication, and its console answers clients on the same "
                "machine only. Configure authentication, or say without_authentication= to "
                "ExecutorConsole"
            )
        return [RULE]


def who_asks(scope: Scope) -> str:
    """The name of the client for the record of changes."""
    identity, client = asker_of(scope).identity, scope.get("client")
    address = client[0] if client else "an unknown address"
    return f"{identity} from {address}" if identity is not None else f"a client at {address}"


def _is_loopback(scope: Scope) -> bool:
    client, headers = scope.get("client"), _headers(scope)
    if client is None or any(name in headers for name in _FORWARDED):
        return False
    # DNS rebinding: a page of another site can have its own name resolve to this machine. Then
    # the browser is a loopback client, and only the host name in the request tells the difference.
    host = urlsplit(f"//{headers.get('host', '')}")
    try:
        named = host.hostname == "localhost" or _loopback_address(host.hostname)
    except ValueError:
        return False
    return named and _loopback_address(client[0])


def _loopback_address(text: str | None) -> bool:
    try:
        address = ipaddress.ip_address(text or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def check_change(scope: Scope, server: HostServer) -> None:
    """Refuse a change that a page of another site may have caused (cross-site request forgery).

    Raises:
        HTTPForbidden: the browser says that the request comes from elsewhere.
        HTTPUnsupportedMediaType: the body is not JSON, and forms can be sent from any site.
    """
    headers = _headers(scope)
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        raise HTTPForbidden("A change must come from the console's own page or from a program")
    origin = headers.get("origin")
    if origin is not None and not _same_origin(origin, headers.get("host", ""), server):
        raise HTTPForbidden("A change must come from the console's own page or from a program")
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise HTTPUnsupportedMediaType("A change is an application/json document")


def _same_origin(origin: str, host: str, server: HostServer) -> bool:
    try:
        asked = urlsplit(origin)
        public = urlsplit(public_url_of(server))
        if asked.scheme not in ("http", "https") or not asked.netloc:
            return False
        return asked.netloc.lower() in (host.lower(), public.netloc.lower())
    except ValueError:
        return False


def limited(
    scope: Scope, receive: Callable[[], Awaitable[Message]]
) -> Callable[[], Awaitable[Message]]:
    """Return ``receive`` so that it raises a 413 for a body above ``BODY_LIMIT_BYTES``."""
    length = _headers(scope).get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > BODY_LIMIT_BYTES:
        raise _too_large()
    received = 0

    async def limited_receive() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > BODY_LIMIT_BYTES:
            raise _too_large()
        return message

    return limited_receive


def _too_large() -> HTTPException:
    return HTTPException(413, f"The body is larger than {BODY_LIMIT_BYTES} bytes")


def _headers(scope: Scope) -> dict[str, str]:
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in scope.get("headers", ())
    }
