# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is checked before a server takes its first request: every mistake at once."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import ExecutorConfigError, UnknownExecutorError
from ..executors import BaseExecutor
from ..executors.registry import ExecutorRegistry
from ..hosts.loaded import HOST_PACKAGES
from ..options.call import CALL_OPTIONS
from ..options.source_line import place_of
from ..portable.culprit import find_unpicklable
from ..portable.pickling import dumps, why
from ..portable.references import describe, reference_to
from ..portable.state.declared import state_of_class
from ..routing.tree import RouteLeaf, leaves, unbuilt_leaves
from .entry import OffloadedEntry

__all__ = ["check_routes", "configuration_of", "mistakes_of", "modules_of", "route_mistakes"]


def check_routes(server: Any) -> None:
    """Check every route of ``server`` that names a pool.

    Raises:
        UnknownExecutorError: a route names a pool that nobody declared.
        ExecutorConfigError: a route asks for what its pool cannot keep, takes ``_request``, or
            was bound before the plugin was there. The message lists every mistake.
    """
    mistakes = route_mistakes(server)
    unknown = [text for pool, text in mistakes if pool is not None]
    wrong = [text for pool, text in mistakes if pool is None]
    if unknown:
        raise UnknownExecutorError.of(unknown + wrong)
    if wrong:
        raise ExecutorConfigError.of(wrong)


def route_mistakes(server: Any) -> list[tuple[str | None, str]]:
    """Every mistake of every route of ``server``: the unknown pool, if it is one, and the text."""
    registry: ExecutorRegistry = server.executors
    found: list[tuple[str | None, str]] = []
    for application in server.applications.values():
        router = getattr(application, "route", None)
        if router is None:
            continue
        for leaf in leaves(router):
            found += mistakes_of(registry, f"{application.code}/{leaf.path}", leaf)
        for path, func, marker, owner in unbuilt_leaves(router):
            name = f"{application.code}/{path}"
            found += _mistakes(registry, name, configuration_of(marker), func, owner)
    return found


def configuration_of(marker: dict[str, Any]) -> dict[str, Any]:
    """The plugin's options in what ``@route`` was given, for a route that is not bound yet."""
    configuration = {
        key.removeprefix("executor_"): value
        for key, value in marker.items()
        if key.startswith("executor_")
    }
    configuration.setdefault("pool", marker.get("executor"))
    return configuration


def mistakes_of(
    registry: ExecutorRegistry, name: str, leaf: RouteLeaf
) -> Iterator[tuple[str | None, str]]:
    """The mistakes of one route: the unknown pool, if that is the mistake, and the text."""
    entry = leaf.entry
    stray = [key for key in entry.metadata if key.split("_")[0] == "executor"]
    if stray:
        yield (
            None,
            (
                f"route {name} was bound before genro_executor_plugin was imported, so that "
                f"{stray[0]}={entry.metadata[stray[0]]!r} means nothing; import it first"
            ),
        )
    if isinstance(entry, OffloadedEntry):
        configuration = entry.plugin.configuration(entry.name)
        owner = type(leaf.router.instance)
        yield from _mistakes(registry, name, configuration, entry.original, owner)


def _mistakes(
    registry: ExecutorRegistry,
    name: str,
    configuration: dict[str, Any],
    func: Callable[..., Any],
    owner: type,
) -> Iterator[tuple[str | None, str]]:
    pool = configuration.get("pool")
    if not pool:
        return
    name = _named(name, func)
    if pool not in registry:
        known = ", ".join(map(repr, registry.names))
        yield (
            pool,
            (
                f"route {name} names the pool {pool!r}, which nobody declared; the declared pools "
                f"are {known}: declare it, or correct the name"
            ),
        )
        return
    if "_request" in inspect.signature(func).parameters and not configuration.get("disabled"):
        yield (
            None,
            (
                f"route {name} takes the live _request, which cannot travel to pool {pool!r}; pass "
                "what it needs of the request as arguments, or do not offload it"
            ),
        )
    executor: BaseExecutor = registry.get(pool)
    if executor.kind == "process":
        yield from ((None, f"route {name}: {mistake}") for mistake in _stays_here(func, owner))
    try:
        asked = {option: configuration.get(option) for option in CALL_OPTIONS}
        executor.check_call(f"route {name}", {o: v for o, v in asked.items() if v is not None})
    except ExecutorConfigError as error:
        yield None, str(error)


def _stays_here(func: Callable[..., Any], owner: type) -> Iterator[str]:
    """Why ``func``, a handler of ``owner``, or the state of its ``self`` can never travel."""
    try:
        state_of_class(owner)
    except ExecutorConfigError as error:
        yield str(error)
    plain = getattr(func, "__func__", func)
    if reference_to(plain, owner) is None:
        trouble = find_unpicklable(plain, dumps)
        if trouble is not None:
            path, reason = trouble
            yield (
                f"the function {describe(plain)}{path} cannot travel to a worker: {why(reason)}. "
                "Define it at the top level of a module"
            )


def _named(route: str, func: Callable[..., Any]) -> str:
    """``route`` with the place where its handler is written."""
    place = place_of(func)
    return route if place is None else f"{route} ({place})"


def modules_of(server: Any) -> list[str]:
    """The modules that a worker needs for the routes of ``server``, to be imported once."""
    modules = dict.fromkeys(("genro_routes", *HOST_PACKAGES))
    for application in server.applications.values():
        router = getattr(application, "route", None)
        if router is None:
            continue
        for leaf in leaves(router):
            if isinstance(leaf.entry, OffloadedEntry):
                modules[type(leaf.router.instance).__module__] = None
    return [name for name in modules if name in sys.modules]
