# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The server's side: pools that live and die with the server.

``ExecutorMixin`` composes before a genro-asgi server class. It owns the registry, arms the
plugin on every routed application, checks the routes when the server starts and ends the pools
when it stops. It never decides where a call runs; the plugin does.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from ..errors import ExecutorError
from ..executors import BaseExecutor
from ..executors.registry import ExecutorRegistry
from ..hosts.names import AsgiServer, HTTPException, tells_of_disconnects
from ..offload.checks import check_routes, modules_of
from ..offload.plugin import ExecutorPlugin
from ..portable.modules import stop_main_import
from ..routing.caller import caller_of, calling
from ..routing.client import Client
from ..tasks.host_tasks import in_pools
from ..tasks.http.mount import TaskMount
from ..tasks.options import TaskSettings
from ..tasks.service import LongTasks
from .configuration import (
    ConfigSource,
    ExecutorServerGrammar,
    declarations,
    handler_of,
)
from .second_signal import SecondSignal

if TYPE_CHECKING:
    from ..hosts.names import Message, Receive, Scope, Send

__all__ = ["ExecutorMixin", "ExecutorServer", "answering"]

_logger = logging.getLogger("genro_executor_plugin")


class ExecutorMixin:
    """Pools as a capability of a server.

    Constructor keywords peeled here: ``executors`` — ``{name: options}``, or a list of dicts with
    a ``name`` each. The pools ``blocking`` (40 threads) and ``cpu`` (one process per granted
    CPU) exist without being declared. ``long_tasks`` — the ``TaskSettings`` of long jobs.
    """

    def __init__(self, **kwargs: Any) -> None:
        executors = kwargs.pop("executors", None)
        settings = TaskSettings.declare(kwargs.pop("long_tasks", None) or {})
        self._executors = ExecutorRegistry(executors)
        self._second_signal = SecondSignal(self._executors)
        self._long_tasks = LongTasks(self, settings)
        self._task_mount = TaskMount(self, self._long_tasks)
        self._ended = False
        super().__init__(**kwargs)

    @property
    def executors(self) -> ExecutorRegistry:
        """The pools of this server."""
        return self._executors

    @property
    def long_tasks(self) -> LongTasks:
        """The long jobs of this server: what ``app.tasks`` talks to."""
        return self._long_tasks

    @property
    def tasks(self) -> Any:
        """genro-asgi's own batch tasks and schedules, which run in the pools of their routes."""
        return in_pools(super().tasks, self.long_tasks.settings)  # type: ignore[misc]

    def executor(
        self, executor_type: str = "local", *, name: str = "default", **options: Any
    ) -> BaseExecutor:
        """Pool ``name``, declared now if it was not before; also a decorator for functions.

        Raises:
            ExecutorConfigError: an option is wrong, or differs from the one in force.
        """
        return self.executors.get_or_create(name, executor_type=executor_type, **options)

    def get_executor(self, name: str = "default") -> BaseExecutor:
        """Pool ``name``.

        Raises:
            UnknownExecutorError: no pool of that name is declared; the message lists those are.
        """
        return self.executors.get(name)

    def get_executor_metrics(self) -> dict[str, dict[str, Any]]:
        """``metrics`` of every pool that was used, by name."""
        return self.executors.all_metrics()

    def arm_router(self, router: Any) -> None:
        """Plug the server's plugins into ``router``, ``executor`` last."""
        arm = getattr(super(), "arm_router", None)
        if arm is not None:
            arm(router)
        if ExecutorPlugin.plugin_code not in {plugin.name for plugin in router.iter_plugins()}:
            router.plug(ExecutorPlugin.plugin_code)

    def serve(self, *args: Any, **kwargs: Any) -> None:
        """Serve, as genro-asgi does."""
        stop_main_import()
        super().serve(*args, **kwargs)  # type: ignore[misc]

    def start_leaving(self) -> None:
        """Turn the server's state; at the second signal, end what runs in the pools at once."""
        self._second_signal.leaving(self)
        super().start_leaving()  # type: ignore[misc]

    def demux(self, scope: Scope) -> tuple[Any, Scope]:
        """What answers ``scope``, with the errors of pools put as a client may read them."""
        found = self._task_mount.find(scope) or super().demux(scope)  # type: ignore[misc]
        return answering(*found)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope; around the lifespan, check the routes and end the pools."""
        if scope["type"] != "lifespan":
            await super().__call__(scope, receive, send)  # type: ignore[misc]
            return
        startup: Message = await receive()
        try:
            self.executors.preload(modules_of(self))
            check_routes(self)
            await self.executors.warm()
            await self.long_tasks.start()
        except ExecutorError as error:
            await self._end_all()
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        waiting = [startup]

        async def replaying_receive() -> Message:
            message = waiting.pop() if waiting else await receive()
            if message["type"] == "lifespan.shutdown":
                self._second_signal.lifespan_ends()
            return message

        async def ending_send(message: Message) -> None:
            # Behind this message the event loop may end at any moment: the pools end before it.
            if message["type"] in ("lifespan.shutdown.complete", "lifespan.startup.failed"):
                await self._end_all()
            elif message["type"] == "lifespan.startup.complete":
                self.long_tasks.begin()
            await send(message)

        try:
            await super().__call__(scope, replaying_receive, ending_send)  # type: ignore[misc]
        finally:
            await self._end_all()

    async def _end_all(self) -> None:
        """End the long jobs, then the pools they run in. Once: later there is nothing to do."""
        if self._ended:
            return
        self._ended = True
        try:
            await self.long_tasks.stop()
        finally:
            await self.executors.shutdown_all()


def answering(app: Any, scope: Scope) -> tuple[Any, Scope]:
    """What ``demux`` found, with the errors of pools put as a client may read them."""
    return (_Answering(app), scope) if scope["type"] == "http" else (app, scope)


class _Answering:
    """An application whose calls end with their client, and whose pool errors have a stable text.

    The message of such an error is for the server's log: it names functions, pids and values.
    """

    __slots__ = ("_app",)

    def __init__(self, app: Any) -> None:
        self._app = app

    def __getattr__(self, name: str) -> Any:
        return getattr(self._app, name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        token = calling.set(caller_of(scope))
        try:
            async with Client(receive, told=tells_of_disconnects(scope)) as client:
                await self._app(scope, client.receive, send)
        except ExecutorError as error:
            if error.status == 500 and error.route is None:  # a route has logged its own
                _logger.error("%s", error, exc_info=error)
            raise HTTPException(error.status, error.detail, error.headers) from error
        finally:
            calling.reset(token)


class ExecutorServer(ExecutorMixin, AsgiServer):
    """genro-asgi's ``AsgiServer`` with pools.

    They are given in code, ``ExecutorServer(..., executors={...})``, or written in the section
    ``executors`` of a recipe, ``ExecutorServer(config="config.py")``. As with every option of a
    server, what is given in code takes the place of the whole section.

    Raises:
        ExecutorConfigError: pools are wrong; the message tells every mistake.
    """

    grammar: type = ExecutorServerGrammar

    def __init__(self, config: ConfigSource | None = None, **kwargs: Any) -> None:
        if config is not None:
            config = handler_of(config)
            if kwargs.get("executors") is None:
                kwargs["executors"] = declarations(config)
        super().__init__(config=config, **kwargs)
