# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The metrics of the pools in the format of Prometheus, read from the counters at each scrape.

A call never touches ``prometheus_client``. A collector turns the pools' plain counters into
metrics at the moment of a scrape. Each server has a collector registry of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
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

from ..metrics.counters import BUCKETS, OUTCOMES
from ..tasks.status import TaskState
from ..tasks.store.totals import JobTotals

__all__ = ["Exposition"]

_STATES = ("starting", "idle", "busy", "leaving")


_AGENT_GAUGES = (
    ("running", "calls_in_progress", "Calls of this server that an agent runs."),
    ("places", "places", "How many calls an agent runs at a time."),
    ("round_trip", "round_trip_seconds", "How long a question to an agent and its answer took."),
    ("clock", "clock_seconds", "By how much an agent's clock is ahead of this server's."),
)
"""What of an agent's figures is which gauge, and what that says."""

Processes = list[tuple[str | None, dict[str, Any]]]
"""The figures of each process with its own name; ``None`` for the only one."""


class Exposition:
    """The metrics of one server, ready to be scraped.

    Attributes:
        job_totals: the jobs of the store; ``None`` without one, and the text of what is wrong when
            it cannot be read.
    """

    def __init__(self, processes: Callable[[], Processes]) -> None:
        """Tell of what ``processes`` returns at each scrape."""
        self._collectors = CollectorRegistry(auto_describe=False)
        self.job_totals: JobTotals | str | None = None
        self._collectors.register(_PoolCollector(processes))
        self._collectors.register(_JobCollector(self))

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
    def __init__(self, processes: Callable[[], Processes]) -> None:
        self._processes = processes

    def collect(self) -> Iterator[Metric]:
        processes = self._processes()
        # Each process has series of its own: in a sum, one that ends would look like a reset.
        more = () if processes[0][0] is None else ("process",)
        pools = [
            ((name, *((process,) if process is not None else ())), figures)
            for process, found in processes
            for name, figures in found["pools"].items()
        ]
        yield from _of_calls(pools, more)
        yield from _of_the_moment(pools, more)
        yield from _of_agents(pools, more)
        yield from _of_health(pools, more)
        yield from _of_background(processes, more)


class _JobCollector(Collector):
    """The jobs in the store, which all processes have in common: their series name none."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition

    def collect(self) -> Iterator[Metric]:
        totals = self._exposition.job_totals
        if totals is None:
            return
        readable = GaugeMetricFamily(
            "genro_executor_job_store_up",
            "1 if the store of long jobs answers, else 0.",
            value=int(isinstance(totals, JobTotals)),
        )
        yield readable
        if not isinstance(totals, JobTotals):
            return
        jobs = GaugeMetricFamily(
            "genro_executor_jobs", "Long jobs that are kept, by state.", labels=("pool", "state")
        )
        oldest = GaugeMetricFamily(
            "genro_executor_job_oldest_waiting_seconds",
            "How long the oldest job has been there that may begin and has not.",
            labels=("pool",),
        )
        late = GaugeMetricFamily(
            "genro_executor_job_schedule_lag_seconds",
            "How far a waiting job is behind the time it was to begin at, the latest of them.",
            labels=("pool",),
        )
        unseen = GaugeMetricFamily(
            "genro_executor_jobs_unseen",
            "Failed and lost jobs that nobody has marked as seen.",
            labels=("pool",),
        )
        for pool in sorted({pool for pool, _ in totals.jobs}):
            unseen.add_metric((pool,), totals.unseen.get(pool, 0))
            for state in TaskState:
                jobs.add_metric((pool, state.value), totals.jobs.get((pool, state.value), 0))
            oldest.add_metric((pool,), totals.oldest.get(pool, 0.0))
            late.add_metric((pool,), totals.late.get(pool, 0.0))
        yield from (jobs, unseen, oldest, late)


_Pools = list[tuple[tuple[str, ...], dict[str, Any]]]


def _of_calls(pools: _Pools, more: tuple[str, ...]) -> Iterator[Metric]:
    calls = CounterMetricFamily(
        "genro_executor_calls",
        "Calls that ended, by how they ended; the route is empty for calls that came from none.",
        labels=("pool", *more, "route", "outcome"),
    )
    rejected = CounterMetricFamily(
        "genro_executor_rejected",
        "Calls that were refused, by reason.",
        labels=("pool", *more, "reason"),
    )
    restarts = CounterMetricFamily(
        "genro_executor_worker_restarts",
        "Workers that were replaced, by reason.",
        labels=("pool", *more, "reason"),
    )
    wait = HistogramMetricFamily(
        "genro_executor_queue_wait_seconds",
        "How long calls waited before their run began.",
        labels=("pool", *more),
    )
    run = HistogramMetricFamily(
        "genro_executor_run_seconds", "How long calls ran.", labels=("pool", *more, "route")
    )
    for names, figures in pools:
        for route, found in figures["routes"].items():
            for outcome in OUTCOMES:
                calls.add_metric((*names, route, outcome), found["outcomes"][outcome])
            counts, total = found["run"]
            run.add_metric((*names, route), _buckets(counts), total)
        for reason, count in figures["rejections"].items():
            rejected.add_metric((*names, reason), count)
        for reason, count in figures["restarts_by_reason"].items():
            restarts.add_metric((*names, reason), count)
        counts, total = figures["wait"]
        wait.add_metric(names, _buckets(counts), total)
    yield from (calls, rejected, restarts, wait, run)


def _buckets(counts: Sequence[int]) -> list[tuple[str, int]]:
    bounds = (*(repr(bound) for bound in BUCKETS), "+Inf")
    return list(zip(bounds, accumulate(counts), strict=True))


def _of_the_moment(pools: _Pools, more: tuple[str, ...]) -> Iterator[Metric]:
    labels = ("pool", *more)
    depth = GaugeMetricFamily(
        "genro_executor_queue_depth", "Calls that wait for their run.", labels=labels
    )
    capacity = GaugeMetricFamily(
        "genro_executor_queue_capacity",
        "Calls a pool admits, running ones included.",
        labels=labels,
    )
    waiting = GaugeMetricFamily(
        "genro_executor_waiting",
        "Calls that wait for a place in the pool; part of the queue depth.",
        labels=labels,
    )
    places = GaugeMetricFamily(
        "genro_executor_waiting_capacity",
        "Calls that may wait for a place in the pool; the next one is refused.",
        labels=labels,
    )
    running = GaugeMetricFamily(
        "genro_executor_calls_in_progress", "Calls that run.", labels=labels
    )
    workers = GaugeMetricFamily(
        "genro_executor_workers", "Workers, by what they do.", labels=(*labels, "state")
    )
    memory = GaugeMetricFamily(
        "genro_executor_worker_memory_bytes",
        "Resident memory of a pool's worker processes together.",
        labels=labels,
    )
    for names, figures in pools:
        depth.add_metric(names, figures["queued"])
        capacity.add_metric(names, figures["max_pending"])
        waiting.add_metric(names, figures["waiting"])
        places.add_metric(names, figures["max_waiting"])
        running.add_metric(names, figures["running"])
        for state in _STATES:
            workers.add_metric((*names, state), figures["states"].get(state, 0))
        memory.add_metric(names, figures["memory"])
    yield from (depth, capacity, waiting, places, running, workers, memory)


def _of_agents(pools: _Pools, more: tuple[str, ...]) -> Iterator[Metric]:
    """What is known of each agent; nothing where no pool has any.

    ``figures`` bounds how many there are and how long their names.
    """
    labels = ("pool", *more, "host", "agent")
    families = [
        (key, GaugeMetricFamily(f"genro_executor_agent_{name}", text, labels=labels))
        for key, name, text in _AGENT_GAUGES
    ]
    calls = CounterMetricFamily(
        "genro_executor_agent_calls", "Calls that were sent to an agent.", labels=labels
    )
    for names, figures in pools:
        for agent in figures.get("agents", ()):
            which = (*names, agent["host"], agent["agent"])
            calls.add_metric(which, agent["calls"])
            for key, family in families:
                if agent[key] is not None:
                    family.add_metric(which, agent[key])
    if calls.samples:
        yield from (calls, *(family for _, family in families))


def _of_health(pools: _Pools, more: tuple[str, ...]) -> Iterator[Metric]:
    labels = ("pool", *more)
    healthy = GaugeMetricFamily(
        "genro_executor_healthy", "1 if the pool can serve calls, else 0.", labels=labels
    )
    paused = GaugeMetricFamily(
        "genro_executor_paused", "1 if the pool begins no calls, else 0.", labels=labels
    )
    draining = GaugeMetricFamily(
        "genro_executor_draining", "1 if the pool refuses new calls, else 0.", labels=labels
    )
    most = GaugeMetricFamily(
        "genro_executor_workers_max", "Workers that the pool may have.", labels=labels
    )
    timeout = GaugeMetricFamily(
        "genro_executor_timeout_seconds",
        "How long a call of the pool may run; there is no series for a pool without a limit.",
        labels=labels,
    )
    for names, figures in pools:
        healthy.add_metric(names, int(figures["healthy"]))
        paused.add_metric(names, int(figures["paused"]))
        draining.add_metric(names, int(figures["draining"]))
        most.add_metric(names, figures["max_workers"])
        if figures["timeout"] is not None:
            timeout.add_metric(names, figures["timeout"])
    yield from (healthy, paused, draining, most, timeout)


def _of_background(processes: Processes, more: tuple[str, ...]) -> Iterator[Metric]:
    accepted = CounterMetricFamily(
        "genro_executor_jobs_accepted",
        "Long jobs that were accepted, those of background routes among them.",
        labels=("pool", *more),
    )
    rejected = CounterMetricFamily(
        "genro_executor_jobs_rejected",
        "Long jobs that were refused, because their submitter has too many or too large ones.",
        labels=("pool", *more),
    )
    for process, found in processes:
        for family, counts in (
            (accepted, found["jobs"]["accepted"]),
            (rejected, found["jobs"]["rejected"]),
        ):
            for pool, count in counts.items():
                family.add_metric((pool, *((process,) if process is not None else ())), count)
    yield from (accepted, rejected)
