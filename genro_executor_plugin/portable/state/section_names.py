# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where genro-routes keeps what is its own in a section or an application: private names.

They are here and not in ``routing.privates``, which lists them with all others, because what makes
a call portable must know them without genro-routes.
"""

from __future__ import annotations

import sys
from typing import Any

__all__ = [
    "ASKS_FOR_CLASSES",
    "CAPABILITIES",
    "CONTEXT",
    "PARENT",
    "PROXY",
    "ROUTER",
    "is_router",
]

ASKS_FOR_CLASSES = "genro_toolbox.typeutils"
"""The module that asks an attribute of a section for its class when it is set anew."""

PARENT = "_routing_parent"
"""The section or application above."""

CONTEXT = "_ctx"
"""The context of the request."""

CAPABILITIES = "_capabilities"
"""What the section is capable of."""

ROUTER = "__genro_routes_router__"
"""The router, once it was asked for."""

PROXY = "__routing_proxy__"
"""What ``routing`` returns, once it was asked for."""


def is_router(obj: Any) -> bool:
    """Whether ``obj`` is a genro-routes router, which leads to everything in the server."""
    base = sys.modules.get("genro_routes.core.base_router")
    return base is not None and isinstance(obj, base.BaseRouter)
