# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What requests about long jobs meet first, and what browsers may do with the answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from ...hosts.contract import HostServer
from ...hosts.names import HTTPBadRequest, HTTPException, HTTPForbidden, HTTPNotFound
from ...routing.client import client_of_request
from ...routing.sites import (
    check_host,
    is_form,
    is_from_another_site,
    limited_body,
    narrowed_headers,
    well_formed_headers,
    without_body,
)

if TYPE_CHECKING:
    from ...hosts.names import Receive, Scope

__all__ = [
    "guarded",
    "guarded_section",
    "keep_private",
    "narrowed_fields",
    "narrowed_query",
    "refuse_foreign_forms",
    "refuse_other_methods",
    "sandbox",
]

BODY_LIMIT_BYTES = 64 * 1024
"""The largest body that is read. These requests have none that matters."""

_PARAMETERS = ("state", "limit", "wait")
"""What a query may name. genro-routes would take anything else for an argument, also injected."""

_HARMLESS = (
    "application/json",
    "application/octet-stream",
    "application/pdf",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/csv",
    "text/plain",
)
"""Types that a browser runs nothing of. A sandbox would keep its viewer of PDFs from starting."""


_LONGEST_VALUE = 64


def narrowed_query(query: bytes) -> bytes:
    """The part of ``query`` that the routes of long jobs are given.

    The type that TYTX writes behind a value (``5::L``) is left out: genro-asgi fails at a value
    that is not of its type, and the routes read numbers themselves.

    Raises:
        HTTPBadRequest: a value is longer than any that means something here.
    """
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    given = {name: value.partition("::")[0] for name, value in pairs if name in _PARAMETERS}
    for name, value in given.items():
        if len(value) > _LONGEST_VALUE:
            raise HTTPBadRequest(f"{name} is longer than {_LONGEST_VALUE} characters")
    return urlencode(given).encode()


def narrowed_fields(data: dict[str, Any]) -> dict[str, Any]:
    """The fields of a body that the routes of long jobs are given."""
    return {name: data[name] for name in _PARAMETERS if name in data}


def guarded(scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
    """What the routes are given of a request.

    Raises:
        HTTPException: it is refused.
    """
    check_host(scope)
    if len(scope["path"].strip("/").split("/")) > 2:
        raise HTTPNotFound("There is nothing here")  # the rest would be taken for arguments
    narrowed = {
        **scope,
        "query_string": narrowed_query(scope["query_string"]),
        "headers": narrowed_headers(scope),
    }
    return narrowed, limited_body(scope, receive, BODY_LIMIT_BYTES)


def guarded_section(scope: Scope, receive: Receive, steps: int) -> tuple[Scope, Receive]:
    """As ``guarded``, for a section that is ``steps`` segments below its application.

    The application may have its own use for the other headers. No field of the body reaches the
    routes: it is the application that would choose which.

    Raises:
        HTTPException: the request is refused.
    """
    check_host(scope)
    if len(scope["path"].strip("/").split("/")) > steps + 2:
        raise HTTPNotFound("There is nothing here")
    narrowed = {
        **scope,
        "query_string": narrowed_query(scope["query_string"]),
        "headers": well_formed_headers(scope),
    }
    return narrowed, without_body(limited_body(scope, receive, BODY_LIMIT_BYTES))


def refuse_foreign_forms(server: HostServer) -> None:
    """Refuse the request that is answered, if a page of another site can send it unasked.

    A page that is allowed to (CORS) sends JSON.

    Raises:
        HTTPForbidden: another site has sent a form, or a link of it was followed.
    """
    client = client_of_request()
    if client is not None and is_form(client.scope) and is_from_another_site(client.scope, server):
        raise HTTPForbidden("This must come from a page of this server, or from a program")


def refuse_other_methods(request: Any, *allowed: str) -> None:
    """Refuse a request whose method is none of ``allowed``.

    Raises:
        HTTPException: 405.
    """
    if request.method not in allowed:
        allow = ", ".join(allowed)
        raise HTTPException(405, f"Use {allowed[0]}", headers=[(b"allow", allow.encode())])


def keep_private(request: Any) -> None:
    """Have no cache keep the answer to ``request``, and no browser guess its type."""
    request.response.set_header("cache-control", "no-store")
    request.response.set_header("x-content-type-options", "nosniff")


def sandbox(request: Any, media_type: object) -> None:
    """Have a browser show a result without running it as a page of this site."""
    if str(media_type or "").partition(";")[0].strip().lower() not in _HARMLESS:
        request.response.set_header("content-security-policy", "sandbox")
