# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools for a stock server: one that genro-asgi has built itself, and that did not ask for them.

``genro-asgi serve config.py`` builds an ``AsgiServer``, whatever the recipe would like. The
console that is mounted on it calls ``bring_pools``, which puts the steps of ``Lifecycle`` around
the server's own methods, each on the instance.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from ..executors.registry import ExecutorRegistry
from ..hosts.names import FatalBootError, has_tasks, put_around, require_lifespan
from ..tasks.host_tasks import in_pools
from ..tasks.options import TaskSettings
from .lifecycle import Lifecycle, is_being_cancelled, loop_refusal

__all__ = ["bring_pools"]


def bring_pools(server: Any, registry: ExecutorRegistry, settings: TaskSettings) -> None:
    """Give ``server`` the pools of ``registry`` and long jobs, for as long as it serves.

    It gets the attributes ``executors``, ``long_tasks`` and ``configure_route`` of an
    ``ExecutorServer``.
    """
    lifecycle = _Mounted(server, registry, settings)
    server.executors = lifecycle.registry
    server.long_tasks = lifecycle.long_tasks
    server.configure_route = lifecycle.configure_route
    put_around(server, lifecycle)


class _Mounted(Lifecycle):
    """The life of the pools of a stock server, as steps around the server's own methods."""

    def __init__(self, server: Any, registry: ExecutorRegistry, settings: TaskSettings) -> None:
        super().__init__(server, registry, settings)
        self._settings = settings

    async def startup(self, own: Callable[[], Awaitable[None]]) -> None:
        """Start pools and jobs, then the applications."""
        if (refusal := loop_refusal()) is not None:
            raise FatalBootError(refusal)
        try:
            await self.start()
            if has_tasks(self._server):
                await self._follow_tasks()
            await own()
            self.begin()
        except BaseException as error:
            await self.end()
            if has_tasks(self._server):
                # By the host as well, but behind its answer: hypercorn then goes on to serve.
                await self._server.tasks.stop()
            if isinstance(error, FatalBootError) or is_being_cancelled():
                raise
            if isinstance(error, KeyboardInterrupt | SystemExit):
                require_lifespan(self._server)
                raise  # it ends more than this server
            # After any other exception uvicorn takes the server for one without a lifespan.
            raise FatalBootError(self.refusal(error)) from error

    async def shutdown(self, own: Callable[[], Awaitable[None]]) -> None:
        """End the applications, then jobs and pools."""
        self.lifespan_ends()
        try:
            await own()
        finally:
            await self.end()

    async def _follow_tasks(self) -> None:
        """Have the host's own tasks, which have started by now, run where they can be ended."""
        manager = self._server.tasks
        await manager.scheduler.stop()
        in_pools(manager, self._settings).scheduler.start()
