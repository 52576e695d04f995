# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Plugins that look at what a handler returns, around a sync handler that runs in a pool.

Such a plugin (logging does it, to time the call) would see a coroutine where the handler had a
value. So the whole chain of plugins runs on a thread of its own, and its innermost step waits
there for the pool. The thread is never one of the server's: those answer other requests.

An async handler needs none of this: a plugin around it sees a coroutine without pools, too.
"""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from genro_routes.plugins import BasePlugin, MethodEntry
from genro_routes.plugins.pydantic import PydanticPlugin

from ..routing.keys import keyed_options
from ..routing.privates import chain_around
from ..routing.responses import local_response
from ..routing.tree import adapter_of, plugin_of
from .entry import OffloadedHandler
from .plan import Plan

__all__ = ["BridgedEntry", "bridge"]

_DOES_NOT_LOOK = (BasePlugin.wrap_handler, PydanticPlugin.wrap_handler)
"""Wrappers that do not look at what the handler returns."""


@dataclass(frozen=True, slots=True)
class _Crossing:
    """A call whose plugins run on a thread: its plan, and the way back to the event loop."""

    plan: Plan
    loop: asyncio.AbstractEventLoop
    running: list[Future[Any]]


_crossing: contextvars.ContextVar[_Crossing] = contextvars.ContextVar("genro_executor_crossing")


def bridge(entry: MethodEntry, plugin: BasePlugin) -> None:
    """Have the chain of ``entry`` called on a thread, if a plugin beside ``plugin`` looks."""
    if isinstance(entry, BridgedEntry):
        return
    handler = adapter_of(entry)
    if handler is None or handler.is_async:
        return
    for other in entry.router.iter_plugins():
        if other is not plugin and type(other).wrap_handler not in _DOES_NOT_LOOK:
            entry.__class__ = BridgedEntry
            return


class BridgedEntry(MethodEntry):
    """An entry whose chain of plugins is called on a thread, whichever chain it is given.

    This is a trick, and the only one. What calls the chain has to stand outside of all plugins,
    and no plugin stands there for sure: ``wrap_handler`` puts it inside of those that were
    attached before it, and the router has no hook for the moment when it assigns the finished
    chain to ``entry.handler``, which it does again at every registration and every ``plug``. So
    the entry itself intercepts the assignment. It is never constructed: ``bridge`` changes the
    class of an existing entry, because the router and all who looked it up hold that object.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "handler":
            value = _through_a_thread(adapter_of(self))
        super().__setattr__(name, value)


def _through_a_thread(handler: OffloadedHandler) -> Callable[..., Any]:
    entry, router = handler.entry, handler.entry.router
    chain = chain_around(router, entry, _innermost(handler))
    pydantic = plugin_of(router, "pydantic")
    validate: Callable[..., Any] | None = None
    if pydantic is not None:
        validate = pydantic.wrap_handler(router, entry, lambda *_, **__: None)

    def through_a_thread(*args: Any, **kwargs: Any) -> Any:
        # Now, and not when the coroutine is awaited: what is raised here RouterNode answers
        # as the request's mistake, what is raised there is the handler's.
        if validate is not None and router.is_plugin_enabled(entry.name, "pydantic"):
            validate(*args, **kwargs)
        return _cross(handler, args, kwargs, functools.partial(chain, *args, **kwargs))

    return through_a_thread


def _innermost(handler: OffloadedHandler) -> Callable[..., Any]:
    """The innermost step of a chain that runs on a thread; it looks like the handler."""

    @functools.wraps(handler.original)
    def innermost(*args: Any, **kwargs: Any) -> Any:
        crossing = _crossing.get()
        if crossing.plan.executor is None:
            return handler.original(*args, **kwargs)
        running = handler.run(crossing.plan, args, kwargs)
        future = asyncio.run_coroutine_threadsafe(running, crossing.loop)
        crossing.running.append(future)
        return future.result()

    return innermost


async def _cross(
    handler: OffloadedHandler,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    call: Callable[[], Any],
) -> Any:
    """Run ``call``, the plugins' chain with its arguments, where the plan wants it."""
    crossing = _Crossing(handler.plan.now(), asyncio.get_running_loop(), [])
    token = _crossing.set(crossing)
    try:
        if crossing.plan.executor is not None:
            options = keyed_options(crossing.plan.options, handler.original, args, kwargs)
            async with crossing.plan.executor.thread_beside(options):
                return await _on_own_thread(call, crossing, f"genro-executor-{handler.entry.name}")
        result = await handler.run_here(call)
        return await local_response(result, handler.media_type) if handler.may_stream else result
    finally:
        _crossing.reset(token)


async def _on_own_thread(call: Callable[[], Any], crossing: _Crossing, name: str) -> Any:
    """Run ``call`` on a thread that is there for this call alone.

    There is one for each place in the pool: calls that wait for a place wait before it.
    """
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
        for future in crossing.running:
            future.cancel()
        raise
