# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The benchmarks' scripts work: every part runs, says whether goals are reached, and ends clean.

Nothing here looks at how fast anything is.
"""

from __future__ import annotations

import json
import signal
import zipfile
from pathlib import Path
from typing import Any

import psutil
import pytest
import rays
from programs import RunningProgram, started

from genro_executor_plugin import __version__

pytestmark = pytest.mark.once

pytest.importorskip("numpy")

ROOT = Path(__file__).parents[1]
RUN_TIMEOUT_SECONDS = 150.0
EXIT_TIMEOUT_SECONDS = 60.0

MOST_FILES = {"HTTP call": 20, "submit": 12}
"""How many files of the package a warm call may cross on the server's side."""

MOST_CHANGES_OF_FILE = {"HTTP call": 29, "submit": 15}
"""How often a function of one file may call a function of another one on that way."""


def ended(module: str, *arguments: str) -> RunningProgram:
    """``python -m module arguments``, run to its end; its errors are kept apart."""
    with started("-m", module, *arguments, cwd=ROOT, errors_apart=True) as program:
        program.wait(RUN_TIMEOUT_SECONDS)
    return program


def run(tmp_path: Path, *arguments: str) -> tuple[str, str, list[dict[str, Any]]]:
    """What a short run prints, what it writes as Markdown, and its tables."""
    report, page = tmp_path / "report.json", tmp_path / "page.md"
    files = [f"--json={report}", f"--markdown={page}"]
    done = ended("benchmarks", *arguments, "--quick", "--seconds", "0.05", *files)
    assert done.exit_code == 0, done.log + done.errors
    content = json.loads(report.read_text(encoding="utf-8"))
    assert content["environment"]["python"] in page.read_text(encoding="utf-8")
    return done.log, page.read_text(encoding="utf-8"), content["tables"]


def judged(table: dict[str, Any]) -> list[bool]:
    """For every goal whether it was reached; a goal without a figure is a broken script."""
    goals = [goal["reached"] for goal in table["goals"]]
    assert goals
    assert None not in goals, table
    return goals


def test_http_measures_every_route_on_one_loop(tmp_path: Path) -> None:
    """Stock, offloaded and naive routes answer under load, and so does what stays responsive."""
    output, page, tables = run(tmp_path, "http", "--only", "asyncio")

    assert [table["key"] for table in tables] == [
        "http-no-op-asyncio",
        "http-waiting-asyncio",
        "http-ping-asyncio",
    ]
    assert all(figures["per_second"] > 0 for figures in tables[0]["medians"].values())
    verdicts = [verdict for table in tables for verdict in judged(table)]
    assert f"Goals: {sum(verdicts)} of {len(verdicts)} reached" in output
    assert page.count("| reached |") == sum(verdicts) + 1  # the heading of the column is one


def test_the_engine_is_measured_against_every_peer_that_is_there(tmp_path: Path) -> None:
    """A row of the engine has the standard library's pools; absent peers are named as such."""
    output, _, (table,) = run(tmp_path, "engine", "--only", "throughput")

    shown = table["samples"].keys() | table["missing"].keys()
    assert {"genro-executor-plugin", "ProcessPoolExecutor (spawn)", "loky", "pebble"} <= shown
    assert all(
        reason in ("not installed", "uvloop is not installed")
        for reason in table["missing"].values()
    ), table["missing"]
    assert "ProcessPoolExecutor (fork)" in output


def test_calls_over_nats_are_measured_against_a_bare_request(tmp_path: Path) -> None:
    _, _, (table,) = run(tmp_path, "nats", "--only", "nats-no-op")

    judged(table)
    assert all(figures["p50_us"] > 0 for figures in table["medians"].values())


@pytest.mark.skipif(rays.IS_INSTALLED, reason="Ray is installed, and would be measured")
def test_without_ray_it_is_said_that_nothing_is_measured(tmp_path: Path) -> None:
    _, _, tables = run(tmp_path, "ray")

    assert {table["key"] for table in tables} == {"ray-no-op", "ray-10mb"}
    assert {reason for table in tables for reason in table["missing"].values()} == {
        "ray is not installed"
    }


def test_a_killed_worker_is_measured(tmp_path: Path) -> None:
    """The pool gives a good result after both of its workers were killed."""
    _, _, (table,) = run(tmp_path, "engine", "--only", "killed-both")

    judged(table)


def test_what_state_costs_is_measured(tmp_path: Path) -> None:
    """A megabyte that cannot have changed costs a call nothing that can be seen."""
    _, _, (table,) = run(tmp_path, "engine", "--only", "state")

    assert len(judged(table)) == 3
    (figures,) = table["medians"].values()
    assert figures["fixed_ratio"] > 0
    assert figures["picklings"] > 0


def test_what_it_costs_to_be_watched_is_measured() -> None:
    """Calls are made alone and under the eyes of a scraper; the exit code tells the verdict."""
    done = ended("benchmarks.watched", "--rounds", "1", "--seconds", "0.2", "--json")
    content = json.loads(done.log)
    assert [found["callers"] for found in content["results"]] == [1, 64]
    assert all(found["watched_per_second"] > 0 for found in content["results"])
    dear = any(found["everything_percent"] > 3 for found in content["results"])
    assert done.exit_code == int(dear), done.errors


def test_how_soon_a_call_tells_where_it_is_and_what_a_profile_costs_is_measured() -> None:
    """Every way to hang is told of; the exit code tells the verdict."""
    short = ("--times", "1", "--rounds", "1", "--seconds", "0.6", "--json")
    done = ended("benchmarks.inside", *short)
    content = json.loads(done.log)
    assert len(content["stacks"]) == 14, "each idle, and under load"
    assert all(one["known_percent"] == 100 for one in content["stacks"]), content
    assert len(content["profile"]) == 3
    assert all(one["samples"] > 0 for one in content["profile"]), content
    reached = all(one["reached"] for part in content.values() for one in part)
    assert done.exit_code == int(not reached), done.errors


def test_a_warm_call_crosses_few_files() -> None:
    """The way of a call stays short enough to be read; the output names every file on it."""
    done = ended("benchmarks.hops", "--json")
    assert done.exit_code == 0, done.errors
    traces = json.loads(done.log)
    assert traces.keys() == MOST_FILES.keys()
    for name, trace in traces.items():
        assert "engines/process/worker.py" in trace["files"], (name, trace)
        assert len(trace["files"]) <= MOST_FILES[name], (name, trace["files"])
        assert len(trace["changes"]) <= MOST_CHANGES_OF_FILE[name], (name, trace["changes"])


def test_two_versions_are_measured_in_turns(tmp_path: Path) -> None:
    """A wheel and this checkout: each measurement imports the version that it is about."""
    wheel, report = tmp_path / "old-0.0.1-py3-none-any.whl", tmp_path / "report.json"
    with zipfile.ZipFile(wheel, "w") as archive:
        for file in (ROOT / "genro_executor_plugin").rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            if file.parent.name == "genro_executor_plugin":
                text = text.replace('__version__ = "', '__version__ = "0.0.1-before-')
            archive.writestr(str(file.relative_to(ROOT)), text)
    options = ["--rounds", "2", "--seconds", "0.05", "--only", "callers, calls/s, asyncio"]
    done = ended("benchmarks.versus", str(wheel), *options, f"--json={report}")
    assert done.exit_code == 0, done.log + done.errors
    content = json.loads(report.read_text(encoding="utf-8"))
    assert content["old"].startswith(f"0.0.1-before-{__version__} from {wheel}")
    assert content["new"].startswith(f"{__version__} from {ROOT}")
    assert [figure["figure"] for figure in content["figures"]] == [
        "no-op, 64 callers, calls/s",
        "1 ms of work, 64 callers, calls/s",
    ]
    for figure in content["figures"]:
        assert [len(samples) for samples in figure["samples"].values()] == [2, 2]
        assert figure["ratio"] == pytest.approx(figure["new"] / figure["old"])
    assert done.log.count("new/old") == 2


def test_a_version_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    """A folder without the package is refused before anything is measured."""
    done = ended("benchmarks.versus", str(tmp_path))
    assert done.exit_code == 2
    assert done.log == ""
    assert done.errors.count("\n") == 1
    assert str(tmp_path) in done.errors


def test_long_jobs_are_measured(tmp_path: Path) -> None:
    """Progress is timed on its way from a worker to a client."""
    _, _, (table,) = run(tmp_path, "long-jobs", "--only", "progress")

    judged(table)


def test_ctrl_c_leaves_no_process_behind() -> None:
    """An interrupted run ends the servers that it started, with their workers."""
    arguments = ("http", "--only", "no-op-asyncio", "--rounds", "100")
    with started("-m", "benchmarks", *arguments, cwd=ROOT) as program:
        assert program.line().startswith("python:")
        family: set[psutil.Process] = set()
        while not any("template" in " ".join(child.cmdline()) for child in family):
            assert program.exit_code is None
            family = program.descendants()

        program.signal(signal.SIGINT)

        assert program.wait(EXIT_TIMEOUT_SECONDS) == 130, program.log
        assert not program.left(1)
