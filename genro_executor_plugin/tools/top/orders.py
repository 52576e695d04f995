# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The orders that the tables of ``top`` can be shown in, each with its key on the keyboard."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

__all__ = ["ORDERS", "sorted_jobs", "sorted_pools", "sorted_routes", "sorted_workers", "took"]

ORDERS = {"n": "name", "c": "calls", "t": "time", "e": "errors", "m": "memory"}
"""The names of the orders by their keys. By name it is from A to Z, otherwise the most first."""

_ERRORS = ("failed", "timed_out", "crashed", "rejected")

Row = Mapping[str, Any]
_Key = Callable[[Any], Any]


def _ordered(rows: Sequence[Any], order: str | None, keys: Mapping[str, _Key]) -> list[Any]:
    """``rows`` in ``order``, as they are if that says nothing of them."""
    key = keys.get(order or "")
    return [*rows] if key is None else sorted(rows, key=key, reverse=order != "name")


def sorted_pools(pools: Sequence[Row], order: str | None) -> list[Row]:
    """The pools of a snapshot in ``order``."""
    return _ordered(
        pools,
        order,
        {
            "name": lambda pool: pool["name"],
            "calls": lambda pool: sum(pool[name] for name in ("completed", *_ERRORS)),
            "time": lambda pool: pool["run_p95_ms"] or 0.0,
            "errors": lambda pool: sum(pool[name] for name in _ERRORS),
            "memory": lambda pool: sum(
                worker.get("memory_bytes") or 0 for worker in pool.get("worker_states", ())
            ),
        },
    )


def sorted_workers(workers: Sequence[tuple[str, Row]], order: str | None) -> list[tuple[str, Row]]:
    """Workers with the names of their pools in ``order``; without one by how long they run."""
    return _ordered(
        workers,
        order if order in ("name", "calls", "memory") else "time",
        {
            "name": lambda one: (one[0], one[1]["pid"] or 0),
            "calls": lambda one: one[1].get("calls") or 0,
            "time": lambda one: one[1].get("running_seconds") or 0.0,
            "memory": lambda one: one[1].get("memory_bytes") or 0,
        },
    )


def sorted_routes(routes: Sequence[Row], order: str | None) -> list[Row]:
    """The routes of a snapshot in ``order``; without one the busiest ones first."""
    return _ordered(
        routes,
        order if order in ("name", "time", "errors") else "calls",
        {
            "name": lambda route: route["path"],
            "calls": lambda route: sum(route["outcomes"].values()),
            "time": lambda route: route.get("run_p95_ms") or 0.0,
            "errors": lambda route: sum(route["outcomes"].get(name, 0) for name in _ERRORS),
        },
    )


def sorted_jobs(jobs: Sequence[Row], order: str | None) -> list[Row]:
    """Long jobs in ``order``; without one as the server has them."""
    return _ordered(
        jobs,
        order,
        {
            "name": lambda job: job["what"],
            "time": lambda job: took(job) or 0.0,
            "errors": lambda job: job["error"] is not None,
        },
    )


def took(job: Row) -> float | None:
    """How many seconds a job has run, or has run so far; ``None`` if it has not begun."""
    begun: float | None = job["started_at"]
    if begun is None:
        return None
    ended: float = job["ended_at"] or time.time()
    return max(0.0, ended - begun)
