# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Numbers and times from outside: finite and in range, or refused by name."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from apps.works import Works
from servers import built

from genro_executor_plugin import ExecutorConfigError, ExecutorRegistry, ThreadExecutor
from genro_executor_plugin.offload.configure import ApplicationRouter
from genro_executor_plugin.options.checks import _CHECKS
from genro_executor_plugin.options.numbers import (
    MAX_SECONDS,
    MAX_WORKERS,
    NotAllowedError,
    count_of,
    seconds_of,
)
from genro_executor_plugin.tasks.options import TaskOptions, TaskSettings

NOT_FINITE: list[Any] = [math.nan, math.inf, -math.inf, 10**400, 1e308, MAX_SECONDS * 2, -1, -1e-9]
NO_NUMBER: list[Any] = [True, False, "x", "", [], {}, b"1", object(), 1j]

TIMES = [
    "idle_timeout", "start_timeout", "queue_timeout", "timeout", "soft_timeout", "max_lifetime",
    "shutdown_timeout", "idle", "send_timeout",
]  # fmt: skip
COUNTS = ["max_workers", "min_workers", "threads_per_worker", "max_pending", "max_waiting",
          "retries", "nice", "max_tasks_per_child"]  # fmt: skip


@pytest.mark.parametrize("option", TIMES)
def test_a_time_of_a_pool_is_finite_and_in_range(option: str) -> None:
    wanted = rf"pool 'p': {option}=.* a number of seconds"
    for value in (*NOT_FINITE, *NO_NUMBER, "1"):
        with pytest.raises(ExecutorConfigError, match=wanted):
            ExecutorRegistry({"p": {option: value}})


@pytest.mark.parametrize("option", COUNTS)
def test_a_count_of_a_pool_is_in_range(option: str) -> None:
    wanted = rf"pool 'p': {option}=.* a whole number"
    for value in (*NOT_FINITE, *NO_NUMBER, "1", 1.5, 10**10):
        with pytest.raises(ExecutorConfigError, match=wanted):
            ExecutorRegistry({"p": {option: value}})


def test_every_number_of_a_pool_is_among_those_above() -> None:
    numbers = {
        option
        for option, check in _CHECKS.items()
        if check.__qualname__.startswith(("_seconds", "_count"))
    }
    assert numbers == {*TIMES, *COUNTS}


async def test_a_time_of_a_route_is_finite_and_in_range() -> None:
    async with built(Works, executors={"pdf": {}, "db": {}}) as server:
        router = ApplicationRouter(server.applications["works"])
        for option in ("timeout", "soft_timeout", "queue_timeout", "idle"):
            for value in (math.nan, math.inf, 1e308, -1, 0, True, "1"):
                with pytest.raises(ExecutorConfigError, match=f"executor_{option}="):
                    router.configure("report", **{f"executor_{option}": value})


@pytest.mark.parametrize(
    ("kind", "option"),
    [
        *((TaskOptions, name) for name in ("timeout", "backoff", "keep", "retries")),
        *((TaskSettings, name) for name in ("keep", "cancel_grace", "shutdown_timeout")),
    ],
)
def test_a_number_of_a_job_is_finite_and_in_range(kind: Any, option: str) -> None:
    change = kind().changed if kind is TaskOptions else kind.declare
    for value in (math.nan, math.inf, 1e308, 10**400, -1, True, "1"):
        with pytest.raises(ExecutorConfigError, match=f"{option}="):
            change({option: value})


@pytest.mark.parametrize("eta", [math.nan, math.inf, -1, 1e308, 10**400, timedelta.max, "now"])
def test_a_moment_is_one(eta: Any) -> None:
    with pytest.raises(ExecutorConfigError, match="eta="):
        TaskOptions().changed({"eta": eta})


@pytest.mark.parametrize(
    "eta",
    [
        0,
        1_000.5,
        datetime(1960, 1, 1, tzinfo=UTC),
        datetime(2026, 1, 1, tzinfo=UTC),
        timedelta(days=-40_000),
        timedelta(hours=3),
    ],
)
def test_a_moment_may_be_in_the_past(eta: Any) -> None:
    begins = TaskOptions().changed({"eta": eta}).begins_at
    assert begins is not None
    assert begins >= 0


async def test_a_resize_to_a_thousand_million_is_refused() -> None:
    pool = ThreadExecutor("p", max_workers=1)
    for wrong in (10**9, MAX_WORKERS + 1, 0, -1, 1.5, math.nan):
        with pytest.raises(ExecutorConfigError, match=r"max_workers=.* a whole number"):
            pool.resize(wrong)  # type: ignore[arg-type] # that is the point
    pool.resize(2)
    assert pool.metrics["max_workers"] == 2
    await pool.shutdown()


def test_numbers_in_text_are_taken_where_requests_bring_them() -> None:
    assert seconds_of("2.5", text=True) == 2.5
    assert seconds_of(Decimal("2.5"), text=True) == 2.5
    assert seconds_of("0", zero=True, text=True) == 0
    assert count_of("3", 1, text=True) == 3
    assert count_of(3.0, 1, text=True) == 3
    for wrong in ("nan", "inf", "-1", "1e400", "x", Decimal("NaN"), Decimal("sNaN"), None, [1]):
        with pytest.raises(NotAllowedError):
            seconds_of(wrong, zero=True, text=True)
        with pytest.raises(NotAllowedError):
            count_of(wrong, 1, text=True)


def test_a_message_does_not_repeat_a_number_without_end() -> None:
    with pytest.raises(ExecutorConfigError) as caught:
        ExecutorRegistry({"p": {"timeout": 10**9000}})
    assert len(str(caught.value)) < 400
