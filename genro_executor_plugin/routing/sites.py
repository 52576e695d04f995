# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Which site a request comes from, as far as its browser says, and what its answers may do there.

A browser sends what it knows of its user (a cookie, a password, a place in a private network) also
for a page of another site. ``Sec-Fetch-Site`` says so where there is TLS or a loopback address;
``Origin`` says so for everything but plain reads. A program sends neither, and needs neither.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..hosts.contract import HostServer
from ..hosts.names import (
    HIDDEN_ORIGIN,
    HTTPBadRequest,
    HTTPException,
    HTTPForbidden,
    public_url_of,
)

if TYPE_CHECKING:
    from ..hosts.names import Message, Scope, Send

__all__ = [
    "check_host",
    "headers_of",
    "is_form",
    "is_from_another_site",
    "is_navigation",
    "limited_body",
    "narrowed_headers",
    "refuse_other_sites",
    "well_formed_headers",
    "with_headers",
    "without_body",
]

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+,;=-]*)(:[0-9]*)?")
"""A host and a port as RFC 3986, section 3.2.2 has them."""

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data", "text/plain", "")
"""What a page can send to another site without asking there first (a CORS preflight)."""


def headers_of(scope: Scope) -> dict[str, str]:
    """The headers of a request by name in lower case; of several of one name the last."""
    return {
        name.decode("latin-1").lower(): value.decode("latin-1")
        for name, value in scope.get("headers", ())
    }


def check_host(scope: Scope) -> None:
    """Refuse a request whose ``Host`` is no host, or that has more than one.

    Raises:
        HTTPBadRequest: as RFC 9112, section 3.2 wants it.
    """
    hosts = [value for name, value in scope.get("headers", ()) if name.lower() == b"host"]
    if len(hosts) > 1 or not all(_HOST.fullmatch(host.decode("latin-1")) for host in hosts):
        raise HTTPBadRequest("The header Host is not the name of a host")


def is_from_another_site(scope: Scope, server: HostServer) -> bool:
    """Whether the request comes from a page of another site than that of ``server``."""
    headers = headers_of(scope)
    site = headers.get("sec-fetch-site")
    if site is not None and site not in ("same-origin", "none"):
        return True
    origin = scope.get(HIDDEN_ORIGIN, headers.get("origin"))
    return origin is not None and not _is_own(origin, headers.get("host", ""), server)


def is_navigation(scope: Scope) -> bool:
    """Whether a person follows a link: the answer is shown, and no page reads it."""
    headers = headers_of(scope)
    return (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == (
        "navigate",
        "document",
    )


def is_form(scope: Scope) -> bool:
    """Whether a page of any site can send the request without asking first."""
    return headers_of(scope).get("content-type", "").partition(";")[0].strip().lower() in _FORMS


def refuse_other_sites(scope: Scope, server: HostServer) -> None:
    """Refuse a request from a page of another site.

    Raises:
        HTTPForbidden: it comes from one.
    """
    if is_from_another_site(scope, server):
        raise HTTPForbidden("This must come from a page of this server, or from a program")


def _is_own(origin: str, host: str, server: HostServer) -> bool:
    try:
        asked = urlsplit(origin)
        public = urlsplit(public_url_of(server))
        if asked.scheme not in ("http", "https") or not asked.netloc:
            return False
        return asked.netloc.lower() in (host.lower(), public.netloc.lower())
    except ValueError:
        return False


_KEPT = (b"accept", b"content-type", b"content-length", b"host", b"last-event-id")

_TRANSPORTS = (b"json", b"xml") + ((b"msgpack",) if find_spec("msgpack") else ())
"""The forms of TYTX that genro-asgi can write here: the third needs a package of its own."""


_MANY_DIGITS = re.compile(rb"[0-9]{4000}")
_MOST_NESTED = 100


def _fails(value: bytes) -> bool:
    """Whether genro-asgi fails at the value of a header, which it reads as TYTX or JSON.

    That is so for a type that the value is not of (``5::L``), for more digits than Python
    converts, and for more levels than its stack has.
    """
    nested = value.count(b"[") + value.count(b"{")
    return b"::" in value or nested > _MOST_NESTED or _MANY_DIGITS.search(value) is not None


def narrowed_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The headers that routes of this package are given: those they need, and well-formed."""
    kept = [pair for pair in scope["headers"] if pair[0] in _KEPT and not _fails(pair[1])]
    transports = [pair for pair in scope["headers"] if pair[0] == b"x-tytx-transport"]
    return kept + [pair for pair in transports if pair[1].lower() in _TRANSPORTS]


def well_formed_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """The headers at which genro-asgi does not fail, without those of a body."""
    return [
        (name, value)
        for name, value in scope["headers"]
        if not _fails(value)
        and name not in (b"content-type", b"content-length")
        and (name != b"x-tytx-transport" or value.lower() in _TRANSPORTS)
    ]


# -- bodies and answers ----------------------------------------------------------------------------


def limited_body(
    scope: Scope, receive: Callable[[], Awaitable[Message]], most: int
) -> Callable[[], Awaitable[Message]]:
    """Return ``receive`` so that it raises a 413 for a body above ``most`` bytes."""
    too_large = HTTPException(413, f"The body is larger than {most} bytes")
    length = headers_of(scope).get("content-length", "0")
    if length.isdecimal() and int(length[:20]) > most:
        raise too_large
    received = 0

    async def receive_limited() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > most:
            raise too_large
        return message

    return receive_limited


def without_body(receive: Callable[[], Awaitable[Message]]) -> Callable[[], Awaitable[Message]]:
    """Return ``receive`` so that it reads the body to its end, and tells of an empty one."""
    read = False

    async def receive_empty() -> Message:
        nonlocal read
        message = await receive()
        while not read and message["type"] == "http.request" and message.get("more_body", False):
            message = await receive()
        read = True
        if message["type"] == "http.request":
            return {"type": "http.request", "body": b"", "more_body": False}
        return message

    return receive_empty


def with_headers(send: Send, headers_for: Callable[[str], Iterable[tuple[bytes, bytes]]]) -> Send:
    """Return ``send`` with ``headers_for(media type)`` added to the answer's headers."""

    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = list(message.get("headers", ()))
            kinds = [value for name, value in headers if name.lower() == b"content-type"]
            kind = kinds[-1].decode("latin-1") if kinds else ""
            added = headers_for(kind.partition(";")[0].strip().lower())
            message = {**message, "headers": [*headers, *added]}
        await send(message)

    return sending
