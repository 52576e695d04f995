# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The live ``_request``: a handler that takes it can run nowhere but in the server."""

from __future__ import annotations

import inspect
from collections.abc import Container

__all__ = ["live_request_refusal", "takes_live_request"]

_PARAMETER = "_request"


def takes_live_request(arguments: inspect.Signature | Container[str]) -> bool:
    """Whether the live request is among the parameters of a signature, or the arguments given."""
    if isinstance(arguments, inspect.Signature):
        arguments = arguments.parameters
    return _PARAMETER in arguments


def live_request_refusal(route: str, where: str) -> str:
    """The text that refuses to run ``route`` at ``where``."""
    return (
        f"route {route} takes the live _request, which cannot travel to {where}. Pass what it "
        "needs of the request as arguments, or do not offload it"
    )
