# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The live ``_request``: a handler that takes it can run nowhere but in the server."""

from __future__ import annotations

import inspect
from typing import Protocol

__all__ = ["LIVE_REQUEST", "live_request_refusal", "takes_live_request"]

LIVE_REQUEST = "_request"
"""The parameter that the host fills in with the request."""


class HasSignature(Protocol):
    """An entry of a router; to ask for the signature of one that cannot be called is an error."""

    @property
    def signature(self) -> inspect.Signature: ...


def takes_live_request(entry: HasSignature) -> bool:
    """Whether the handler of ``entry`` takes the live request."""
    try:
        return LIVE_REQUEST in entry.signature.parameters
    except (TypeError, ValueError):  # a method without self: calling it is the error
        return False


def live_request_refusal(route: str, where: str) -> str:
    """The text that refuses to run ``route`` at ``where``."""
    return (
        f"route {route} takes the live _request, which cannot travel to {where}. Pass what it "
        "needs of the request as arguments, or do not offload it"
    )
