# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the console does to a server that genro-asgi built by itself.

``ExecutorServer`` has pools by inheritance. A stock ``AsgiServer`` (``genro-asgi serve
config.py``) is given them by the console that is mounted on it: the registry, the plugin on every
routed application, the checks at boot, stable texts for clients, the second signal's hurry, and
long jobs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..executors.registry import ExecutorRegistry
from ..hosts.names import before_leaving, before_shutdown, serve_through
from ..offload.checks import check_routes, modules_of
from ..offload.plugin import ExecutorPlugin
from ..tasks.host_tasks import in_pools
from ..tasks.http.mount import TaskMount
from ..tasks.options import TaskSettings
from ..tasks.service import LongTasks
from .second_signal import SecondSignal
from .server import answering

if TYPE_CHECKING:
    from ..hosts.names import ASGIApp, Scope

__all__ = ["bring_pools", "end_pools", "start_pools"]


def bring_pools(server: Any, registry: ExecutorRegistry, settings: TaskSettings) -> None:
    """Give ``server`` the ``registry`` and long jobs, and arm its routers with the plugin."""
    second_signal = SecondSignal(registry)

    def arm(router: Any) -> None:
        if ExecutorPlugin.plugin_code not in {plugin.name for plugin in router.iter_plugins()}:
            router.plug(ExecutorPlugin.plugin_code)

    def demux_answering(
        scope: Scope, demux: Callable[[Scope], tuple[ASGIApp, Scope]]
    ) -> tuple[ASGIApp, Scope]:
        return answering(*(mount.find(scope) or demux(scope)))

    before_leaving(server, lambda: second_signal.leaving(server))
    before_shutdown(server, second_signal.lifespan_ends)
    server.executors = registry
    server.long_tasks = LongTasks(server, settings)
    mount = TaskMount(server, server.long_tasks)
    serve_through(server, arm, demux_answering)


async def start_pools(server: Any) -> None:
    """Check the routes of ``server``, start the pools that are to be warm, go on with long jobs.

    Raises:
        ExecutorError: a route or a pool is wrong, a worker cannot be started, or the store of
            long jobs is somebody else's.
    """
    for application in server.applications.values():
        _ = getattr(application, "route", None)  # the first look at it arms it
    registry: ExecutorRegistry = server.executors
    registry.preload(modules_of(server))
    check_routes(server)
    await registry.warm()
    if getattr(server, "tasks_enabled", False):
        await _follow_tasks(server)
    await server.long_tasks.start()
    server.long_tasks.begin()


async def _follow_tasks(server: Any) -> None:
    """Have genro-asgi's own tasks, which have started by now, run where they can be ended."""
    manager = server.tasks
    await manager.scheduler.stop()
    in_pools(manager, server.long_tasks.settings).scheduler.start()


async def end_pools(server: Any) -> None:
    """End the long jobs of ``server``, then its pools."""
    try:
        await server.long_tasks.stop()
    finally:
        await server.executors.shutdown_all()
