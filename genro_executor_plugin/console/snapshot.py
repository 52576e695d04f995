# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The state of pools and routes as plain values, for JSON: what the page shows, and no more.

It has names, numbers and errors, and never what a call or an initializer was given.
"""

from __future__ import annotations

import os
import platform
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ..executors import BaseExecutor
from ..executors.registry import ExecutorRegistry
from ..hosts.contract import HostServer
from ..options.capabilities import Capability
from ..options.granted import has_gil
from ..options.pool import PoolOptions
from ..portable.references import describe
from .history import SAMPLE_SECONDS, History
from .route_rows import RouteRows

__all__ = ["installed_version", "pool_facts", "pool_options", "server_facts", "snapshot_of"]


_CONTROLS: Mapping[str, Capability | None] = {
    "pause": Capability.PAUSES,
    "drain": None,
    "resize": Capability.RESIZES,
    "restart": Capability.WORKERS,
    "kill_worker": Capability.WORKERS,
    "end_agent": Capability.AGENTS,
}
"""What can be done to a pool, and which capability it needs for that; ``None`` for none."""


def snapshot_of(server: HostServer, history: History, routes: RouteRows) -> dict[str, Any]:
    """Return the state of the pools and routes of ``server`` at this moment."""
    registry: ExecutorRegistry = server.executors
    pools = registry.used
    return {
        "now": round(time.time(), 3),
        "server": server_facts(registry, history),
        "sample_seconds": SAMPLE_SECONDS,
        "pools": [_pool(executor, history) for _, executor in sorted(pools.items())],
        "unused_pools": [name for name in registry.names if name not in pools],
        "routes": list(routes.of(server, pools)),
        "errors": _errors(pools),
    }


def server_facts(registry: ExecutorRegistry, history: History) -> dict[str, Any]:
    """Which server it is, and whether its pools can serve."""
    unhealthy = registry.unhealthy
    return {
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "version": installed_version(),
        "python": platform.python_version(),
        "gil": has_gil(),
        "started_at": history.began_at,
        "healthy": not unhealthy,
        "unhealthy": unhealthy,
    }


@cache
def installed_version() -> str:
    """The version of this package as it is installed."""
    try:
        return version("genro-executor-plugin")
    except PackageNotFoundError:  # it lies in a folder of its own
        return "not known"


def _pool(executor: BaseExecutor, history: History) -> dict[str, Any]:
    facts = pool_facts(executor)
    return {
        **facts,
        "utilization": round(facts["busy"] / max(1, facts["max_workers"]), 4),
        "worker_states": [asdict(worker) for worker in executor.worker_states()],
        "options": pool_options(executor.pool_options),
        "history": history.of(executor.name),
    }


def pool_facts(executor: BaseExecutor) -> dict[str, Any]:
    """What a pool does now and what it has counted, without its workers and options."""
    return {
        **executor.metrics,
        "kind": executor.kind,
        "unhealthy": executor.unhealthy,
        "paused": executor.paused,
        "draining": executor.draining,
        "controls": [
            control
            for control, needed in _CONTROLS.items()
            if needed is None or needed in executor.capabilities
        ],
        "rejections": dict(executor.counters.rejections),
        "restarts_by_reason": executor.restarts,
    }


def pool_options(options: PoolOptions) -> dict[str, Any]:
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


def _errors(pools: Mapping[str, BaseExecutor]) -> list[dict[str, Any]]:
    found = [
        {"pool": name, **asdict(incident)}
        for name, executor in pools.items()
        for incident in executor.counters.incidents.latest_first
    ]
    return sorted(found, key=lambda error: error["last_at"], reverse=True)
