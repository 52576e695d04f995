# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor jobs``: the jobs of a real server, by its console."""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from genro_routes import route
from terminals import terminal
from waiting import block_until

from genro_executor_plugin import ExecutorApplication, ExecutorConsole, progress
from genro_executor_plugin.cli import main
from genro_executor_plugin.testing import ServerUnderTest

COMMAND = Path(sys.executable).with_name("genro-executor")


class Mill(ExecutorApplication):
    mount = "mill"

    @route(executor="jobs", executor_background=True)
    def grind(self, grain: str) -> str:
        progress(0.5, "half of it")
        logging.getLogger("mill").warning("ground %s", grain)
        return grain

    @route(executor="jobs", executor_background=True)
    def broken(self) -> None:
        raise ValueError("it is \x1b]0;broken\x07\nfor good")


@pytest.fixture
def mill(executor_server: Callable[..., ServerUnderTest], tmp_path: Path) -> ServerUnderTest:
    pools: Any = {"jobs": {"executor_type": "thread", "job_arguments": "show"}}
    settings: Any = {"path": tmp_path / "store", "pool": "jobs"}
    return executor_server(Mill, ExecutorConsole, executors=pools, long_tasks=settings, tasks=False)


def submit(mill: ServerUnderTest, path: str, **query: str) -> str:
    """The id of a job that has ended."""
    answer = mill.post(f"/mill/{path}", **query)
    job: str = answer.json()["task_id"]
    ended(mill, job)
    return job


def ended(mill: ServerUnderTest, job: str) -> None:
    """Wait for the end of ``job``."""
    block_until(lambda: state_of(mill, job) in ("succeeded", "failed", "cancelled"))


def state_of(mill: ServerUnderTest, job: str) -> str:
    """The state of ``job`` as an administrator sees it: whoever asks here is not its submitter."""
    answer = mill.get(f"/_executors/jobs/show/{job}")
    if answer.status == 404:
        return "gone"
    assert answer.status == 200, answer
    state: str = answer.json()["state"]
    return state


def run(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> tuple[str, str]:
    assert main(["jobs", *arguments]) == code
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out + shown.err
    return shown.out, shown.err


def test_jobs_are_listed_and_shown(
    mill: ServerUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = submit(mill, "broken")
    wheat = submit(mill, "grind", grain="wheat")
    out, _ = run(capsys, 0, "list", mill.url)
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == [wheat, broken]
    assert "ValueError: it is ?]0;broken?" in lines[2]
    assert lines[3] == "2 jobs match"
    out, _ = run(capsys, 0, "list", mill.url, "--state", "failed", "--since", "1h", "--json")
    found = json.loads(out)
    assert (found["count"], [job["id"] for job in found["jobs"]]) == (1, [broken])
    out, _ = run(capsys, 0, "list", mill.url, "--until", "2020-01-01")
    assert out.endswith("0 jobs match\n")
    out, _ = run(capsys, 0, "list", mill.url, "--limit", "1", "--sort", "route", "--ascending")
    assert "2 jobs match, 1 are shown" in out

    out, _ = run(capsys, 0, "show", mill.url, broken)
    assert f"mill/broken, {broken}" in out
    assert "failed" in out
    assert "in broken" in out, "its traceback"
    assert re.search(r"\n    1\. [-0-9]+ [:0-9]+ failed after [0-9.]+ s, process [0-9]+, Val", out)
    assert "no line" not in out
    assert "ground" not in out
    out, _ = run(capsys, 0, "show", mill.url, wheat, "--log", "warning")
    assert re.search(r"\n  log:\n    [-0-9]+ [:0-9]+ WARNING mill: ground wheat\n", out)
    out, _ = run(capsys, 0, "show", mill.url, wheat, "--log", "error", "--json")
    assert json.loads(out)["log"] == {"lines": [], "missing": 0}
    out, _ = run(capsys, 0, "show", mill.url, wheat)
    assert "grain = 'wheat'" in out
    out, _ = run(capsys, 0, "show", mill.url, wheat, "--json")
    assert json.loads(out)["state"] == "succeeded"


def test_jobs_run_again_and_are_deleted(
    mill: ServerUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = [submit(mill, "broken") for _ in range(3)]
    wheat = submit(mill, "grind", grain="wheat")
    out, _ = run(capsys, 0, "retry", mill.url, broken[0], wheat)
    assert out == "2 jobs run again\n"
    for job in (broken[0], wheat):
        ended(mill, job)
    out, err = run(capsys, 1, "retry", mill.url, "nope", wheat, "--new", "--json")
    (new,) = json.loads(out)["done"]
    assert new != wheat
    assert "nope: there is no job 'nope'" in err
    ended(mill, new)

    out, _ = run(capsys, 0, "seen", mill.url, broken[0])
    assert out == "1 jobs marked as seen\n"
    out, _ = run(capsys, 0, "list", mill.url, "--seen", "no", "--json")
    assert {job["id"] for job in json.loads(out)["jobs"]} == set(broken[1:])
    out, _ = run(capsys, 0, "list", mill.url, "--seen", "yes")
    assert " failed, seen  mill/broken" in out
    out, _ = run(capsys, 0, "show", mill.url, broken[0])
    assert re.search(r"\n  seen       [-0-9]+ [:0-9]+ by ", out)
    out, _ = run(capsys, 0, "unseen", mill.url, "--all", "--yes")
    assert out == "1 jobs marked as not seen\n"

    every = ("--all", "--state", "failed")
    out, _ = run(capsys, 0, "retry", mill.url, *every, "--dry-run")
    assert out == "3 jobs would be run again\n"
    _, err = run(capsys, 2, "purge", mill.url, *every)
    assert "3 jobs would be deleted: say --yes" in err
    out, _ = run(capsys, 0, "purge", mill.url, *every, "--yes")
    assert out == "3 jobs deleted\n"
    out, _ = run(capsys, 0, "list", mill.url, "--json")
    assert {job["id"] for job in json.loads(out)["jobs"]} == {wheat, new}
    out, err = run(capsys, 2, "purge", mill.url, new, *["nope"] * 99, "x" * 201)
    assert out == "1 jobs deleted\n", "a later step was refused"
    assert "is no id of a job" in err.splitlines()[-1]
    out, _ = run(capsys, 0, "cancel", mill.url, "--all")
    assert out == "0 jobs would be cancelled\n"


def test_on_a_terminal_it_asks_whether_all_are_meant(mill: ServerUnderTest) -> None:
    job = submit(mill, "broken")
    for answer, code in (("n", 2), ("y", 0)):
        with terminal(COMMAND, "jobs", "purge", mill.url, "--all") as screen:
            screen.until(r"1 jobs will be deleted\. Go on\?")
            screen.type(f"{answer}\n")
            assert screen.wait() == code
    assert state_of(mill, job) == "gone"


def test_what_cannot_be_done_is_said_in_a_line(
    mill: ServerUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    submit(mill, "grind", grain="rye")
    for arguments, said in (
        (("retry", mill.url), "say which jobs: their ids, or --all for all that match"),
        (("purge", mill.url, "x", "--all"), "say which jobs"),
        (("purge", mill.url, "x", "--state", "failed"), "--state goes with --all"),
        (
            ("purge", mill.url, "--all", "--yes", "--submitter", ""),
            "--submitter is empty; leave it",
        ),
        (("purge", mill.url, "--all", "--yes", "--state", ","), "state is empty; leave it out"),
        (("list", mill.url, "--state", "done"), "is not one of queued, running"),
        (("list", mill.url, "--state", "\udcff"), "is not one of queued, running"),
        (("show", mill.url, "nope"), "There is no job 'nope'"),
        (("show", mill.url, "a/b"), "There is no job"),
        (("list", "http://localhost:1"), "cannot be reached"),
    ):
        _, err = run(capsys, 2, *arguments)
        assert said in err
        assert err.count("\n") == 1


def test_a_time_is_one_ago_or_a_date(capsys: pytest.CaptureFixture[str]) -> None:
    from genro_executor_plugin.cli.jobs import _moment

    assert abs(_moment("1.5h") - (time.time() - 5400)) < 60
    assert _moment("1970-01-03T00:00+00:00") == 2 * 86400.0
    with pytest.raises(SystemExit):
        main(["jobs", "list", "localhost", "--since", "soon"])
    assert "is no time ago" in capsys.readouterr().err
