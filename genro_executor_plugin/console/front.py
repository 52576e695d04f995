# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What every request to the console meets first: its host, its site, its token, its form.

Routes are given less of a request than genro-asgi gives: no query, four headers, a bounded body,
no more path than the route has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote

from ..errors import ExecutorError
from ..hosts.names import (
    HTTPException,
    HTTPNotFound,
    HTTPUnauthorized,
    asker_of,
    has_authentication,
    identify,
)
from ..routing.sites import check_host, limited_body, narrowed_headers, with_headers
from ..tasks.http.guard import narrowed_query
from .access import BODY_LIMIT_BYTES, Access, check_change, check_site
from .compressed import compressing
from .job_pages import QUERY
from .jobs import JOB_CHANGES, is_about_jobs
from .token import TOKEN_HEADER, ConsoleToken

if TYPE_CHECKING:
    from ..hosts.names import ASGIApp, Receive, Scope, Send

__all__ = ["TAGS", "Front"]

TAGS = "genro_executor_tags"
"""Where in a scope the tags are that the request has."""

_SEGMENTS = {"static": (1,), "change": (1,), "health": (0, 1), "stacks": (0, 1)}
"""How many more segments the path of a route has, where it is not its name alone."""

_PAGES = ("jobs", "profile")
"""The pages beside the first one."""

_TOKEN_LENGTH = 200
"""The longest token that is led on: a proxy refuses an answer with long headers."""

_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)


class Front:
    """Answers a request of ``console``, or has ``routes`` answer it, or refuses it."""

    def __init__(self, console: Any, access: Access) -> None:
        self._console = console
        self._access = access

    async def answer(self, routes: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is small, well-formed and allowed; refuse others with a reason."""
        try:
            await identify(self._console.server, scope)  # routes are not given the credentials
            narrowed = self._checked(scope)
            receive = limited_body(scope, receive, BODY_LIMIT_BYTES)
            send = compressing(scope, send)
            await routes(narrowed, receive, with_headers(send, lambda _: _HEADERS))
        except ExecutorError:
            raise
        except HTTPException as error:
            raise self._speakable(error, scope) from error

    def _checked(self, scope: Scope) -> Scope:
        """What the routes are given of the request.

        Raises:
            HTTPException: it is refused, or it was a link with the token.
        """
        server, path = self._console.server, scope["path"].strip("/")
        check_host(scope)
        first, *more = path.split("/")
        is_task = is_about_jobs([first, *more])
        is_change = first == "change" or (is_task and bool(more) and more[0] in JOB_CHANGES)
        _check_method(scope["method"], is_change)
        check_site(scope, server, page=path in ("", *_PAGES))
        # genro-routes takes what is left of a path for arguments, also for injected ones.
        if not is_task and not _is_there(first, more):
            raise HTTPNotFound("There is nothing here")
        if path in _PAGES and scope.get("raw_path", b"").partition(b"?")[0].endswith(b"/"):
            raise HTTPNotFound("There is nothing here")  # what the page names would be elsewhere
        if is_task and not server.long_tasks.in_use:
            raise HTTPNotFound("There is nothing here")
        token = self._console.token
        # Submitters may see their own jobs without the tag: the section decides by job.
        tags = [] if is_task else self._access.tags_of(scope, server, token)
        if is_change:
            check_change(scope)
        if not path:
            self._check_link(scope, token)
        return {
            **scope,
            TAGS: tags,
            QUERY: scope["query_string"],
            "query_string": narrowed_query(scope["query_string"]) if is_task else b"",
            "headers": narrowed_headers(scope),
        }

    def _check_link(self, scope: Scope, token: ConsoleToken) -> None:
        """Lead a request for the page to the URL that the page has.

        That ends with a slash, and has no token: it would stand in the browser's history. A
        browser keeps it in a cookie.

        Raises:
            HTTPException: a redirection, or 401 for a token that is not this server's.
        """
        query = scope["query_string"].decode("latin-1")
        given = parse_qs(query, max_num_fields=10).get("token") if "token" in query else None
        if not scope.get("raw_path", b"/").partition(b"?")[0].endswith(b"/"):
            kept = f"?token={quote(given[0])}" if given and len(given[0]) <= _TOKEN_LENGTH else ""
            raise HTTPException(
                307, "", [(b"location", f"{self._console.mount}/{kept}".encode("ascii"))]
            )
        if given is None:
            return
        headers = [(b"location", b"./")]
        if not self._access.open and not has_authentication(self._console.server, scope):
            if not token.matches(given[0]):
                raise HTTPUnauthorized("This is not the token of this server")
            headers.append((b"set-cookie", token.set_cookie(secure=scope["scheme"] == "https")))
        raise HTTPException(303, "", headers)

    def _speakable(self, error: HTTPException, scope: Scope) -> HTTPException:
        """Return ``error`` with the console's headers, and with a text that can be sent."""
        detail = (error.detail or str(error)).encode("utf-8", "replace").decode()
        headers = [*error.headers, *_HEADERS]
        if isinstance(error, HTTPUnauthorized) and asker_of(scope).identity is None:
            if has_authentication(self._console.server, scope):
                detail = "The console needs an identity with the right tag"
                # A browser asks for a name and a password, and the page then works with them.
                headers.append((b"www-authenticate", b'Basic realm="executors", charset="UTF-8"'))
            else:
                detail = (
                    "This server has no authentication, so its console asks for a token. Open the "
                    "link that the server's log has. Programs send the token in the header "
                    f"{TOKEN_HEADER}"
                )
                headers.append((b"www-authenticate", b'Token realm="executors"'))
        return HTTPException(error.status, detail[:2000], headers)


def _is_there(first: str, more: list[str]) -> bool:
    """Return whether a path of these segments can be that of a route, but for those of jobs."""
    if first == "jobs":
        return more in ([], ["list"]) or (len(more) == 2 and more[0] in ("show", "log"))
    return len(more) in _SEGMENTS.get(first, (0,))


def _check_method(method: str, is_change: bool) -> None:
    allowed = ("POST",) if is_change else ("GET", "HEAD")
    if method not in allowed:
        allow = ", ".join(allowed)
        raise HTTPException(
            405, f"The method here is {allow}, not {method}", [(b"allow", allow.encode())]
        )
