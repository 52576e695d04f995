# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Profiles of routes: one at a time for each process of a server."""

from __future__ import annotations

from typing import Any

from ..errors import ExecutorConfigError
from ..hosts.contract import HostServer
from ..hosts.names import HTTPNotFound
from ..metrics.profiles import ProfileTarget, check_profile
from ..routing.client import current_client
from ..routing.tree import routes_of
from .speedscope import facts_of, speedscope_of

__all__ = ["Profiles"]


class Profiles:
    """Makes the profiles that are asked for at one console."""

    def __init__(self) -> None:
        self._route = ""

    async def profile(
        self, server: HostServer, route: str, seconds: float, rate: int
    ) -> dict[str, Any]:
        """Take samples of the calls of ``route``, and return them as plain values.

        It ends when the client goes away.

        Raises:
            HTTPNotFound: there is no such route.
            ExecutorConfigError: none can be made of it, or one is being made.
        """
        check_profile(seconds, rate)
        found = next((one for one in routes_of(server) if one.path == route), None)
        if found is None:
            raise HTTPNotFound(f"There is no route {route[:200]!r}")
        options = found.options
        if options.pool is None or not options.offloaded:
            raise ExecutorConfigError(
                f"route {route!r} runs in the server's process and not in a pool, so that no "
                "worker can be profiled for it"
            )
        if self._route:
            raise ExecutorConfigError(
                f"route {self._route!r} is being profiled; ask again when that has ended"
            )
        pool = server.executors.get(options.pool)
        self._route = route
        try:
            profiling = pool.profile(ProfileTarget(route, found.handler), seconds, rate)
            client = current_client()
            profiles = await (profiling if client is None else client.call(profiling))
        finally:
            self._route = ""
        return {
            "route": route,
            "pool": options.pool,
            "mode": pool.mode,
            "seconds": seconds,
            "rate": rate,
            "processes": facts_of(profiles),
            "speedscope": speedscope_of(route, profiles, rate),
        }
