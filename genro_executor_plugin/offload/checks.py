# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What can be wrong with a route, before its first call: every mistake, each with its cure.

A server checks all of its routes before it takes a request, ``genro-executor check`` without
serving, and ``router.configure`` those that it is about to change.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import ExecutorConfigError, UnknownExecutorError
from ..executors.registry import ExecutorRegistry
from ..hosts.contract import HostServer
from ..hosts.loaded import HOST_PACKAGES
from ..options.capabilities import Capability
from ..options.source_line import place_of
from ..portable.culprit import find_unpicklable
from ..portable.modules import is_made_by_code
from ..portable.pickling import dumps, why
from ..portable.references import class_refusal, describe, reference_to
from ..portable.state.declared import state_of_class
from ..routing.keys import why_no_key
from ..routing.live_request import live_request_refusal, takes_live_request
from ..routing.route_options import RouteOptions, stray_markers
from ..routing.tree import Route, adapter_of, routes_of

__all__ = ["Mistake", "error_of", "expects_jobs", "mistakes_of", "modules_of", "route_mistakes"]


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong with a route.

    Attributes:
        text: the route, what is wrong, and what to do about it.
        unknown_pool: the pool that is not declared, if that is the mistake.
    """

    text: str
    unknown_pool: str | None = None


def route_mistakes(server: HostServer) -> list[Mistake]:
    """Every mistake of every route of ``server`` that names a pool.

    The pool is one that was not declared, or cannot keep what the route asks for; or the route
    takes ``_request``, or was bound before the plugin was there.
    """
    registry: ExecutorRegistry = server.executors
    return [
        mistake
        for route in routes_of(server)
        for mistake in mistakes_of(registry, route, route.options)
    ]


def error_of(mistakes: list[Mistake]) -> ExecutorConfigError:
    """The error that tells all of ``mistakes``, unknown pools first."""
    unknown = [mistake for mistake in mistakes if mistake.unknown_pool is not None]
    wrong = [mistake.text for mistake in mistakes if mistake.unknown_pool is None]
    if not unknown:
        return ExecutorConfigError.of(wrong)
    pools = {mistake.unknown_pool for mistake in unknown}
    texts = [mistake.text for mistake in unknown] + wrong
    return UnknownExecutorError.of(texts, pool=pools.pop() if len(pools) == 1 else None)


def mistakes_of(
    registry: ExecutorRegistry, route: Route, options: RouteOptions
) -> Iterator[Mistake]:
    """The mistakes of ``route`` when ``options`` are in force for it."""
    if route.entry is not None:
        metadata = route.entry.metadata
        for name in stray_markers(metadata)[:1]:
            yield Mistake(
                f"route {route.path} was bound before genro_executor_plugin was imported, so "
                f"that {name}={metadata[name]!r} means nothing; put `import "
                "genro_executor_plugin` at the top of the module that makes its section"
            )
    pool = options.pool
    if pool is None or options.left_alone:
        return
    if pool not in registry:
        error = registry.unknown(pool, f"route {_placed(route)}")
        yield Mistake(str(error), pool)
        return
    executor = registry.get(pool)
    travels = executor.needs_portable_calls or options.background
    if options.offloaded and travels and takes_live_request(route):
        yield Mistake(live_request_refusal(_placed(route), f"pool {pool!r}"))
    if options.key is not None and (text := why_no_key(options.key, route.signature)) is not None:
        yield Mistake(f"route {_placed(route)}: {text}")
    if Capability.PORTABLE in executor.capabilities:
        for text in _stays_here(route.handler, route.owner):
            yield Mistake(f"route {_placed(route)}: {text}")
    try:
        executor.check_call(f"route {route.path}", options.of_calls)
    except ExecutorConfigError:
        try:  # Once more with the place: to find it for every correct route takes too long.
            executor.check_call(f"route {_placed(route)}", options.of_calls)
        except ExecutorConfigError as error:
            yield Mistake(str(error))


def _stays_here(func: Callable[..., Any], owner: type) -> Iterator[str]:
    """Why ``func``, a handler of ``owner``, or the state of its ``self`` can never travel."""
    try:
        state_of_class(owner)
    except ExecutorConfigError as error:
        yield str(error)
    for module in {owner.__module__, func.__module__}:
        if is_made_by_code(module):
            yield (
                f"the module {module!r} is made by code, so that no worker can import it. "
                "Define the class and its handlers in a module with a file"
            )
    if reference_to(owner) is None:
        trouble = find_unpicklable(owner, dumps)
        if trouble is not None:
            yield class_refusal(owner, why(trouble[1]))
    plain = getattr(func, "__func__", func)
    if reference_to(plain, owner) is None:
        trouble = find_unpicklable(plain, dumps)
        if trouble is not None:
            path, reason = trouble
            yield (
                f"the function {describe(plain)}{path} cannot travel to a worker: {why(reason)}. "
                "Define it at the top level of a module"
            )


def _placed(route: Route) -> str:
    """The path of ``route`` with the place where its handler is written."""
    place = place_of(route.handler)
    return route.path if place is None else f"{route.path} ({place})"


def expects_jobs(server: HostServer) -> bool:
    """Whether a route of ``server`` answers with a long job."""
    return any(route.options.background for route in routes_of(server))


def modules_of(server: HostServer) -> list[str]:
    """The modules that a worker needs for the routes of ``server``, to be imported once."""
    modules = dict.fromkeys(("genro_routes", *HOST_PACKAGES))
    for route in routes_of(server):
        if route.entry is not None and adapter_of(route.entry) is not None:
            modules[route.owner.__module__] = None
    return [name for name in modules if name in sys.modules]
