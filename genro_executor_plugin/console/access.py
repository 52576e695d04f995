# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Who may ask the console for what: identities, the token, sites, and what a change has to be.

Nothing here knows what the console shows. genro-routes' auth plugin decides whether tags suffice,
as it does for any route; this module says which tags a request has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import ExecutorConfigError
from ..hosts.contract import HostServer
from ..hosts.names import HTTPUnsupportedMediaType, asker_of, has_authentication
from ..routing.sites import headers_of, is_navigation, refuse_other_sites
from .token import ConsoleToken

if TYPE_CHECKING:
    from ..hosts.names import Scope

__all__ = ["BODY_LIMIT_BYTES", "RULE", "Access", "check_change", "check_site", "who_asks"]

RULE = "SERVER_ADMIN"
"""The ``auth_rule`` of everything in the console that is not open."""

BODY_LIMIT_BYTES = 64 * 1024
"""The largest body that is read. A change is a few names and numbers."""

_CHOICES: Mapping[str, tuple[object, ...]] = {
    "metrics": ("open", "closed"),
    "health": ("open", "closed"),
    "open": (True, False),
}


@dataclass(frozen=True, slots=True)
class Access:
    """Who may use the console, as it was configured.

    Attributes:
        tag: the authorization tag that an identity needs.
        metrics: ``"open"``: everybody may read the metrics; ``"closed"``: they need the tag.
        health: the same for ``health``.
        open: everything is for everybody.
    """

    tag: str = RULE
    metrics: str = "open"
    health: str = "open"
    open: bool = False

    def __post_init__(self) -> None:
        for option, allowed in _CHOICES.items():
            value = getattr(self, option)
            if not any(type(value) is type(choice) and value == choice for choice in allowed):
                raise ExecutorConfigError(
                    f"ExecutorConsole: {option}={value!r} is not one of "
                    f"{', '.join(map(repr, allowed))}"
                )
        tag: object = self.tag
        if not isinstance(tag, str) or not tag.strip() or "," in tag:
            raise ExecutorConfigError(
                f"ExecutorConsole: tag={tag!r} is not the name of one authorization tag"
            )

    def tags_of(self, scope: Scope, server: HostServer, token: ConsoleToken) -> list[str]:
        """The tags of the request, with ``RULE`` in the place of the configured tag.

        The token counts where no authentication is configured, and only there.
        """
        if self.open:
            return [RULE]
        asker = asker_of(scope)
        if asker.identity is not None:
            # An identity without the tag is authenticated: 403, not 401.
            return [RULE] if self.tag in asker.tags else ["-"]
        return [RULE] if not has_authentication(server, scope) and token.is_in(scope) else []


def who_asks(scope: Scope) -> str:
    """The name of the client for the record of changes."""
    identity, client = asker_of(scope).identity, scope.get("client")
    address = client[0] if client else "an unknown address"
    return f"{identity} from {address}" if identity is not None else f"a client at {address}"


def check_site(scope: Scope, server: HostServer, *, page: bool) -> None:
    """Refuse what a page of another site asks for, reads as well.

    A link to the page itself may be followed from anywhere: nobody but its reader sees it.

    Args:
        scope: of the request.
        server: whose console it is.
        page: whether it is the page that is asked for.

    Raises:
        HTTPForbidden: the browser says that the request comes from elsewhere.
    """
    if not (page and scope["method"] in ("GET", "HEAD") and is_navigation(scope)):
        refuse_other_sites(scope, server)


def check_change(scope: Scope) -> None:
    """Refuse a change that is no document, as what a form of another site sends.

    Raises:
        HTTPUnsupportedMediaType: the body is not JSON.
    """
    media = headers_of(scope).get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise HTTPUnsupportedMediaType("A change is an application/json document")
