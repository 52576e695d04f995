# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The routes of a server as plain values: their options, and what was counted of their calls.

A server may have hundreds of routes and somebody who looks at them every two seconds. What is in
force for a route is therefore computed again after a change of its options, and quantiles after
another call; everything here runs on the event loop.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ..executors import BaseExecutor
from ..hosts.contract import HostServer
from ..metrics.counters import OUTCOMES, Histogram, RouteMetrics, quantile
from ..options.call import CALL_OPTIONS
from ..routing.route_options import PLUGIN
from ..routing.tree import Route, plugin_of, routes_of

__all__ = ["RouteRows"]

_NEVER = Histogram()


class RouteRows:
    """What is known of each route of a server, kept from one look to the next."""

    def __init__(self) -> None:
        self._in_force: dict[str, tuple[Any, dict[str, Any]]] = {}
        self._counted: dict[str, tuple[Any, dict[str, Any]]] = {}

    def of(self, server: HostServer, pools: Mapping[str, BaseExecutor]) -> Iterator[dict[str, Any]]:
        """The rows of all routes but the server's own. What is in them is not to be changed."""
        counters: dict[str, list[RouteMetrics]] = {}
        for executor in pools.values():
            for path, metrics in executor.counters.routes.items():
                counters.setdefault(path, []).append(metrics)
        in_force, counted = self._in_force, self._counted
        self._in_force, self._counted = {}, {}
        for route in routes_of(server):
            if route.path.startswith("_"):  # an application of the server's own
                continue
            path = route.path
            self._in_force[path] = _options(server, route, pools, in_force.get(path))
            self._counted[path] = _figures(counters.get(path, []), counted.get(path))
            yield {"path": path, **self._in_force[path][1], **self._counted[path][1]}


def _options(
    server: HostServer,
    route: Route,
    pools: Mapping[str, BaseExecutor],
    known: tuple[Any, dict[str, Any]] | None,
) -> tuple[Any, dict[str, Any]]:
    version: Any = None
    if route.entry is not None and (plugin := plugin_of(route.router, PLUGIN)) is not None:
        name = route.entry.name
        version = (plugin, plugin.version, route.router.is_plugin_enabled(name, PLUGIN))
        state = None if known is None else (version, _pool_state(server, pools, known[1]["pool"]))
        if known is not None and known[0] == state:
            return known
    options = route.options
    executor = pools.get(options.pool) if options.pool is not None else None
    facts = {
        "pool": options.pool,
        "offloaded": options.offloaded,
        "disabled": options.disabled,
        "options": dict.fromkeys(CALL_OPTIONS) | options.of_calls,
        "effective": options.effective(executor),
    }
    return (version, _pool_state(server, pools, options.pool)), facts


def _pool_state(server: HostServer, pools: Mapping[str, BaseExecutor], name: str | None) -> Any:
    """Changes when another pool is meant, or it has other options; those hold for the route."""
    executor = pools.get(name) if name is not None else None
    return executor.pool_options if executor is not None else name in server.executors


def _figures(
    found: list[RouteMetrics], known: tuple[Any, dict[str, Any]] | None
) -> tuple[Any, dict[str, Any]]:
    """What was counted of a route, summed over the pools that it ran in."""
    outcomes = [sum(getattr(one, name) for one in found) for name in OUTCOMES]
    state = (outcomes, sum(one.run.total for one in found))
    if known is not None and known[0] == state:
        return known
    together = found[0].run if len(found) == 1 else _NEVER
    if len(found) > 1:
        together = Histogram()
        for metrics in found:
            together.add_all(metrics.run)
    return state, {
        "outcomes": dict(zip(OUTCOMES, outcomes, strict=True)),
        "run_p50_ms": _ms(quantile(together.counts, 0.5)),
        "run_p95_ms": _ms(quantile(together.counts, 0.95)),
        "run_mean_ms": _ms(together.mean or None),
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)
