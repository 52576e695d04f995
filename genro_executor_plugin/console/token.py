# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The token that a console asks for where its server has no authentication.

An address says nothing about who asks: behind a proxy, a relay, or a container's port, all of the
Internet comes from a loopback address. So whoever uses the console has to know something: the
random token, which the server's log has with the link that contains it. A browser keeps it in a
cookie afterwards, and a program sends it in a header.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from typing import TYPE_CHECKING

from ..errors import ExecutorConfigError
from ..routing.sites import headers_of
from .token_files import TOKEN_HEADER, TOKEN_VARIABLE

if TYPE_CHECKING:
    from ..hosts.names import Scope

__all__ = ["TOKEN_HEADER", "TOKEN_VARIABLE", "ConsoleToken", "declared_token"]

_TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,256}")


class ConsoleToken:
    """A token, and whether a request has it."""

    __slots__ = ("_secret", "cookie", "value")

    def __init__(self, value: str | None = None) -> None:
        """The token ``value``, or a random one."""
        self.value: str = value if value is not None else secrets.token_urlsafe(24)
        self._secret = self.value.encode("ascii")
        # A browser has one set of cookies for all ports of a host: each server has its own name.
        self.cookie: str = f"genro_executor_{hashlib.sha256(self._secret).hexdigest()[:12]}"

    def matches(self, given: str) -> bool:
        """Whether ``given`` is the token; comparing takes the same time for whatever it is."""
        return hmac.compare_digest(given.encode("utf-8", "replace"), self._secret)

    def is_in(self, scope: Scope) -> bool:
        """Whether the request has the token, in its header or in its cookie."""
        headers = headers_of(scope)
        given = headers.get(TOKEN_HEADER)
        if given is not None:
            return self.matches(given)
        cookies = "; ".join(
            value.decode("latin-1") for name, value in scope["headers"] if name == b"cookie"
        )
        pairs = (pair.strip().partition("=") for pair in cookies.split(";"))
        return any(name == self.cookie and self.matches(value) for name, _, value in pairs)

    def set_cookie(self, *, secure: bool) -> bytes:
        """The header that has a browser keep the token until it is closed.

        It has no path: then it is that of the request, also behind a proxy that changes it.
        """
        over_tls = "; Secure" if secure else ""
        return f"{self.cookie}={self.value}; HttpOnly; SameSite=Strict{over_tls}".encode("ascii")


def declared_token(given: object) -> str | None:
    """The token that was given, or that is in the environment; ``None`` for a random one.

    Raises:
        ExecutorConfigError: it could be guessed, or does not fit into a link.
    """
    where, token = "ExecutorConsole: token=", given
    if token is None:
        where, token = f"{TOKEN_VARIABLE}=", os.environ.get(TOKEN_VARIABLE) or None
    if token is None:
        return None
    if not isinstance(token, str) or _TOKEN.fullmatch(token) is None:
        # Not the value: it is a secret, even one that is wrong.
        raise ExecutorConfigError(
            f"{where}... is no token: give 16 to 256 letters, digits, and . _ ~ -; "
            "for instance the output of: python3 -c 'import secrets; "
            "print(secrets.token_urlsafe())'"
        )
    return token
