# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor demo``, as a person starts it: real processes, real HTTP, real signals."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import httpx
import psutil

COMMAND = (sys.executable, "-m", "genro_executor_plugin.cli", "demo")
EXIT_TIMEOUT_SECONDS = 40.0

CHECKS = [
    "every report is a real PDF",
    "offloaded, workers make them",
    "disabled, the server makes them",
    "enabled again, a worker makes it",
    "offloaded, /ping p99 is lower",
    "offloaded, the loop's gap is smaller",
    "what the pool takes is done",
    "the others are refused",
    "a refusal says when to come back",
    "later the pool takes calls again",
    "the caller is told",
    "in time",
    "the next call is fine",
    "its call fails, and soon",
    "the next call gets a new worker",
    "the call next door is not hurt",
    "no process is left behind",
]

NOT_A_PDF_LIBRARY = '''
"""Stands in for fpdf2, and makes no PDF."""

class FPDF:
    l_margin = epw = 1.0

    def __getattr__(self, name):
        return lambda *args, **kwargs: self

    def __enter__(self):
        return self

    def __exit__(self, *error):
        return None

    def get_y(self):
        return 1.0

    def output(self):
        return b"no PDF"
'''


@contextmanager
def started(folder: Path, *options: str) -> Iterator[subprocess.Popen[str]]:
    """The running demo; it is killed when the test fails before its end."""
    with subprocess.Popen(
        [*COMMAND, *options],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as demo:
        try:
            yield demo
        finally:
            demo.kill()


def read_until(stream: IO[str] | None, pattern: str) -> str:
    """What comes from ``stream``, up to the line in which ``pattern`` is found."""
    assert stream is not None
    read = ""
    for line in stream:
        read += line
        if re.search(pattern, line):
            return read
    raise AssertionError(f"it ended without {pattern!r}:\n{read}")


def the_rest(stream: IO[str] | None) -> str:
    """What comes from ``stream`` until the demo has ended."""
    assert stream is not None
    return stream.read()


def processes_of(demo: subprocess.Popen[str]) -> list[psutil.Process]:
    """The demo's server, and whatever belongs to it."""
    return psutil.Process(demo.pid).children(recursive=True)


def test_everything_holds_and_the_server_stays_until_ctrl_c(tmp_path: Path) -> None:
    """All checks hold, the URLs that are shown work, and Ctrl-C ends all of it with 0."""
    with started(tmp_path, "--serve", "--reports", "4") as demo:
        shown = read_until(demo.stdout, r"Serving on http://127\.0\.0\.1:\d+, until Ctrl-C")
        serving = re.search(r"Serving on (http://\S+),", shown)
        assert serving is not None
        family = processes_of(demo)
        assert len(family) >= 3
        report = httpx.get(f"{serving[1]}/report?title=Mine", timeout=30)
        assert report.headers["content-type"] == "application/pdf"
        assert report.content.startswith(b"%PDF-")
        pools = httpx.get(f"{serving[1]}/monitor/pools").json()
        assert f"pid {pools['server_pid']}".encode() not in report.content
        assert pools["server_pid"] in [process.pid for process in family]
        assert pools["pools"]["pdf"]["workers"] == 2

        demo.send_signal(signal.SIGINT)
        rest, progress = the_rest(demo.stdout), the_rest(demo.stderr)

    assert demo.returncode == 0, shown + rest + progress
    for command in ("/report?title=", "/ping", "/configure?disabled=true", "/endless"):
        assert re.search(rf"curl .*{re.escape(serving[1] + command)}", rest)
    lines = [line for line in (shown + rest).splitlines() if line.startswith("   ok ")]
    assert [re.split(r"\s{2,}", line.strip())[1] for line in lines] == CHECKS
    assert f"{len(CHECKS)} checks in " in rest
    assert "all of it holds" in rest
    assert "FAILED" not in shown + rest
    assert "\x1b" not in shown + rest + progress  # no terminal, no colours
    assert "... reports made offloaded\n" in progress
    assert not any(process.is_running() for process in family)


def test_what_does_not_hold_is_said_and_the_exit_code_is_1(tmp_path: Path) -> None:
    """With a library that makes no PDFs the demo fails, and says where."""
    (tmp_path / "fpdf.py").write_text(NOT_A_PDF_LIBRARY)
    with started(tmp_path, "--json", "--reports", "4") as demo:
        shown, progress = demo.communicate(timeout=EXIT_TIMEOUT_SECONDS)

    assert demo.returncode == 1, progress
    document = json.loads(shown)
    assert document["ok"] is False
    checks = {check["what"]: check for scene in document["scenes"] for check in scene["checks"]}
    assert list(checks) == CHECKS
    assert checks["every report is a real PDF"]["ok"] is False
    assert checks["every report is a real PDF"]["measured"] == "0 of 8"
    assert checks["the caller is told"]["ok"] is True
    assert "the last lines of the server's log:" in progress


def test_an_interrupted_demo_leaves_no_process(tmp_path: Path) -> None:
    """Ctrl-C while reports are made: one line, 130, and nothing is left."""
    with started(tmp_path) as demo:
        read_until(demo.stderr, "reports made offloaded")
        family = processes_of(demo)
        demo.send_signal(signal.SIGINT)
        progress = the_rest(demo.stderr)

    assert demo.returncode == 130
    assert progress.splitlines()[-1] == "genro-executor: interrupted"
    assert "Traceback" not in progress
    assert len(family) >= 3
    assert not any(process.is_running() for process in family)


def test_a_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    """The server ends by itself when the demo can no longer end it."""
    with started(tmp_path) as demo:
        read_until(demo.stdout, "server: pid")
        family = processes_of(demo)
        demo.kill()
        demo.wait()
        _, alive = psutil.wait_procs(family, timeout=EXIT_TIMEOUT_SECONDS)
    assert family
    assert not alive


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    """What keeps the server from starting is said, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with started(tmp_path, "--port", str(port)) as demo:
            shown, said = demo.communicate(timeout=EXIT_TIMEOUT_SECONDS)
    assert demo.returncode == 2
    assert shown == ""
    assert said.splitlines()[-1].startswith("genro-executor: the server did not start: ")
    assert "address already in use" in said
    assert "Traceback" not in said


def test_without_fpdf2_one_line_says_what_to_install() -> None:
    """The extra is named as pip wants it."""
    program = (
        "import sys\n"
        "sys.modules['fpdf'] = None\n"
        "from genro_executor_plugin.cli import main\n"
        "sys.exit(main(['demo']))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=dict(os.environ)
    )
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert 'pip install "genro-executor-plugin[demo]"' in ended.stderr
