# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""When a resource runs out: what callers get, what the log says, and that calls work afterwards.

Each lack is a real one, in a program of its own: a limit of the kernel, a stack that no address
space has room for, a folder that is gone. ``docs/reference/exhausted-resources.md``
shows the table that is here.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from programs import TESTS, environment

from genro_executor_plugin.options.granted import limit_groups

PROGRAM = TESTS / "apps" / "lacking.py"
PAGE = TESTS.parent / "docs" / "reference" / "exhausted-resources.md"

FILES = "Raise the limit of open files (ulimit -n)"
PROCESSES = "Raise the limit of processes and threads (ulimit -u, pids.max of the control group)"


@dataclass(frozen=True)
class Lack:
    """One line of the table.

    Attributes:
        name: the function in ``lacking.py``.
        what: what runs out, in words.
        error: the error that callers get, empty where they get their result.
        says: what it says, the cure among it.
        log: what the log says, empty for nothing.
    """

    name: str
    what: str
    error: str = ""
    says: tuple[str, ...] = ()
    log: str = ""

    @property
    def line(self) -> str:
        told = " ... ".join(self.says)
        caller = f"`{self.error}`: {told}" if self.error else "the result"
        return f"| {self.what} | {caller} | {self.log or 'nothing'} |"


NO_WORKER = "cannot start a worker"

LACKS = [
    Lack(
        "descriptors_for_a_worker",
        "no file descriptor in the server, when a worker is to start",
        "WorkerCrashedError",
        (NO_WORKER, "Too many open files", FILES),
        NO_WORKER,
    ),
    Lack(
        "descriptors_for_large_values",
        "no file descriptor in the server, for a large result",
        "SerializationError",
        ("cannot be taken over", "there are too many files open", FILES),
    ),
    Lack(
        "descriptors_in_a_worker",
        "no file descriptor in a worker, for large arguments",
        "SerializationError",
        ("did not reach worker", "there are too many files open", FILES),
        "has no file descriptors left, and is replaced",
    ),
    Lack(
        "descriptors_in_a_function",
        "no file descriptor in a worker, for the function that runs there",
        "OSError",
        ("Too many open files",),
        "has no file descriptors left, and is replaced",
    ),
    Lack(
        "threads_in_the_server",
        "no thread in the server, for a pool of threads",
        "ExecutorError",
        ("cannot start a thread", PROCESSES, "Nothing was started"),
    ),
    Lack(
        "threads_for_a_worker",
        "no thread in a worker, for `threads_per_worker`",
        "WorkerCrashedError",
        (NO_WORKER, "cannot start 2 threads", PROCESSES),
        NO_WORKER,
    ),
    Lack(
        "threads_for_coroutines",
        "no thread in a worker, for its coroutines",
        "ExecutorError",
        ("the worker cannot start a thread for its coroutines", PROCESSES),
    ),
    Lack(
        "processes",
        "no process, when a worker is to start",
        "WorkerCrashedError",
        (NO_WORKER, "Resource temporarily unavailable", PROCESSES),
        NO_WORKER,
    ),
    Lack("file_size", "no shared memory, because files are limited in size (`ulimit -f`)"),
    Lack("working_directory", "no working directory, because it was deleted"),
    Lack("command_line", "no room for a long command line of the server in that of workers"),
    Lack(
        "memory",
        "no memory within `memory_limit`",
        "MemoryLimitError",
        ("and memory_limit is", "was killed", "Give the pool a larger memory_limit"),
        "and memory_limit is",
    ),
]


@pytest.fixture
def pids_group(request: pytest.FixtureRequest) -> Iterator[Path | None]:
    """A control group that can limit processes, for the lack that needs one."""
    if "processes" not in request.node.name:
        yield None
        return
    for _, folder in limit_groups("pids"):
        group = folder / f"genro-executor-test-{os.getpid()}"
        try:
            group.mkdir()
            (group / "pids.max").write_text("max")
        except OSError:
            with suppress(OSError):
                group.rmdir()
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("no control group that limits processes can be made here")


OF_THE_SERVER = (
    "descriptors_for_a_worker",
    "descriptors_for_large_values",
    "threads_in_the_server",
    "processes",
    "file_size",
)
"""What the server's own event loop may meet; the others are in a worker, or before any loop."""


@pytest.mark.parametrize(
    ("lack", "loop"),
    [pytest.param(lack, "asyncio", id=lack.name) for lack in LACKS]
    + [
        pytest.param(lack, "uvloop", id=f"{lack.name}-uvloop")
        for lack in LACKS
        if lack.name in OF_THE_SERVER
    ],
)
def test_a_lack_is_told_and_passes(
    lack: Lack, loop: str, tmp_path: Path, pids_group: Path | None
) -> None:
    """Also to callers that come while it lasts, and the first call behind it gets its result."""
    done = subprocess.run(
        [sys.executable, PROGRAM, loop, lack.name],
        cwd=tmp_path,
        env=environment(
            PYTHONPATH=os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")]),
            PIDS_GROUP=str(pids_group),
        ),
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    for kind, text in told["callers"]:
        assert kind == (lack.error or "result"), text
        for part in lack.says:
            assert part in text
    assert [kind for kind, _ in told.get("beside", [])] == ["result"] * len(told.get("beside", []))
    assert told["afterwards"][0] == "result", told
    logged = re.findall(r"^(?:WARNING|ERROR) .*", done.stderr, re.MULTILINE)
    assert bool(logged) is bool(lack.log), done.stderr
    assert lack.log in "".join(logged)


def test_the_page_shows_this_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for lack in LACKS:
        assert lack.line in page, f"{PAGE.name} lacks the line:\n{lack.line}"


def test_every_lack_of_the_program_is_in_the_table() -> None:
    written = re.findall(r"^async def (\w+)\(\) -> Found", PROGRAM.read_text(), re.MULTILINE)
    assert sorted(written) == sorted(lack.name for lack in LACKS)
