# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools for a stock server: one that genro-asgi has built itself, and that did not ask for them.

``genro-asgi serve config.py`` builds an ``AsgiServer``, whatever the recipe would like. The
console that is mounted on it calls ``bring_pools``, which puts the steps of ``Lifecycle`` around
the server's own methods, each on the instance.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from genro_asgi.lifespan import FatalBootError

from ..executors.registry import ExecutorRegistry
from ..tasks.host_tasks import in_pools
from ..tasks.options import TaskSettings
from .lifecycle import Lifecycle, is_being_cancelled

if TYPE_CHECKING:
    from genro_asgi.types import ASGIApp, Scope

__all__ = ["bring_pools"]


def bring_pools(server: Any, registry: ExecutorRegistry, settings: TaskSettings) -> None:
    """Give ``server`` the pools of ``registry`` and long jobs, for as long as it serves."""
    lifecycle = Lifecycle(server, registry, settings)
    arm: Callable[[Any], None] | None = getattr(server, "arm_router", None)
    demux: Callable[[Scope], tuple[ASGIApp, Scope]] = server.demux
    leave: Callable[[], None] = server.start_leaving
    start_applications: Callable[[], Awaitable[None]] = server.lifespan.startup
    end_applications: Callable[[], Awaitable[None]] = server.lifespan.shutdown

    async def startup() -> None:
        try:
            await lifecycle.start()
            if getattr(server, "tasks_enabled", False):
                await _follow_tasks(server, settings)
            await start_applications()
            lifecycle.begin()
        except BaseException as error:
            await lifecycle.end()
            if isinstance(error, FatalBootError) or is_being_cancelled():
                raise
            # After any other exception uvicorn takes the server for one without a lifespan.
            raise FatalBootError(lifecycle.refusal(error)) from error

    async def shutdown() -> None:
        lifecycle.lifespan_ends()
        try:
            await end_applications()
        finally:
            await lifecycle.end()

    server.executors = lifecycle.registry
    server.long_tasks = lifecycle.long_tasks
    server.arm_router = lambda router: lifecycle.arm_router(router, arm)
    server.demux = lambda scope: lifecycle.demux(scope, demux)
    server.start_leaving = lambda: lifecycle.start_leaving(leave)
    server.lifespan.startup = startup
    server.lifespan.shutdown = shutdown


async def _follow_tasks(server: Any, settings: TaskSettings) -> None:
    """Have genro-asgi's own tasks, which have started by now, run where they can be ended."""
    manager = server.tasks
    await manager.scheduler.stop()
    in_pools(manager, settings).scheduler.start()
