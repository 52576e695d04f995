# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The state of pools and routes as plain values, for JSON: what the page shows, and no more.

It has names, numbers and errors, and never what a call or an initializer was given.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from ..executors import BaseExecutor
from ..executors.registry import ExecutorRegistry
from ..metrics.counters import (
    OUTCOMES,
    Histogram,
    RouteMetrics,
    quantile,
)
from ..options.call import CALL_OPTIONS
from ..options.capabilities import Capability
from ..options.pool import PoolOptions
from ..portable.references import describe
from ..routing.tree import RouteLeaf, leaves, unbuilt_leaves
from .history import SAMPLE_SECONDS, History

__all__ = ["snapshot_of"]


_CONTROLS: Mapping[str, Capability | None] = {
    "pause": Capability.PAUSES,
    "drain": None,
    "resize": Capability.RESIZES,
    "restart": Capability.PROCESSES,
    "kill_worker": Capability.PROCESSES,
}
"""What can be done to a pool, and which capability it needs for that; ``None`` for none."""


def snapshot_of(server: Any, history: History) -> dict[str, Any]:
    """Return the state of the pools and routes of ``server`` at this moment."""
    registry: ExecutorRegistry = server.executors
    pools = registry.executors
    unhealthy = registry.unhealthy
    return {
        "now": round(time.time(), 3),
        "server": {"pid": os.getpid(), "healthy": not unhealthy, "unhealthy": unhealthy},
        "sample_seconds": SAMPLE_SECONDS,
        "pools": [_pool(executor, history) for _, executor in sorted(pools.items())],
        "unused_pools": [name for name in registry.names if name not in pools],
        "routes": list(_routes(server, pools)),
        "errors": _errors(pools),
    }


def _pool(executor: BaseExecutor, history: History) -> dict[str, Any]:
    metrics, counters = executor.metrics, executor.counters
    return {
        **metrics,
        "kind": executor.kind,
        "unhealthy": executor.unhealthy,
        "paused": executor.paused,
        "draining": executor.draining,
        "controls": [
            control
            for control, needed in _CONTROLS.items()
            if needed is None or needed in executor.capabilities
        ],
        "utilization": round(metrics["busy"] / max(1, metrics["max_workers"]), 4),
        "rejections": dict(counters.rejections),
        "restarts_by_reason": executor.restarts,
        "worker_states": [asdict(worker) for worker in executor.worker_states()],
        "options": _options(executor.pool_options),
        "history": history.of(executor.name),
    }


def _options(options: PoolOptions) -> dict[str, Any]:
    """Return the options in force.

    The arguments of an initializer and the options that only this kind has may be secrets: of
    those there is the name alone.
    """
    shown: dict[str, Any] = {}
    for name, value in options.as_dict().items():
        if name == "initargs":
            continue
        if name in options.own:
            shown[name] = "..."
        elif isinstance(value, tuple):
            shown[name] = [_plain(item) for item in value]
        else:
            shown[name] = _plain(value)
    return shown


def _plain(value: Any) -> Any:
    """Return ``value`` as JSON can have it: a callable by its name, anything else as text."""
    if value is None or isinstance(value, str | int | float):
        return value
    return describe(value) if callable(value) else str(value)


def _routes(server: Any, pools: Mapping[str, BaseExecutor]) -> Iterator[dict[str, Any]]:
    for application in server.applications.values():
        router = getattr(application, "route", None)
        if router is None or application.code.startswith("_"):
            continue
        for leaf in leaves(router):
            yield _route(f"{application.code}/{leaf.path}", *_configured(leaf), pools)
        for path, _, marker, _ in unbuilt_leaves(router):
            own = {
                name.removeprefix("executor_"): value
                for name, value in marker.items()
                if name.startswith("executor_")
            }
            own.setdefault("pool", marker.get("executor"))
            yield _route(f"{application.code}/{path}", own, True, pools)


def _configured(leaf: RouteLeaf) -> tuple[dict[str, Any], bool]:
    """Return the plugin's options of a route, and whether the plugin is switched on for it."""
    plugin = leaf.router._plugins_by_name.get("executor")
    if plugin is None:
        return {}, True
    name = leaf.entry.name
    return plugin.configuration(name), leaf.router.is_plugin_enabled(name, "executor")


def _route(
    path: str, own: Mapping[str, Any], switched_on: bool, pools: Mapping[str, BaseExecutor]
) -> dict[str, Any]:
    pool = own.get("pool")
    executor = pools.get(pool) if pool else None
    disabled = bool(own.get("disabled")) or not switched_on
    return {
        "path": path,
        "pool": pool,
        "offloaded": bool(pool) and not disabled,
        "disabled": disabled,
        "options": {option: own.get(option) for option in CALL_OPTIONS},
        "effective": {option: _effective(option, own, executor) for option in CALL_OPTIONS},
        **_counted(path, pools),
    }


def _effective(option: str, own: Mapping[str, Any], executor: BaseExecutor | None) -> Any:
    if own.get(option) is not None or executor is None:
        return own.get(option)
    return getattr(executor.pool_options, option)


def _counted(path: str, pools: Mapping[str, BaseExecutor]) -> dict[str, Any]:
    """Return what was counted of a route, summed over the pools that it ran in."""
    found: list[RouteMetrics] = [
        executor.counters.routes[path]
        for executor in pools.values()
        if path in executor.counters.routes
    ]
    together = Histogram()
    for metrics in found:
        together.add_all(metrics.run)
    return {
        "outcomes": {name: sum(getattr(one, name) for one in found) for name in OUTCOMES},
        "run_p50_ms": _ms(quantile(together.counts, 0.5)),
        "run_p95_ms": _ms(quantile(together.counts, 0.95)),
        "run_mean_ms": _ms(together.mean or None),
    }


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1000, 3)


def _errors(pools: Mapping[str, BaseExecutor]) -> list[dict[str, Any]]:
    found = [
        {"pool": name, **asdict(incident)}
        for name, executor in pools.items()
        for incident in executor.counters.incidents.latest_first
    ]
    return sorted(found, key=lambda error: error["last_at"], reverse=True)
