# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The adapter that stands in place of a handler, and sends its calls to their pool.

::

    request -> plugins' chain -> adapter (entry.func) -> RoutePlan.now() -> executor.run(call)
                                                            |
                                                            +-> the handler, here in the server

``plugin`` says why the adapter stands in ``entry.func`` and not in the chain.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any

from genro_routes.plugins import MethodEntry

from ..errors import ExecutorError, SerializationError
from ..executors import BaseExecutor, Call
from ..hosts.contract import HostServer
from ..portable.exceptions import as_of_the_function
from ..routing.caller import current_caller
from ..routing.client import current_client
from ..routing.keys import keyed_options
from ..routing.live_request import LIVE_REQUEST, live_request_refusal, takes_live_request
from ..routing.privates import chain_around
from ..routing.responses import local_response, may_stream, worker_response
from ..routing.tree import adapter_of, application_of
from ..tasks.followed_call import following
from ..tasks.http.accepted import answer_later
from .plan import Plan, RouteConfiguration, RoutePlan, log_failure

__all__ = ["OffloadedHandler", "offload"]


class OffloadedHandler:
    """A handler whose calls may run in a pool; its adapter calls ``run(plan.now(), ...)``.

    Attributes:
        entry: the entry that it is the handler of.
        instance: the application or section that it is a method of.
        original: the handler as the application wrote it.
        is_async: whether that is a coroutine function.
        takes_request: whether it takes the live request.
        may_stream: whether it may answer in chunks.
        plan: where its calls run, now.
    """

    __slots__ = (
        "entry",
        "instance",
        "is_async",
        "may_stream",
        "original",
        "plan",
        "takes_request",
    )

    def __init__(self, configuration: RouteConfiguration, entry: MethodEntry) -> None:
        self.entry: MethodEntry = entry
        self.instance: Any = entry.router.instance
        self.original: Callable[..., Any] = entry.func
        self.is_async: bool = inspect.iscoroutinefunction(entry.func)
        self.may_stream: bool = may_stream(entry.func)
        # Not what a call has among its arguments: a client can give a handler with **kwargs an
        # argument of any name.
        self.takes_request: bool = takes_live_request(entry)
        self.plan: RoutePlan = RoutePlan(configuration, entry.router, entry.name, entry.func)

    def adapter(self) -> Callable[..., Any]:
        """An async function that looks like the handler and runs its calls where they belong."""
        plan_now, run = self.plan.now, self.run

        @functools.wraps(self.original)
        async def offloaded(*args: Any, **kwargs: Any) -> Any:
            return await run(plan_now(), args, kwargs)

        offloaded.offloaded_handler = self  # type: ignore[attr-defined] # for tree.adapter_of
        return offloaded

    async def run(self, plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the handler by ``plan``.

        Raises:
            ExecutorError: as ``BaseExecutor.submit``; it names the route and is logged.
            Exception: what the handler raises.
        """
        if plan.executor is None:
            result = await self.run_here(functools.partial(self.original, *args, **kwargs))
            return await local_response(result, self.media_type) if self.may_stream else result
        try:
            if self.takes_request and LIVE_REQUEST in kwargs and plan.executor.needs_portable_calls:
                raise self._live_request_error(plan.executor)
            options = plan.options
            if options.key is not None:
                options = keyed_options(options, self.original, args, kwargs)
            if plan.background and current_caller() is not None:
                return await answer_later(self.instance, self.original, args, kwargs)
            call = Call(self.original, args, kwargs, options, plan.cleanup)
            if (followed := following.get()) is not None:
                followed.attach(plan.executor, call)
            client = current_client()
            if self.may_stream:
                running = self._run_streaming(plan.executor, call)
            else:
                running = plan.executor.run(call)
            return await (running if client is None else client.call(running))
        except ExecutorError as error:
            log_failure(self.entry.name, error)
            raise
        except Exception as error:
            raise as_of_the_function(error)  # noqa: B904 - it is the same one

    async def _run_streaming(self, executor: BaseExecutor, call: Call) -> Any:
        stream = executor.open_stream(call)
        head = await stream.head()
        if head is None:
            return await local_response(stream.result(), self.media_type)
        return await worker_response(stream, head, self.media_type)

    async def run_here(self, call: Callable[[], Any]) -> Any:
        """Run ``call`` as the server runs the handler without the plugin.

        An async handler runs on the event loop; a sync one on the server's thread pool, with
        ``route_cleanup`` behind it, or on a plain thread where there is no server.
        """
        if self.is_async:
            return await call()
        application = application_of(self.instance)
        cleanup = getattr(application, "route_cleanup", None)

        def with_cleanup() -> Any:
            try:
                return call()
            finally:
                if cleanup is not None:
                    cleanup()

        server: HostServer | None = getattr(application, "server", None)
        if server is None:
            return await asyncio.to_thread(with_cleanup)
        return await server.run_sync(with_cleanup)

    @property
    def media_type(self) -> str | None:
        """What the route says of its body; the server goes by ``meta_media_type=`` first."""
        metadata = self.entry.metadata
        return metadata.get("meta", {}).get("media_type") or metadata.get("media_type")

    def _live_request_error(self, executor: BaseExecutor) -> SerializationError:
        name = self.entry.name
        return SerializationError(
            live_request_refusal(repr(name), f"pool {executor.name!r}"), route=name
        )


def offload(entry: MethodEntry, configuration: RouteConfiguration) -> None:
    """Put the adapter in place of the handler of ``entry``. Doing it again changes nothing."""
    if adapter_of(entry) is not None:
        return
    was_wrapped = entry.handler is not entry.func
    entry.func = OffloadedHandler(configuration, entry).adapter()
    # Without a chain the router is still registering it: there will be one when all is ready.
    entry.handler = chain_around(entry.router, entry, entry.func) if was_wrapped else entry.func
