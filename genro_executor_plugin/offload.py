# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""A route entry whose handler may run in a pool.

Offloading an entry replaces its ``func`` by an async adapter with the same name, signature and
docs: the dispatcher, MCP, tasks, the scheduler and the command-line interface then await it.
The adapter is what stands nearest to the handler, so every other plugin runs around it, in the
server, whatever the order they were attached in.

A plugin whose wrapper looks at the handler's result (logging does, to time the call) would see
a coroutine where the sync handler had a value. For such plugins the chain runs on a thread of
its own, which waits for the pool: never one of the server's.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from genro_routes.plugins import BasePlugin, MethodEntry
from genro_routes.plugins.pydantic import PydanticPlugin

from .errors import ExecutorError, SerializationError
from .executors import BaseExecutor, Call
from .options import CALL_OPTIONS, CallOptions
from .registry import ExecutorRegistry
from .routes import application_of

__all__ = ["OffloadedEntry", "offload", "registry_of"]

_NO_WRAPPER = (BasePlugin.wrap_handler, PydanticPlugin.wrap_handler)
"""Wrappers that do not look at what the handler returns."""

_logger = logging.getLogger("genro_executor_plugin")


def registry_of(instance: Any) -> ExecutorRegistry | None:
    """The pools of the server that ``instance`` is served by, ``None`` without such a server."""
    server = getattr(application_of(instance), "server", None)
    registry = getattr(server, "executors", None)
    return registry if isinstance(registry, ExecutorRegistry) else None


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where one call runs: in a pool, or here when ``executor`` is ``None``."""

    executor: BaseExecutor | None
    options: CallOptions
    loop: asyncio.AbstractEventLoop
    running: list[Future[Any]]


_plan: contextvars.ContextVar[_Plan] = contextvars.ContextVar("_plan")


class OffloadedEntry(MethodEntry):
    """A ``MethodEntry`` that was offloaded; what it was before is ``original``.

    It is never constructed: ``offload`` turns an existing entry into one, because the router
    and whoever looked it up hold on to that object.
    """

    original: Callable[..., Any]
    plugin: Any

    @property
    def handler(self) -> Callable[..., Any]:
        """What a request calls: the plugins' chain, ending in the adapter."""
        handler: Callable[..., Any] = self.__dict__["_handler"]
        return handler

    @handler.setter
    def handler(self, chain: Callable[..., Any]) -> None:
        wrappers = [type(plugin).wrap_handler for plugin in self.router.iter_plugins()]
        looked_at = any(
            wrapper not in _NO_WRAPPER and wrapper is not type(self.plugin).wrap_handler
            for wrapper in wrappers
        )
        if looked_at and not inspect.iscoroutinefunction(self.original):
            chain = self._through_a_thread(self.router._wrap_handler(self, self._innermost()))
        self.__dict__["_handler"] = chain

    # -- where a call runs ----------------------------------------------------------------------

    def plan(self) -> _Plan:
        """Where a call runs by the configuration as it is now."""
        loop = asyncio.get_running_loop()
        here = _Plan(None, CallOptions(), loop, [])
        if not self.router.is_plugin_enabled(self.name, self.plugin.name):
            return here
        configuration = self.plugin.configuration(self.name)
        pool = configuration.get("pool")
        if not pool or configuration.get("disabled"):
            return here
        registry = registry_of(self.router.instance)
        if registry is None:
            return here
        try:
            executor = registry.get(pool)
            return _Plan(executor, self.call_options(executor, configuration), loop, [])
        except ExecutorError as error:
            self._log(error)
            raise

    def call_options(self, executor: BaseExecutor, configuration: Mapping[str, Any]) -> CallOptions:
        """The options of this route's calls, checked against what the pool can keep.

        Raises:
            ExecutorConfigError: naming the route, the option and the reason.
        """
        given = tuple((name, configuration.get(name)) for name in CALL_OPTIONS)
        known = self.__dict__.get("_checked")
        if known is not None and known[0] is executor and known[1] == given:
            options: CallOptions = known[2]
            return options
        asked = {name: value for name, value in given if value is not None}
        options = executor.check_call(f"route {self.name!r}", asked, route=self.name)
        self.__dict__["_checked"] = executor, given, options
        return options

    async def run(self, plan: _Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the handler by ``plan``."""
        if plan.executor is None:
            return await self._run_here(functools.partial(self.original, *args, **kwargs))
        try:
            self._refuse_request(kwargs)
            call = Call(self.original, args, kwargs, plan.options, self._cleanup())
            return await plan.executor.run(call)
        except ExecutorError as error:
            self._log(error)
            raise

    def _log(self, error: ExecutorError) -> None:
        error.route = error.route or self.name
        if error.status == 500:
            _logger.error("route %r: %s", self.name, error, exc_info=error)

    def _refuse_request(self, kwargs: dict[str, Any]) -> None:
        if "_request" in kwargs:
            raise SerializationError(
                f"route {self.name!r} takes the live _request, which cannot travel to a worker. "
                "Pass what it needs of the request as arguments, or do not offload it",
                route=self.name,
            )

    async def _run_here(self, call: Callable[[], Any]) -> Any:
        if inspect.iscoroutinefunction(self.original):
            return await call()
        application = application_of(self.router.instance)
        cleanup = getattr(application, "route_cleanup", None)

        def with_cleanup() -> Any:
            try:
                return call()
            finally:
                if cleanup is not None:
                    cleanup()

        server = getattr(application, "server", None)
        if server is None:
            return await asyncio.to_thread(with_cleanup)
        return await server.run_sync(with_cleanup)

    def _cleanup(self) -> Any:
        """The application whose ``route_cleanup`` must run in the worker, if it has one."""
        application = application_of(self.router.instance)
        cleanup = getattr(type(application), "route_cleanup", None)
        if cleanup is None or cleanup.__module__ == "genro_asgi.routed_application":
            return None
        return None if inspect.iscoroutinefunction(self.original) else application

    # -- plugins that look at the result --------------------------------------------------------

    def _innermost(self) -> Callable[..., Any]:
        """``_from_thread`` with the handler's name and signature, for wrappers that look."""

        @functools.wraps(self.original)
        def innermost(*args: Any, **kwargs: Any) -> Any:
            return self._from_thread(*args, **kwargs)

        return innermost

    def _check_arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise what pydantic has against the arguments, without calling anything."""
        pydantic = self.router._plugins_by_name.get("pydantic")
        if pydantic is not None and self.router.is_plugin_enabled(self.name, "pydantic"):
            pydantic.wrap_handler(self.router, self, lambda *_, **__: None)(*args, **kwargs)

    def _from_thread(self, *args: Any, **kwargs: Any) -> Any:
        """The innermost step of the chain when it runs on a thread."""
        plan = _plan.get()
        if plan.executor is None:
            return self.original(*args, **kwargs)
        future = asyncio.run_coroutine_threadsafe(self.run(plan, args, kwargs), plan.loop)
        plan.running.append(future)
        return future.result()

    def _through_a_thread(self, chain: Callable[..., Any]) -> Callable[..., Any]:
        def through_a_thread(*args: Any, **kwargs: Any) -> Any:
            # Now, and not when the coroutine is awaited: what is raised here RouterNode answers
            # as the request's mistake, what is raised there is the handler's.
            self._check_arguments(args, kwargs)
            return run(args, kwargs)

        async def run(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            plan = self.plan()
            token = _plan.set(plan)
            try:
                call = functools.partial(chain, *args, **kwargs)
                if plan.executor is None:
                    return await self._run_here(call)
                return await _on_own_thread(call, plan, f"genro-executor-{self.name}")
            finally:
                _plan.reset(token)

        return through_a_thread


async def _on_own_thread(call: Callable[[], Any], plan: _Plan, name: str) -> Any:
    """Run ``call`` on a thread that is there for this call alone."""
    context = contextvars.copy_context()
    outcome: Future[Any] = Future()

    def body() -> None:
        try:
            outcome.set_result(context.run(call))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=body, name=name, daemon=True)
    thread.start()
    try:
        return await asyncio.wrap_future(outcome)
    except asyncio.CancelledError:
        for future in plan.running:
            future.cancel()
        raise


def offload(plugin: Any, entry: MethodEntry) -> None:
    """Turn ``entry`` into an ``OffloadedEntry``. Doing it again changes nothing."""
    if isinstance(entry, OffloadedEntry):
        return
    original = entry.func
    chain = entry.__dict__.pop("handler")
    entry.__class__ = OffloadedEntry
    assert isinstance(entry, OffloadedEntry)
    entry.original = original
    entry.plugin = plugin

    @functools.wraps(original)
    async def offloaded(*args: Any, **kwargs: Any) -> Any:
        return await entry.run(entry.plan(), args, kwargs)

    entry.func = offloaded
    entry.handler = offloaded if chain is original else entry.router._wrap_handler(entry, offloaded)
