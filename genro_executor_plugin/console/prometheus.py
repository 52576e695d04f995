# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The metrics of the pools in the format of Prometheus, read from the counters at each scrape.

A call never touches ``prometheus_client``. A collector turns the pools' plain counters into
metrics at the moment of a scrape. Each server has a collector registry of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from ..executors.registry import ExecutorRegistry
from ..metrics.counters import BUCKETS, OUTCOMES

__all__ = ["Exposition"]

_STATES = ("starting", "idle", "busy", "leaving")


class Exposition:
    """The metrics of one server, ready to be scraped."""

    def __init__(self, registry: ExecutorRegistry) -> None:
        self._collectors = CollectorRegistry(auto_describe=False)
        self._collectors.register(_PoolCollector(registry))

    def scrape(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics in the format that ``accept`` asks for, and its content type."""
        encode, content_type = choose_encoder(_known_format(accept))
        return encode(self._collectors), content_type


def _known_format(accept: str) -> str:
    """Return one of the two formats for ``accept``.

    The encoder would also follow versions and escaping schemes that a client asks for.
    """
    media = [part.partition(";")[0].strip().lower() for part in accept.split(",")]
    if "application/openmetrics-text" in media:
        return "application/openmetrics-text; version=1.0.0"
    return "text/plain; version=0.0.4"


class _PoolCollector(Collector):
    def __init__(self, registry: ExecutorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        executors = self._registry.used
        yield from _of_calls(executors)
        yield from _of_the_moment(executors)


def _of_calls(executors: dict[str, Any]) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "genro_executor_calls",
        "Calls that ended, by how they ended; the route is empty for calls that came from none.",
        labels=("pool", "route", "outcome"),
    )
    rejected = CounterMetricFamily(
        "genro_executor_rejected", "Calls that were refused, by reason.", labels=("pool", "reason")
    )
    restarts = CounterMetricFamily(
        "genro_executor_worker_restarts",
        "Workers that were replaced, by reason.",
        labels=("pool", "reason"),
    )
    wait = HistogramMetricFamily(
        "genro_executor_queue_wait_seconds",
        "How long calls waited before their run began.",
        labels=("pool",),
    )
    run = HistogramMetricFamily(
        "genro_executor_run_seconds", "How long calls ran.", labels=("pool", "route")
    )
    for name, executor in executors.items():
        counters = executor.counters
        for route, metrics in counters.routes.items():
            for outcome in OUTCOMES:
                calls.add_metric((name, route, outcome), getattr(metrics, outcome))
            run.add_metric((name, route), _buckets(metrics.run.counts), metrics.run.total)
        for reason, count in counters.rejections.items():
            rejected.add_metric((name, reason), count)
        for reason, count in executor.restarts.items():
            restarts.add_metric((name, reason), count)
        wait.add_metric((name,), _buckets(counters.wait.counts), counters.wait.total)
    yield from (calls, rejected, restarts, wait, run)


def _buckets(counts: Sequence[int]) -> list[tuple[str, int]]:
    bounds = (*(repr(bound) for bound in BUCKETS), "+Inf")
    return list(zip(bounds, accumulate(counts), strict=True))


def _of_the_moment(executors: dict[str, Any]) -> Iterator[Metric]:
    depth = GaugeMetricFamily(
        "genro_executor_queue_depth", "Calls that wait for their run.", labels=("pool",)
    )
    capacity = GaugeMetricFamily(
        "genro_executor_queue_capacity",
        "Calls a pool admits, running ones included.",
        labels=("pool",),
    )
    waiting = GaugeMetricFamily(
        "genro_executor_waiting",
        "Calls that wait for a place in the pool; part of the queue depth.",
        labels=("pool",),
    )
    places = GaugeMetricFamily(
        "genro_executor_waiting_capacity",
        "Calls that may wait for a place in the pool; the next one is refused.",
        labels=("pool",),
    )
    running = GaugeMetricFamily(
        "genro_executor_calls_in_progress", "Calls that run.", labels=("pool",)
    )
    workers = GaugeMetricFamily(
        "genro_executor_workers", "Workers, by what they do.", labels=("pool", "state")
    )
    memory = GaugeMetricFamily(
        "genro_executor_worker_memory_bytes",
        "Resident memory of a pool's worker processes together.",
        labels=("pool",),
    )
    for name, executor in executors.items():
        metrics, found = executor.metrics, executor.worker_states()
        depth.add_metric((name,), metrics["queued"])
        capacity.add_metric((name,), metrics["max_pending"])
        waiting.add_metric((name,), metrics["waiting"])
        places.add_metric((name,), metrics["max_waiting"])
        running.add_metric((name,), metrics["running"])
        states = Counter(worker.state for worker in found)
        for state in _STATES:
            workers.add_metric((name, state), states[state])
        memory.add_metric((name,), sum(worker.memory_bytes or 0 for worker in found))
    yield from (depth, capacity, waiting, places, running, workers, memory)
