# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A configuration looked at without serving it: its pools, its routes, and every mistake.

The server is built, which runs the recipe and the applications' constructors; no worker is
started and no port is opened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

from ..errors import ExecutorConfigError
from ..executors.registry import BUILT_IN_POOLS, ExecutorRegistry
from ..offload.checks import route_mistakes
from ..options.pool import PoolOptions, kind_of
from ..options.source_line import place_of
from ..routing.tree import Route, routes_of
from ..serving.configuration import configured_pools, handler_of
from ..serving.grammar import WrittenPool, mistakes_in
from .launching import ExecutorLauncher, UnbuiltError, find_siblings

__all__ = ["PoolReport", "Report", "RouteReport", "inspect_source"]


@dataclass(frozen=True, slots=True)
class PoolReport:
    """A pool as it would be.

    Attributes:
        name: its name.
        mode: how its calls would run: ``process``, ``thread``, ``inline`` or ``bypass``.
        where: the file and line of the recipe, ``None`` for a pool declared elsewhere.
        options: the options that differ from their defaults, and ``max_workers``.
        routes: how many routes name it.
    """

    name: str
    mode: str
    where: str | None
    options: dict[str, Any]
    routes: int


@dataclass(frozen=True, slots=True)
class RouteReport:
    """A route as it would be called.

    Attributes:
        path: ``application/section/route``.
        pool: the pool it runs in, ``None`` when it runs in the server.
        mode: as the pool's, ``"server"`` without one.
        limits: the limits in force, the route's own or the pool's.
        where: the file and line of its handler.
    """

    path: str
    pool: str | None
    mode: str
    limits: dict[str, Any]
    where: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything that was found."""

    source: str
    pools: tuple[PoolReport, ...]
    routes: tuple[RouteReport, ...]
    mistakes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values; what is none is shown as Python writes it."""
        document: dict[str, Any] = _plain(asdict(self))
        return document


def inspect_source(launcher: ExecutorLauncher) -> Report:
    """What ``launcher`` would serve.

    Raises:
        CliError: the source is none, or the home of its site is not there.
        UnbuiltError: a recipe or an application raised something else than a mistake of pools.
    """
    described = launcher.described
    written: list[WrittenPool] = []
    mistakes: list[str] = []
    if "config" in described:
        find_siblings(described["config"])
        try:
            described["config"] = handler_of(described["config"])
            written = configured_pools(described["config"])
        except Exception as error:
            raise UnbuiltError(str(error)) from error
        mistakes = mistakes_in(written)
        # With what is right of them: routes are judged, too, by the pools as they are meant.
        described["executors"] = {pool.code: _right_of(pool) for pool in written}
    try:
        server = launcher.building(described)
    except UnbuiltError as error:
        if isinstance(error.__cause__, ExecutorConfigError):
            # An application has pools of its own, and will not be built with wrong ones.
            return Report(launcher.source, (), (), (*mistakes, *error.__cause__.mistakes))
        raise
    try:
        mistakes += [mistake.text for mistake in route_mistakes(server)]
        found = (_route(server.executors, route) for route in routes_of(server))
        routes = tuple(sorted(found, key=lambda route: route.path))
        places = {pool.code: pool.where for pool in written}
        return Report(
            source=str(launcher.source),
            pools=tuple(_pools(server.executors, places, routes)),
            routes=routes,
            mistakes=tuple(mistakes),
        )
    finally:
        asyncio.run(server.executors.shutdown_all())
        server.pool.shutdown()


def _right_of(pool: WrittenPool) -> dict[str, Any]:
    """The declaration of ``pool`` without what is wrong in it."""
    options = dict(pool.options)
    try:
        kind = kind_of(pool.executor_type, pool.code)
    except ExecutorConfigError:
        return {}
    while wrong := PoolOptions.mistakes(pool.code, kind, options):
        for option, _ in wrong:
            options.pop(option, None)
    return {"executor_type": kind, **options}


def _pools(
    registry: ExecutorRegistry, places: dict[str, str], routes: tuple[RouteReport, ...]
) -> Iterator[PoolReport]:
    defaults = {field.name: field.default for field in fields(PoolOptions)}
    for name in registry:
        executor = registry.get(name)
        options = {
            field: value
            for field in defaults
            if (value := getattr(executor.pool_options, field)) != defaults[field]
        }
        used = sum(route.pool == name for route in routes)
        if used or name in places or name not in BUILT_IN_POOLS:
            yield PoolReport(name, executor.mode, places.get(name), options, used)


def _route(registry: ExecutorRegistry, route: Route) -> RouteReport:
    options = route.options
    where = place_of(route.handler)
    pool = options.pool
    if pool is None or not options.offloaded:
        return RouteReport(route.path, None, "server", {}, where)
    if pool not in registry:
        return RouteReport(route.path, pool, "unknown", {}, where)
    executor = registry.get(pool)
    return RouteReport(route.path, pool, executor.mode, options.effective(executor), where)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if value is None or isinstance(value, str | int | float | bool) else repr(value)
