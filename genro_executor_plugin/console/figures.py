# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The counters and gauges of pools as plain values: what one process can tell another of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..executors import BaseExecutor
from ..metrics.counters import OUTCOMES, folded
from ..metrics.worker_state import WorkerState

__all__ = ["MOST_AGENTS", "agent_figures", "figures_of", "summed"]

_SUMMED = (
    *("pending", "queued", "running", "completed", "failed", "timed_out", "crashed", "rejected"),
    *("cancelled", "restarts", "workers", "busy", "max_workers", "max_pending"),
    *("waiting", "max_waiting"),
)
"""What several processes have together: the sum of what each has."""


MOST_AGENTS = 200
"""Of how many agents of a pool there are figures of their own."""

_HOST_LETTERS = 100


def figures_of(pools: Mapping[str, BaseExecutor]) -> dict[str, Any]:
    """The figures of ``pools`` by their names, as JSON values."""
    return {name: _figures(executor) for name, executor in pools.items()}


def _figures(executor: BaseExecutor) -> dict[str, Any]:
    metrics, counters, workers = executor.metrics, executor.counters, executor.worker_states()
    return {
        **{name: metrics[name] for name in _SUMMED},
        "mode": metrics["mode"],
        "healthy": executor.unhealthy is None,
        "paused": executor.paused,
        "draining": executor.draining,
        "timeout": executor.pool_options.timeout,
        "routes": {
            route: {
                "outcomes": {outcome: getattr(found, outcome) for outcome in OUTCOMES},
                "run": [folded(found.run.counts), found.run.total],
            }
            for route, found in counters.routes.items()
        },
        "wait": [folded(counters.wait.counts), counters.wait.total],
        "rejections": dict(counters.rejections),
        "restarts_by_reason": dict(executor.restarts),
        "states": dict(Counter(worker.state for worker in workers)),
        "agents": agent_figures(workers),
        "memory": sum(worker.memory_bytes or 0 for worker in workers),
    }


def agent_figures(workers: Sequence[WorkerState]) -> list[dict[str, Any]]:
    """The agents among ``workers``, at most ``MOST_AGENTS`` of them: they come from the network."""
    agents = sorted((w for w in workers if w.agent), key=lambda w: (w.host or "", w.agent or ""))
    return [
        {
            "agent": worker.agent,
            "host": (worker.host or "")[:_HOST_LETTERS],
            "running": worker.running,
            "places": worker.places,
            "calls": worker.calls,
            "round_trip": worker.round_trip,
            "clock": worker.clock,
        }
        for worker in agents[:MOST_AGENTS]
    ]


def summed(processes: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The pools of ``processes`` added up by their names."""
    pools: dict[str, dict[str, Any]] = {}
    for process in processes:
        for name, figures in process["pools"].items():
            found = pools.setdefault(name, {"name": name, **dict.fromkeys(_SUMMED, 0)})
            for key in _SUMMED:
                found[key] += figures[key]
    return [pool for _, pool in sorted(pools.items())]
