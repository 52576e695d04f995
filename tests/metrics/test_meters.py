# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""OpenTelemetry's real SDK collects what a scrape for Prometheus has, from whatever thread."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from programs import TESTS, run_program
from prometheus_client.parser import text_string_to_metric_families

from genro_executor_plugin.metrics.counters import BUCKETS

pytestmark = pytest.mark.once

Point = tuple[str, tuple[tuple[str, str], ...], dict[str, Any]]


@pytest.fixture(scope="module")
def told() -> dict[str, Any]:
    """What the program has collected, and a scrape at the same time."""
    lines = run_program("-m", "apps.metered", cwd=TESTS).splitlines()
    return {line["name"]: line["told"] for line in map(json.loads, lines)}


def points(collected: Any) -> Iterator[Point]:
    """Each data point with the name of its metric, which has a unit and a description."""
    for scope in collected["resource_metrics"][0]["scope_metrics"]:
        assert scope["scope"]["name"] == "genro_executor_plugin"
        for metric in scope["metrics"]:
            assert metric["unit"]
            assert metric["description"]
            for point in metric["data"]["data_points"]:
                attributes = sorted(point["attributes"].items())
                names = {name.removeprefix("executor.") for name, _ in attributes}
                short = tuple((name.rpartition(".")[2], value) for name, value in attributes)
                assert names <= {"pool", "route", "outcome", "reason", "worker.state", "job.state"}
                yield metric["name"], short, point


SAME = {
    "genro_executor_calls_total": "executor.calls",
    "genro_executor_rejected_total": "executor.rejections",
    "genro_executor_queue_depth": "executor.queue.length",
    "genro_executor_queue_capacity": "executor.queue.limit",
    "genro_executor_calls_in_progress": "executor.active_calls",
    "genro_executor_workers": "executor.worker.count",
    "genro_executor_workers_max": "executor.worker.limit",
    "genro_executor_healthy": "executor.pool.healthy",
    "genro_executor_jobs_accepted_total": "executor.job.accepted",
    "genro_executor_run_seconds_count": "executor.run.duration",
    "genro_executor_queue_wait_seconds_count": "executor.wait.duration",
}


@pytest.mark.parametrize(("scraped", "collected"), SAME.items())
def test_both_doors_have_the_same_figures(
    told: dict[str, Any], scraped: str, collected: str
) -> None:
    there = {
        tuple(sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(told["scrape"])
        for sample in family.samples
        if sample.name == scraped
    }
    here = {
        attributes: point.get("value", point.get("count"))
        for name, attributes, point in points(told["thread"])
        if name == collected
    }
    assert here
    assert here == {labels: there[labels] for labels in here}
    assert sum(here.values()) == sum(there.values())


def test_durations_are_in_the_buckets_that_prometheus_is_told(told: dict[str, Any]) -> None:
    found = [point for name, _, point in points(told["thread"]) if name.endswith(".duration")]
    assert all(tuple(point["explicit_bounds"]) == BUCKETS for point in found)
    assert sum(point["count"] for point in found) == 8


def test_jobs_are_counted_by_state(told: dict[str, Any]) -> None:
    jobs = {attributes: point["value"] for name, attributes, point in points(told["thread"])
            if name == "executor.job.count"}  # fmt: skip
    assert jobs == {(("state", "queued"), ("pool", "pdf")): 1}


def test_it_is_collected_on_the_event_loop_and_while_that_is_busy_or_gone(
    told: dict[str, Any],
) -> None:
    """On the loop itself the store of jobs is not asked; a busy loop ends no collection."""
    names = {name for name, _, _ in points(told["loop"])}
    assert {"executor.calls", "executor.worker.count", "executor.run.duration"} <= names
    assert "executor.job.count" not in names
    assert "executor.run.duration" in {name for name, _, _ in points(told["busy"])}
    assert told["ended"] is True
