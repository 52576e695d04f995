# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor bench``: it measures real pools, and its suggestion follows from the figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from terminals import terminal

from genro_executor_plugin.cli import main
from genro_executor_plugin.tools.bench.figures import Machine, Measured, Point
from genro_executor_plugin.tools.bench.measure import usual_counts
from genro_executor_plugin.tools.bench.suggest import suggest, warnings

pytestmark = pytest.mark.once

COMMAND = Path(sys.executable).with_name("genro-executor")

FUNCTIONS = """
import time

def wait(seconds=0.02, *, fail=False):
    if fail:
        raise ValueError("it was told to\\nfail")
    time.sleep(seconds)

def compute(rounds):
    return sum(number * number for number in range(rounds))"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """``my_bench_functions.py`` in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "my_bench_functions.py").write_text(FUNCTIONS)
    return tmp_path


def measured(*arguments: str) -> dict[str, Any]:
    """What the command, run as a program, prints as JSON."""
    done = subprocess.run(
        [COMMAND, "bench", "--json", "--seconds", "0.1", *arguments],
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no progress where there is no terminal
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_functions_of_ones_own_are_measured(functions: Path) -> None:
    """One that waits scales with workers; what it computes is told from what it waits."""
    found = measured(
        "my_bench_functions.py:wait", "--workers", "4,1", "--arguments", '{"seconds": 0.03}'
    )
    assert {cost["kind"] for cost in found["overhead"]} == {"process", "thread"}
    assert all(0 < cost["p50_us"] <= cost["p99_us"] for cost in found["overhead"])
    assert all(cost["per_second"] > 100 for cost in found["overhead"])
    (waiting,) = found["functions"]
    assert 30 <= waiting["run_ms"] < 300
    assert waiting["cpu_share"] < 0.3
    one, four = waiting["points"]
    assert (one["workers"], four["workers"]) == (1, 4)
    assert four["per_second"] > 2 * one["per_second"]
    (suggestion,) = found["suggestions"]
    assert suggestion["max_workers"] == 4
    assert any("still rising at 4" in reason for reason in suggestion["reasons"])


def test_the_built_in_computation_and_its_table(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "compute", "--seconds", "0.1", "--workers", "1,2"]) == 0
    shown = capsys.readouterr().out
    rows = [line.split() for line in shown.splitlines()]
    assert ["workers", "calls", "throughput", "of", "1"] in rows
    assert [row[0] for row in rows if row[-1:] and row[-1].endswith("x")] == ["1", "2"]
    assert "suggestion: max_workers=" in shown
    assert "smallest number of workers that was tried" in shown
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "'nothing' is not a function: write package.module:function"),
        (["json:dump_all"], "json has no function 'dump_all'"),
        (["json:decoder"], "json has no function 'decoder'"),
        (["no_such_module_at_all:f"], "no_such_module_at_all cannot be imported"),
        (["gone.py:f"], "there is no file"),
        (["my_bench_functions.py:wait", "--arguments", "{"], "--arguments is not JSON"),
        (["my_bench_functions.py:wait", "--arguments", "3"], "a JSON list or object, not 3"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    functions: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert said in shown.err


def test_a_function_that_fails_ends_the_measurement(
    functions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["my_bench_functions.py:wait", "--seconds", "0.05", "--arguments", '{"fail": true}']
    assert main(["bench", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err == ("genro-executor: the measurement ended: ValueError: it was told to\n")


def test_nothing_is_measured_where_pools_are_bypassed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GENRO_EXECUTOR_BYPASS", "1")
    assert main(["bench"]) == 2
    assert "GENRO_EXECUTOR_BYPASS is set" in capsys.readouterr().err


def test_ctrl_c_ends_it_and_leaves_nothing(functions: Path) -> None:
    """Progress is shown on a terminal; what was started is ended."""
    with terminal(COMMAND, "bench", "my_bench_functions.py:wait", "--seconds", "60") as shown:
        shown.until("calls that do nothing, in a process pool")
        shown.type("\x03")
        assert shown.wait() == 130
    assert b"interrupted" in shown.written
    assert b"Traceback" not in shown.written


# -- from figures to a suggestion -----------------------------------------------------------------


def figures(cpu_share: float, *throughput: float) -> Measured:
    points = tuple(
        Point(workers=number, calls=100, per_second=value)
        for number, value in enumerate(throughput, start=1)
    )
    return Measured("work", run_ms=10.0, cpu_share=cpu_share, worker_mb=20.0, points=points)


@pytest.mark.parametrize(
    ("cpu_share", "throughput", "workers"),
    [
        (1.0, (100, 195, 199, 198), 2),  # two CPUs: more workers bring nothing
        (1.0, (100, 99, 98, 97), 1),  # one CPU
        (0.6, (100, 170, 200, 201), 3),  # part of it waits
        (0.0, (50, 100, 150, 200), 4),  # all of it waits
        (1.0, (100,), 1),
    ],
)
def test_the_smallest_number_that_is_nearly_the_best_is_suggested(
    cpu_share: float, throughput: tuple[float, ...], workers: int
) -> None:
    suggestion = suggest(Machine(2, 0.1, "3.11"), figures(cpu_share, *throughput))
    assert suggestion.max_workers == workers
    reasons = " ".join(suggestion.reasons)
    assert f"{workers} of its workers take about {20 * workers} MB" in reasons
    assert ("executor_type='thread'" in reasons) == (cpu_share < 0.5)


def test_more_workers_are_tried_for_what_waits() -> None:
    assert usual_counts(1.0, 2) == [1, 2, 3, 4]
    assert usual_counts(0.0, 2) == [1, 2, 4, 8, 16, 32]
    assert usual_counts(1.0, 6) == [1, 2, 4, 6, 7, 8]


def test_a_busy_machine_is_warned_of() -> None:
    assert warnings(Machine(2, 0.9, "3.11")) == []
    assert warnings(Machine(2, None, "3.11")) == []
    assert "load 1.5 on 2 CPUs" in warnings(Machine(2, 1.5, "3.11"))[0]
