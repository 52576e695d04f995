# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The state of pools and routes as plain values, for JSON: what the page shows, and no more.

It has names, numbers and errors, and never what a call or an initializer was given.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..executors import BaseExecutor
from ..executors.registry import ExecutorRegistry
from ..hosts.contract import HostServer
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
from ..routing.tree import Route, routes_of
from .history import SAMPLE_SECONDS, History

__all__ = ["installed_version", "snapshot_of"]


_CONTROLS: Mapping[str, Capability | None] = {
    "pause": Capability.PAUSES,
    "drain": None,
    "resize": Capability.RESIZES,
    "restart": Capability.WORKERS,
    "kill_worker": Capability.WORKERS,
    "end_agent": Capability.AGENTS,
}
"""What can be done to a pool, and which capability it needs for that; ``None`` for none."""


def snapshot_of(server: HostServer, history: History) -> dict[str, Any]:
    """Return the state of the pools and routes of ``server`` at this moment."""
    registry: ExecutorRegistry = server.executors
    pools = registry.used
    unhealthy = registry.unhealthy
    return {
        "now": round(time.time(), 3),
        "server": {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "version": installed_version(),
            "started_at": history.began_at,
            "healthy": not unhealthy,
            "unhealthy": unhealthy,
        },
        "sample_seconds": SAMPLE_SECONDS,
        "pools": [_pool(executor, history) for _, executor in sorted(pools.items())],
        "unused_pools": [name for name in registry.names if name not in pools],
        "routes": list(_routes(server, pools)),
        "errors": _errors(pools),
    }


@cache
def installed_version() -> str:
    """The version of this package as it is installed."""
    try:
        return version("genro-executor-plugin")
    except PackageNotFoundError:  # it lies in a folder of its own
        return "not known"


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


def _routes(server: HostServer, pools: Mapping[str, BaseExecutor]) -> Iterator[dict[str, Any]]:
    for route in routes_of(server):
        if not route.path.startswith("_"):  # an application of the server's own
            yield _route(route, pools)


def _route(route: Route, pools: Mapping[str, BaseExecutor]) -> dict[str, Any]:
    options = route.options
    executor = pools.get(options.pool) if options.pool is not None else None
    return {
        "path": route.path,
        "pool": options.pool,
        "offloaded": options.offloaded,
        "disabled": options.disabled,
        "options": dict.fromkeys(CALL_OPTIONS) | options.of_calls,
        "effective": options.effective(executor),
        **_counted(route.path, pools),
    }


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
