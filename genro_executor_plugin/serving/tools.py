# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Routes that are tools of an application and no section of it: their pools, their errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ExecutorError
from ..hosts.contract import HostServer
from ..hosts.loaded import has_tools
from ..routing.tree import adopt, application_of

__all__ = ["arm_tools"]


def arm_tools(server: HostServer, arm: Callable[[Any], None]) -> None:
    """Give the tools of the applications of ``server`` the same pools as their other routes.

    A router of tools stands beside the application's own, so that the host arms none of it. Pool
    errors reach a client of a tool with the text that any other client gets.

    Args:
        server: the server, before its first request.
        arm: plugs the plugin into a router.
    """
    for application in server.applications.values():
        if not has_tools(application):
            continue
        from ..hosts.names import guard_tools, router_of_tools

        guard_tools(application, _text_for)
        router = router_of_tools(application)
        if router is None:
            continue
        if application_of(router.instance) is not application:
            adopt(router.instance, application)
        arm(router)


def _text_for(error: Exception) -> str | None:
    return error.detail if isinstance(error, ExecutorError) else None
