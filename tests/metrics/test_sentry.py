# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Errors of calls reach the real SDK of Sentry once, with pool and route, and from a thread."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from programs import TESTS, environment

from genro_executor_plugin.metrics.sentry import active_sdk

pytestmark = pytest.mark.once

Events = dict[str, list[dict[str, Any]]]


@pytest.fixture(scope="module")
def found() -> Events:
    """The events that each of the program's deeds has led to."""
    done = subprocess.run(
        [sys.executable, "-m", "apps.reporting"],
        cwd=TESTS, env=environment(), capture_output=True, text=True, timeout=90,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in the worker: logged in a worker with the SDK" in done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    # What a handler has captured itself is made where it is; nothing else is on the event loop.
    own = ("captured", "logged_here")
    assert [line["name"] for line in lines if line["on_loop"] and line["name"] not in own] == []
    return {line["name"]: line["events"] for line in lines}


def only(events: list[dict[str, Any]]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The only event, and its error."""
    assert len(events) == 1, events
    return events[0], events[0]["exception"]["values"][-1]


@pytest.mark.parametrize(
    ("route", "pool", "error", "function"),
    [
        ("divided", "processes", "ZeroDivisionError", "divide"),
        ("on_a_thread", "threads", "ZeroDivisionError", "divide"),
        ("frozen", "threads", "FrozenError", "frozen"),
        ("streamed", "processes", "ZeroDivisionError", "divide"),
        ("later", "processes", "ZeroDivisionError", "divide"),
        ("unavailable", "processes", "HTTPException", "unavailable"),
        ("dies_there", "told", "ZeroDivisionError", "divide"),
    ],
)
def test_an_error_comes_once_with_its_frames(
    found: Events, route: str, pool: str, error: str, function: str
) -> None:
    event, told = only(found[route])
    assert event["tags"] == {"executor.pool": pool, "executor.route": f"shop/{route}"}
    assert event["contexts"]["executor"]["function"].endswith(f"Shop.{route}")
    assert told["type"] == error
    assert told["mechanism"]["handled"] is False
    frames = told["stacktrace"]["frames"]
    assert frames[-1]["function"] == function
    assert not [frame for frame in frames if "genro_executor_plugin" in frame["abs_path"]]
    if pool != "threads":
        assert f"in {route}\n" in event["contexts"]["executor"]["worker_traceback"]
        assert not any(frame.get("vars") for frame in frames)


def test_a_timeout_says_where_it_was_and_a_crash_how_it_ended(found: Events) -> None:
    event, told = only(found["too_long"])
    assert "ran longer than 0.1 s in pool 'processes'" in told["value"]
    assert "in too_long" in event["contexts"]["executor"]["stack"]
    assert event["tags"]["executor.route"] == "shop/too_long"
    event, told = only(found["dies"])
    assert (told["type"], "exit code 3" in told["value"]) == ("WorkerCrashedError", True)
    assert event["contexts"]["executor"]["outcome"] == "crashed"


def test_jobs_and_direct_calls_are_reported_once(found: Events) -> None:
    """Also if the failure of the job is asked for, and logged, later."""
    for name, pool, error in (
        ("job", "processes", "ValueError"),
        ("direct", "threads", "KeyError"),
    ):
        event, told = only(found[name])
        assert event["tags"] == {"executor.pool": pool}
        assert told["type"] == error


def test_what_a_handler_has_captured_itself_is_not_reported_again(found: Events) -> None:
    event, told = only(found["captured"])
    assert event["logentry"]["message"] == "it is logged and raised"
    assert told["type"] == "ZeroDivisionError"


def test_records_of_workers_come_once(found: Events) -> None:
    (event,) = found["logged_here"]
    assert event["tags"]["executor.pool"] == "processes"
    assert found["logged_there"] == []  # its worker has captured it


@pytest.mark.parametrize("name", ["missing", "refused"])
def test_answers_and_refusals_are_no_errors(found: Events, name: str) -> None:
    assert found[name] == []


def test_without_the_sdk_nothing_is_loaded_or_marked(found: Events) -> None:
    assert found["without"] == []
    assert active_sdk() is None
