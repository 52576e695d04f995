# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The server's side: pools that live and die with the server.

``ExecutorMixin`` is composed before a genro-asgi server class, and attaches the steps of
``Lifecycle`` by overriding its methods. It never decides where a call runs; the plugin does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from ..errors import ExecutorConfigError
from ..executors import BaseExecutor
from ..executors.registry import ExecutorRegistry
from ..hosts.names import AsgiServer, read_configuration, server_arguments
from ..options.keywords import PoolDeclarations, PoolKeywords
from ..options.share import set_budget
from ..portable.main_module import stop_main_import
from ..routing.client import Client
from ..tasks.host_tasks import in_pools
from ..tasks.http.mount import MOUNT
from ..tasks.keywords import TaskSettingsKeywords
from ..tasks.options import TaskSettings
from ..tasks.service import LongTasks
from .configuration import (
    ConfigSource,
    ExecutorServerGrammar,
    configured_cpus,
    declarations,
)
from .lifecycle import Lifecycle, is_being_cancelled, loop_refusal

if TYPE_CHECKING:
    from ..hosts.names import Message, Receive, Scope, Send

__all__ = ["ExecutorMixin", "ExecutorServer"]


class ExecutorMixin:
    """Pools as a capability of a server.

    It takes four constructor keywords. ``executors`` is ``{name: options}``, or a list of dicts
    with a ``name`` each; the pools ``blocking`` (40 threads) and ``cpu`` (one process per granted
    CPU) exist without being declared. ``long_tasks`` has the ``TaskSettings`` of long jobs.
    ``executor_cpus="8/4"`` says that four processes share eight CPUs (``options.share``). With
    ``strict=True`` the server does not start where offloading was probably meant and does not
    happen (an option of a route that is spelt wrong, or has no pool); it logs a warning otherwise.
    """

    def __init__(
        self,
        *,
        executors: PoolDeclarations | None = None,
        long_tasks: TaskSettingsKeywords | None = None,
        executor_cpus: int | str | None = None,
        strict: bool = False,
        **kwargs: Any,
    ) -> None:
        set_budget(executor_cpus)
        settings = TaskSettings.declare(long_tasks or {})
        said: object = strict
        if not isinstance(said, bool):
            raise ExecutorConfigError(f"strict={strict!r}: give True or False")
        self._lifecycle = Lifecycle(self, ExecutorRegistry(executors), settings, strict=strict)
        super().__init__(**kwargs)

    @property
    def executors(self) -> ExecutorRegistry:
        """The pools of this server."""
        return self._lifecycle.registry

    @property
    def long_tasks(self) -> LongTasks:
        """The long jobs of this server, which ``app.tasks`` submits and asks about."""
        return self._lifecycle.long_tasks

    @property
    def tasks(self) -> Any:
        """genro-asgi's own batch tasks and schedules, whose routes run in their pools."""
        return in_pools(super().tasks, self.long_tasks.settings)  # type: ignore[misc]

    def executor(
        self,
        executor_type: str = "local",
        *,
        name: str = "default",
        **options: Unpack[PoolKeywords],
    ) -> BaseExecutor:
        """Return pool ``name``, declared now if it was not before; it also decorates functions.

        Raises:
            ExecutorConfigError: there is no such kind of pool, or an option is wrong, or differs
                from the one in force.
        """
        if executor_type not in self.executors.kinds and name == "default":
            written = "".join(f", {option}={value!r}" for option, value in options.items())
            raise ExecutorConfigError(
                f"executor({executor_type!r}): the first argument is the kind of the pool, and "
                f"there is no kind {executor_type!r}, only "
                f"{', '.join(map(repr, self.executors.kinds))}. For a pool of that name write "
                f"executor(name={executor_type!r}{written})"
            )
        return self.executors.get_or_create(name, executor_type=executor_type, **options)

    def get_executor(self, name: str = "default") -> BaseExecutor:
        """Return pool ``name``.

        Raises:
            UnknownExecutorError: no pool of that name is declared; the message lists those that
                are.
        """
        return self.executors.get(name)

    def get_executor_metrics(self) -> list[dict[str, Any]]:
        """Return ``metrics`` of every pool that has been used, each with its ``name``."""
        return self.executors.all_metrics()

    def configure_route(self, route: str, /, **options: Any) -> dict[str, Any]:
        """Set plugin options of ``route``, of whatever application, from the next call on.

        ``server.configure_route("shop/report", executor_disabled=True)`` takes a route back into
        the server's process.

        Args:
            route: ``"shop/report"``: the application, and the route's path in it, which may have
                globs (``"shop/billing/*"``); ``"shop"`` is the whole application.
            options: ``<plugin>_<option>=value``, of any plugin that is attached there.

        Returns:
            ``{"target": ..., "updated": [paths]}``.

        Raises:
            ExecutorConfigError: no such application, route, plugin or option, or a wrong value.
                Nothing was changed.
            UnknownExecutorError: ``executor_pool`` names no declared pool. Nothing was changed.
        """
        return self._lifecycle.configure_route(route, **options)

    def arm_router(self, router: Any) -> None:
        """Plug the server's plugins into ``router``, ``executor`` last."""
        self._lifecycle.arm_router(router, getattr(super(), "arm_router", None))

    def arm_tools(self) -> None:
        """Plug ``executor`` into the routers of the applications' tools, as the start does."""
        self._lifecycle.arm_tools()

    def serve(self, *args: Any, **kwargs: Any) -> None:
        """Serve as genro-asgi does; in a worker that imports this program, end its import."""
        stop_main_import()
        super().serve(*args, **kwargs)  # type: ignore[misc]

    def start_leaving(self) -> None:
        """Turn the server's state; at the second signal, end what runs in the pools at once."""
        self._lifecycle.start_leaving(super().start_leaving)  # type: ignore[misc]

    def demux(self, scope: Scope) -> tuple[Any, Scope]:
        """Return what answers ``scope``, with the errors of pools as a client may read them."""
        lifecycle = self._lifecycle
        if (
            scope["type"] != "http"
            or MOUNT in scope["path"]
            or lifecycle.first.pending
            or lifecycle.task_mount.sections
        ):
            return lifecycle.demux(scope, super().demux)  # type: ignore[misc]
        # As there, in place: nearly every request comes this way, and pays for each call.
        client = Client()
        client.application, scope = super().demux(scope)  # type: ignore[misc]
        return client, scope

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope. A lifespan starts the pools before the rest, and ends them after it.

        Whatever is raised before the server has started is a start that failed, and is told as
        one: a server that says nothing is taken for one without a lifespan, and serves.
        """
        if scope["type"] != "lifespan":
            await super().__call__(scope, receive, send)  # type: ignore[misc]
            return
        stop_main_import()
        lifecycle = self._lifecycle
        waiting: list[Message] = [await receive()]
        if (refusal := loop_refusal()) is not None:
            await send({"type": "lifespan.startup.failed", "message": refusal})
            return
        answered = False
        failed: Message | None = None

        async def replaying_receive() -> Message:
            message = waiting.pop() if waiting else await receive()
            if message["type"] == "lifespan.shutdown":
                lifecycle.lifespan_ends()
            return message

        async def ending_send(message: Message) -> None:
            nonlocal answered, failed
            answered = True
            if message["type"] == "lifespan.startup.failed":
                failed = message
                return
            if message["type"] == "lifespan.startup.complete":
                lifecycle.begin()
            else:
                # Behind this message the event loop may end at any moment: pools end before it.
                await lifecycle.end()
            await send(message)

        try:
            await lifecycle.start()
            await super().__call__(scope, replaying_receive, ending_send)  # type: ignore[misc]
        except BaseException as error:
            if failed is None:
                if answered or is_being_cancelled():
                    raise
                failed = {"type": "lifespan.startup.failed", "message": lifecycle.refusal(error)}
            if isinstance(error, KeyboardInterrupt | SystemExit):
                await lifecycle.end()
                await send(failed)
                raise  # it ends more than this server
        finally:
            await lifecycle.end()
        # Last of all: hypercorn goes on to serve if anything is awaited behind this message.
        if failed is not None:
            await send(failed)


class ExecutorServer(ExecutorMixin, AsgiServer):
    """genro-asgi's ``AsgiServer`` with pools.

    They are given in code, ``ExecutorServer(..., executors={...})``, or written in the section
    ``executors`` of a recipe, ``ExecutorServer(config="config.py")``. As with every option of a
    server, what is given in code replaces the whole section.

    Raises:
        ExecutorConfigError: pools are wrong; the message lists every mistake.
    """

    grammar: type = ExecutorServerGrammar

    def __init__(
        self,
        config: ConfigSource | None = None,
        *,
        executors: PoolDeclarations | None = None,
        long_tasks: TaskSettingsKeywords | None = None,
        executor_cpus: int | str | None = None,
        strict: bool = False,
        **kwargs: Any,
    ) -> None:
        if config is not None:
            # Built here and not by genro-asgi: pools are known before the server exists.
            kwargs = {**server_arguments(config), **kwargs}
            config = read_configuration(config)
            if executor_cpus is None:
                executor_cpus = configured_cpus(config)
            set_budget(executor_cpus)  # the pools are checked against what they will be
            if executors is None:
                executors = declarations(config)
        super().__init__(
            config=config,
            executors=executors,
            long_tasks=long_tasks,
            executor_cpus=executor_cpus,
            strict=strict,
            **kwargs,
        )
