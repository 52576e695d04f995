# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The life of a server's pools and long jobs, from its first router to its last worker.

=================  ==============================  ==============================================
step               when the host calls it          what happens
=================  ==============================  ==============================================
``arm_router``     a router is first looked at     the plugin is plugged into it, last
``start``          before every ``on_startup``     routes are checked, pools warmed, jobs read
``begin``          after every ``on_startup``      the jobs of the store go on
``demux``          for every request               pool errors get a text that clients may read
``start_leaving``  for every signal                the second one ends what runs at once
``end``            after every ``on_shutdown``     jobs end, then the pools they run in
=================  ==============================  ==============================================

A server has these steps in one of two ways: ``ExecutorServer`` inherits them (``server.py``), and
a stock server, which genro-asgi has built itself, is given them (``mounted.py``). Both delegate to
``Lifecycle``; they differ only in how they attach it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ..errors import ExecutorClosedError, ExecutorConfigError, ExecutorError
from ..executors.registry import ExecutorRegistry
from ..hosts.names import (
    give_children_pools,
    is_told_to_exit,
    note_identities,
    note_loop,
    stop_at_failed_hooks,
    wait_at_least,
)
from ..offload.checks import Mistake, error_of, expects_jobs, modules_of, route_mistakes
from ..offload.configure import ApplicationRouter
from ..offload.doubts import doubts_of
from ..offload.plugin import ExecutorPlugin
from ..routing.client import Client, note_identity
from ..routing.tree import plugin_of, routers_below
from ..tasks.http.mount import MOUNT, TaskMount
from ..tasks.options import TaskSettings
from ..tasks.service import LongTasks
from .first_request import FirstRequest, StartedFirst
from .tools import arm_tools

if TYPE_CHECKING:
    from ..hosts.names import ASGIApp, Scope

__all__ = ["Lifecycle", "is_being_cancelled", "loop_refusal"]

ANSWER_SECONDS = 5.0
"""How long, at most, it takes to answer what was ended because its pool's time was up."""

_logger = logging.getLogger("genro_executor_plugin")


class Lifecycle:
    """Starts, leaves and ends the pools of ``registry`` and the long jobs of ``server``.

    ``server`` has ``executors``, the same registry, by the time ``start`` is called.

    Attributes:
        registry: the pools.
        long_tasks: the long jobs.
        task_mount: finds what answers below ``/_tasks``.
        first: starts pools at the first request, where the server is told of no lifespan.
    """

    def __init__(
        self,
        server: Any,
        registry: ExecutorRegistry,
        settings: TaskSettings,
        *,
        strict: bool = False,
    ) -> None:
        self._server = server
        self._strict = strict
        self.registry = registry
        self.long_tasks: LongTasks = LongTasks(server, settings)
        self.task_mount = TaskMount(server, self.long_tasks)
        self._lifespan_ends = False
        self._ended = False
        self._collected: ExecutorError | None = None
        self._warming: asyncio.Future[None] | None = None
        self.first = FirstRequest(self._start_alone, self.refusal, self.end)
        note_identities(server, note_identity)

    # -- every request ----------------------------------------------------------------------------

    def arm_router(self, router: Any, arm: Callable[[Any], None] | None) -> None:
        """Plug the host's plugins into ``router`` by its own ``arm``, then ``executor``.

        Args:
            arm: the host's ``arm_router``; ``None`` for a host that has no plugins.
        """
        if arm is not None:
            arm(router)
        if ExecutorPlugin.plugin_code not in {plugin.name for plugin in router.iter_plugins()}:
            router.plug(ExecutorPlugin.plugin_code)

    def arm_tools(self) -> None:
        """Plug ``executor`` into the routers of the applications' tools."""
        arm_tools(self._server, lambda router: self.arm_router(router, None))

    def demux(
        self, scope: Scope, demux: Callable[[Scope], tuple[ASGIApp, Scope]]
    ) -> tuple[ASGIApp, Scope]:
        """Return what answers ``scope``: a job's routes, or what the host's ``demux`` returns."""
        if scope["type"] != "http":
            return demux(scope)
        found = self.task_mount.find(scope) if MOUNT in scope["path"] else None
        application, scope = found or demux(scope)
        if found is None and self.task_mount.sections:
            application, scope = self.task_mount.guarded(application, scope)
        if self.first.pending:
            application = StartedFirst(application, self.first)
        client = Client()
        client.application = application
        return client, scope

    # -- changes ----------------------------------------------------------------------------------

    def configure_route(self, route: str, /, **options: Any) -> dict[str, Any]:
        """Set plugin options of ``route``, of whatever application, from the next call on.

        Args:
            route: ``"shop/report"``: the application, and the route's path in it, which may have
                globs (``"shop/billing/*"``); ``"shop"`` is the whole application.
            options: ``<plugin>_<option>=value``, such as ``executor_disabled=True``.

        Returns:
            ``{"target": ..., "updated": [paths]}``.

        Raises:
            ExecutorConfigError: no such application, route, plugin or option, or a wrong value.
                Nothing was changed.
            UnknownExecutorError: ``executor_pool`` names no declared pool. Nothing was changed.
        """
        code, _, target = str(route).strip("/").partition("/")
        application = self._server.applications.get(code)
        if getattr(application, "route", None) is None:
            known = [
                name
                for name, one in self._server.applications.items()
                if getattr(one, "route", None) is not None
            ]
            raise ExecutorConfigError(
                f"configure_route({route!r}): no application {code!r} has routes; there are "
                f"{', '.join(sorted(known)) or 'none'}. Write application/route, such as "
                '"shop/report"'
            )
        return ApplicationRouter(application).configure(target, **options)

    # -- start ------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Check every route, start the workers that are to be warm, open the store of long jobs.

        Whatever it raises is a reason not to serve: then ``end`` ends what was started, and
        ``refusal`` says why.
        """
        self.first.pending = False
        give_children_pools(self._server)
        await self._start()

    async def _start_alone(self) -> None:
        """Start at the first request of a server that is told of no lifespan."""
        await self._start()
        self.begin()

    async def _start(self) -> None:
        self.arm_tools()
        self.registry.preload(modules_of(self._server))
        mistakes = route_mistakes(self._server)
        doubts = doubts_of(self._server)
        if self._strict:
            mistakes += [Mistake(doubt) for doubt in doubts]
        if mistakes:
            self._collected = error_of(mistakes)
            raise self._collected
        for doubt in doubts:
            _logger.warning("%s", doubt)
        self.registry.home.loop = asyncio.get_running_loop()
        note_loop(self._server)
        stop_at_failed_hooks(self._server)
        self.task_mount.guard_sections()
        self._leave_chains()
        await self._warm()
        await self.long_tasks.start(expected=expects_jobs(self._server))

    def _leave_chains(self) -> None:
        """Have requests pay for the plugin only where it does something."""
        for application in self._server.applications.values():
            router = getattr(application, "route", None)
            for each in routers_below(router) if router is not None else ():
                plugin = plugin_of(each, ExecutorPlugin.plugin_code)
                if isinstance(plugin, ExecutorPlugin):
                    plugin.leave_chains()

    async def _warm(self) -> None:
        """Start the workers that are to be warm, unless the server is told to end before.

        Raises:
            ExecutorClosedError: the server was told to end, and they did not come up meanwhile.
        """
        self._warming = warming = asyncio.ensure_future(self.registry.warm())
        try:
            await asyncio.wait({warming})
            if warming.cancelled():
                self._collected = ExecutorClosedError(
                    "the server was told to end before the workers of its pools were up"
                )
                raise self._collected
            warming.result()
        finally:
            self._warming = None
            warming.cancel()
            await asyncio.wait({warming})

    def _end_start(self, hurry: bool) -> None:
        """End a start that waits for workers: now, or when pools may take no longer to end."""
        loop = asyncio.get_running_loop()
        if self._warming is not None:
            pools = self.registry.used.values()
            limits = [0.0, *(pool.pool_options.shutdown_timeout for pool in pools)]
            seconds = 0.0 if hurry else max(limits)
            loop.call_later(seconds, self._warming.cancel)

    def begin(self) -> None:
        """Go on with the jobs that were in the store: their applications are up now."""
        self.long_tasks.begin()

    def refusal(self, error: BaseException) -> str:
        """Why the server does not start, for the host to tell; the log gets the traceback, too.

        The mistakes that the checks have collected have none, because their texts say where each
        is; neither has a start that was told to end.
        """
        if error is not self._collected:
            _logger.error("the server does not start: %s", error, exc_info=error)
        if isinstance(error, ExecutorError):
            return str(error)
        return f"the server does not start: {type(error).__name__}: {error}"

    # -- leave ------------------------------------------------------------------------------------

    def start_leaving(self, leave: Callable[[], None]) -> None:
        """Turn the server's state by ``leave``; at a second signal, hurry.

        A start that waits for workers has ``shutdown_timeout`` left at the first signal.

        genro-asgi calls it from the handler of every signal, and once more when its lifespan
        ends. The first one ends a start that waits for the store of long jobs, and from then on
        the time of running calls is counted. A second one ends what runs in the pools at once.
        """
        self.long_tasks.leave()
        if self._lifespan_ends:
            self._lifespan_ends = False
        else:
            again = is_told_to_exit(self._server)
            # A signal's handler runs on the thread of the event loop, in the middle of anything.
            with suppress(RuntimeError):
                loop = asyncio.get_running_loop()
                loop.call_soon_threadsafe(self._end_start, again)
                loop.call_soon_threadsafe(self.registry.hurry if again else self._wait_for_pools)
        leave()

    def lifespan_ends(self) -> None:
        """Note that the lifespan ends: the next call of ``start_leaving`` is its, and no signal."""
        self._lifespan_ends = True
        self.registry.stop_counting_down()  # no request waits any more

    def _wait_for_pools(self) -> None:
        """Have requests wait as long as their pools let calls finish, whatever the host's limit is.

        What still runs then is ended by its pool, and answered with its error, a 503; the host
        would cut it off, with a 500.
        """
        seconds = self.registry.count_down()
        if seconds:
            wait_at_least(self._server, seconds + ANSWER_SECONDS)

    # -- end --------------------------------------------------------------------------------------

    async def end(self) -> None:
        """End the long jobs, then the pools they run in. Calling it again does nothing.

        An error while the jobs or the pools end is logged, because the rest has to end, too.
        """
        if self._ended:
            return
        self._ended = True
        await self.first.stop()
        try:
            await _logging_errors("long jobs", self.long_tasks.stop)
        finally:
            await _logging_errors("pools", self.registry.shutdown_all)


def is_being_cancelled() -> bool:
    """Return whether the running task was told to end.

    A ``CancelledError`` alone does not say so: it also comes out of an await of something else
    that was cancelled, and then it is an error like any other.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def _logging_errors(what: str, end: Callable[[], Awaitable[None]]) -> None:
    try:
        await end()
    except Exception:
        _logger.exception("the %s of the server did not end in order", what)


def loop_refusal() -> str | None:
    """Why pools cannot run on the event loop that runs here; ``None`` if they can."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return (
            "the server does not start: its pools need an event loop of asyncio, and another one "
            "runs here (trio). Serve it on asyncio or uvloop (hypercorn -k asyncio)"
        )
    return None
