# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Reports on a configuration without serving it: its pools, its routes, and every mistake.

The server is built, which runs the recipe and the applications' constructors; no worker is
started and no port is opened.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from types import ModuleType
from typing import Any

from ..errors import ExecutorConfigError
from ..executors.kinds import EVERYWHERE
from ..executors.registry import BUILT_IN_POOLS, ExecutorRegistry
from ..hosts.loaded import SYSTEM_APPLICATION
from ..hosts.names import end_unserved, read_configuration
from ..offload.checks import route_mistakes
from ..offload.doubts import doubts_of
from ..options.capabilities import Capability
from ..options.granted import has_gil
from ..options.pool import PoolOptions
from ..options.source_line import place_of
from ..routing.tree import Route, routes_of
from ..serving.configuration import configured_pools
from ..serving.grammar import WrittenPool, mistakes_in
from .changed_globals import changed_globals
from .launching import ExecutorLauncher, UnbuiltError, find_siblings
from .unserved import nothing_served, server_in

__all__ = ["PoolReport", "Report", "RouteReport", "inspect_code", "inspect_source"]


@dataclass(frozen=True, slots=True)
class PoolReport:
    """A pool as it would be made.

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
    """Everything that was found in a configuration.

    Attributes:
        source: what was inspected.
        pools: the pools that there would be.
        routes: every route, by path; without those of the host's own application.
        mistakes: what a server would not start with.
        warnings: where offloading was probably meant and does not happen.
        globals: where modules of routes with worker processes change their globals at run time.
        gil: whether this interpreter has its global lock (GIL), which lets one thread of a
            process run Python code at a time.
    """

    source: str
    pools: tuple[PoolReport, ...]
    routes: tuple[RouteReport, ...]
    mistakes: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    globals: tuple[str, ...] = ()
    gil: bool = field(default_factory=has_gil)

    def as_dict(self) -> dict[str, Any]:
        """The report as plain values; any other value is shown as ``repr`` writes it."""
        document: dict[str, Any] = _plain(asdict(self))
        return document


def inspect_source(launcher: ExecutorLauncher) -> Report:
    """A report on the server that ``launcher`` would serve.

    Raises:
        CliError: the source cannot be served, or the home folder of its site does not exist.
        UnbuiltError: a recipe or an application raised an error that is not about pools, or the
            source is a program that serves.
    """
    with nothing_served(launcher.source):
        described = launcher.described
        written: list[WrittenPool] = []
        mistakes: list[str] = []
        if "config" in described:
            find_siblings(described["config"])
            try:
                described["config"] = read_configuration(described["config"])
                written = configured_pools(described["config"])
            except Exception as error:
                raise UnbuiltError(str(error)) from error
            mistakes = mistakes_in(written)
            # Without the wrong options: routes are checked, too, against pools as they are meant.
            described["executors"] = {pool.code: _without_mistakes(pool) for pool in written}
        try:
            server = launcher.building(described)
        except UnbuiltError as error:
            if isinstance(error.__cause__, ExecutorConfigError):
                # An application declares pools of its own, and is not built when they are wrong.
                return Report(launcher.source, (), (), (*mistakes, *error.__cause__.mistakes))
            raise
    return _report(server, str(launcher.source), written, mistakes)


def inspect_code(source: str) -> Report:
    """A report on the server that ``source``, ``module:name`` or ``file.py:name``, makes.

    Raises:
        CliError: there is none.
        UnbuiltError: the module raised an error that is not about pools.
    """
    try:
        server = server_in(source)
    except UnbuiltError as error:
        if isinstance(error.__cause__, ExecutorConfigError):
            return Report(source, (), (), tuple(error.__cause__.mistakes))
        raise
    return _report(server, source, [], [])


def _report(server: Any, source: str, written: list[WrittenPool], mistakes: list[str]) -> Report:
    """A report on ``server``, which is ended; it was never served."""
    try:
        server.arm_tools()
        mistakes += [mistake.text for mistake in route_mistakes(server)]
        found = (
            _route(server.executors, route)
            for route in routes_of(server)
            if not route.path.startswith(SYSTEM_APPLICATION) or route.options.pool is not None
        )
        routes = tuple(sorted(found, key=lambda route: route.path))
        places = {pool.code: pool.where for pool in written}
        return Report(
            source=source,
            pools=tuple(_pools(server.executors, places, routes)),
            routes=routes,
            mistakes=tuple(mistakes),
            warnings=tuple(doubts_of(server)),
            globals=tuple(changed_globals(_modules_in_workers(server))),
        )
    finally:
        asyncio.run(server.executors.shutdown_all())
        end_unserved(server)


def _modules_in_workers(server: Any) -> list[ModuleType]:
    """The modules of the routes that run in another process, each once."""
    registry: ExecutorRegistry = server.executors
    found: dict[str, ModuleType] = {}
    for route in routes_of(server):
        pool = route.options.pool
        if pool is None or pool not in registry or not route.options.offloaded:
            continue
        if Capability.PORTABLE not in registry.get(pool).capabilities:
            continue
        for name in {route.handler.__module__, route.owner.__module__}:
            module = sys.modules.get(name)
            if module is not None:
                found[name] = module
    return list(found.values())


def _without_mistakes(pool: WrittenPool) -> dict[str, Any]:
    """The declaration of ``pool`` without its wrong options."""
    options = dict(pool.options)
    try:
        kind = EVERYWHERE.find(pool.executor_type, pool.code).kind
    except ExecutorConfigError:
        return {}
    while kind is not None and (wrong := PoolOptions.mistakes(pool.code, kind, options)):
        if not any(option in options for option, _ in wrong):
            return {}  # something that is needed is missing
        for option, _ in wrong:
            options.pop(option, None)
    return {"executor_type": pool.executor_type, **options}


def _pools(
    registry: ExecutorRegistry, places: dict[str, str], routes: tuple[RouteReport, ...]
) -> Iterator[PoolReport]:
    for name in registry:
        executor = registry.get(name)
        options = executor.pool_options.changed()
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
