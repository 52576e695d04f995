# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

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

from ..errors import ExecutorError, SerializationError
from ..executors import BaseExecutor, Call
from ..executors.registry import ExecutorRegistry
from ..options.call import CALL_OPTIONS, CallOptions
from ..routing.caller import calling
from ..routing.client import current_client
from ..routing.responses import local_response, may_stream, worker_response
from ..routing.tree import application_of, cleanup_of, path_of
from ..tasks.followed_call import following
from ..tasks.http.accepted import answer_later

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
    """Where a call runs: in a pool, or here when ``executor`` is ``None``; later, or now."""

    executor: BaseExecutor | None
    options: CallOptions
    background: bool = False


_HERE = _Plan(None, CallOptions())


@dataclass(frozen=True, slots=True)
class _Bridge:
    """A call whose plugins run on a thread: its plan, and the way back to the event loop."""

    plan: _Plan
    loop: asyncio.AbstractEventLoop
    running: list[Future[Any]]


_bridge: contextvars.ContextVar[_Bridge] = contextvars.ContextVar("_bridge")


class OffloadedEntry(MethodEntry):
    """A ``MethodEntry`` that was offloaded; what it was before is ``original``.

    It is never constructed: ``offload`` turns an existing entry into one, because the router
    and whoever looked it up hold on to that object.
    """

    original: Callable[..., Any]
    is_async: bool
    may_stream: bool
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
        if looked_at and not self.is_async:
            chain = self._through_a_thread(self.router._wrap_handler(self, self._innermost()))
        self.__dict__["_handler"] = chain

    # -- where a call runs ----------------------------------------------------------------------

    def plan(self) -> _Plan:
        """Where a call runs by the configuration as it is now."""
        if not self.router.is_plugin_enabled(self.name, self.plugin.name):
            return _HERE
        version = self.plugin.version
        known = self.__dict__.get("_planned")
        if known is None or known[0] != version:
            known = version, self._plan()
            if known[1] is not None:
                self.__dict__["_planned"] = known
        return known[1] or _HERE

    def _plan(self) -> _Plan | None:
        """The plan of the configuration; ``None`` without a server, which may come yet."""
        configuration = self.plugin.configuration(self.name)
        pool = configuration.get("pool")
        if not pool or configuration.get("disabled"):
            return _HERE
        registry = registry_of(self.router.instance)
        if registry is None:
            return None
        try:
            executor = registry.get(pool)
            options = self.call_options(executor, configuration)
            return _Plan(executor, options, bool(configuration.get("background")))
        except ExecutorError as error:
            self._log(error)
            raise

    def call_options(self, executor: BaseExecutor, configuration: Mapping[str, Any]) -> CallOptions:
        """The options of this route's calls, checked against what the pool can keep.

        Raises:
            ExecutorConfigError: naming the route, the option and the reason.
        """
        asked = {
            name: configuration[name]
            for name in CALL_OPTIONS
            if configuration.get(name) is not None
        }
        path = path_of(self.router, self.name)
        return executor.check_call(f"route {self.name!r}", asked, route=self.name, path=path)

    async def run(self, plan: _Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the handler by ``plan``."""
        if plan.executor is None:
            result = await self._run_here(functools.partial(self.original, *args, **kwargs))
            return await local_response(result, self._media_type) if self.may_stream else result
        try:
            self._refuse_request(kwargs)
            if plan.background and calling.get() is not None:
                return await answer_later(self.router.instance, self.original, args, kwargs)
            call = Call(self.original, args, kwargs, plan.options, self._cleanup())
            if (followed := following.get()) is not None:
                followed.attach(plan.executor, call)
            client = current_client()
            if self.may_stream:
                running = self._run_streaming(plan.executor, call)
            else:
                running = plan.executor.run(call)
            return await (running if client is None else client.call(running))
        except ExecutorError as error:
            self._log(error)
            raise

    async def _run_streaming(self, executor: BaseExecutor, call: Call) -> Any:
        stream = executor.open_stream(call)
        head = await stream.head()
        if head is None:
            return await local_response(stream.result(), self._media_type)
        return await worker_response(stream, head, self._media_type)

    @property
    def _media_type(self) -> str | None:
        """What the route says of its body: ``meta_media_type=`` is what the server goes by."""
        meta = self.metadata.get("meta", {})
        return meta.get("media_type") or self.metadata.get("media_type")

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
        if self.is_async:
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
        return cleanup_of(self.router.instance, self.original)

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
        bridge = _bridge.get()
        if bridge.plan.executor is None:
            return self.original(*args, **kwargs)
        future = asyncio.run_coroutine_threadsafe(self.run(bridge.plan, args, kwargs), bridge.loop)
        bridge.running.append(future)
        return future.result()

    def _through_a_thread(self, chain: Callable[..., Any]) -> Callable[..., Any]:
        def through_a_thread(*args: Any, **kwargs: Any) -> Any:
            # Now, and not when the coroutine is awaited: what is raised here RouterNode answers
            # as the request's mistake, what is raised there is the handler's.
            self._check_arguments(args, kwargs)
            return run(args, kwargs)

        async def run(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
            bridge = _Bridge(self.plan(), asyncio.get_running_loop(), [])
            token = _bridge.set(bridge)
            try:
                call = functools.partial(chain, *args, **kwargs)
                if bridge.plan.executor is None:
                    result = await self._run_here(call)
                    if self.may_stream:
                        result = await local_response(result, self._media_type)
                    return result
                return await _on_own_thread(call, bridge, f"genro-executor-{self.name}")
            finally:
                _bridge.reset(token)

        return through_a_thread


async def _on_own_thread(call: Callable[[], Any], bridge: _Bridge, name: str) -> Any:
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
        for future in bridge.running:
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
    entry.is_async = inspect.iscoroutinefunction(original)
    entry.may_stream = may_stream(original)
    entry.plugin = plugin

    @functools.wraps(original)
    async def offloaded(*args: Any, **kwargs: Any) -> Any:
        return await entry.run(entry.plan(), args, kwargs)

    entry.func = offloaded
    entry.handler = offloaded if chain is original else entry.router._wrap_handler(entry, offloaded)
