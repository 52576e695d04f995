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
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from programs import RunningProgram, started

pytestmark = [pytest.mark.once, pytest.mark.timeout(300)]

EXIT_TIMEOUT_SECONDS = 90.0

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


def demo_of(folder: Path, *options: str) -> AbstractContextManager[RunningProgram]:
    """The running demo, started in ``folder``."""
    command = ("-m", "genro_executor_plugin.cli", "demo", *options)
    return started(*command, cwd=folder, errors_apart=True, finds_tests=False)


def test_everything_holds_and_the_server_stays_until_ctrl_c(tmp_path: Path) -> None:
    """All checks hold, the URLs that are shown work, and Ctrl-C ends all of it with 0."""
    with demo_of(tmp_path, "--serve", "--reports", "4") as demo:
        url = demo.until_it_says(r"Serving on (http://127\.0\.0\.1:\d+), until Ctrl-C")[1]
        family = demo.descendants()
        assert len(family) >= 3
        report = httpx.get(f"{url}/report?title=Mine", timeout=90)
        assert report.headers["content-type"] == "application/pdf"
        assert report.content.startswith(b"%PDF-")
        pools = httpx.get(f"{url}/monitor/pools").json()
        assert f"pid {pools['server_pid']}".encode() not in report.content
        assert pools["server_pid"] in [process.pid for process in family]
        assert pools["pools"]["pdf"]["workers"] == 2
        assert len(pools["pools"]["pdf"]["pids"]) == 2

        demo.signal(signal.SIGINT)
        code = demo.wait(EXIT_TIMEOUT_SECONDS)
        assert not demo.left(0)

    assert code == 0, demo.log + demo.errors
    for command in ("/report?title=", "/ping", "/configure?disabled=true", "/endless"):
        assert re.search(rf"curl .*{re.escape(url + command)}", demo.log)
    lines = [line for line in demo.log.splitlines() if line.startswith("   ok ")]
    assert [re.split(r"\s{2,}", line.strip())[1] for line in lines] == CHECKS
    assert f"{len(CHECKS)} checks in " in demo.log
    assert "all of it holds" in demo.log
    assert "FAILED" not in demo.log
    assert "\x1b" not in demo.log + demo.errors  # no terminal, no colours
    assert "... reports made offloaded\n" in demo.errors


def test_what_does_not_hold_is_said_and_the_exit_code_is_1(tmp_path: Path) -> None:
    """With a library that makes no PDFs the demo fails, and says where."""
    (tmp_path / "fpdf.py").write_text(NOT_A_PDF_LIBRARY)
    with demo_of(tmp_path, "--json", "--reports", "4") as demo:
        assert demo.wait(EXIT_TIMEOUT_SECONDS) == 1, demo.errors

    document = json.loads(demo.log)
    assert document["ok"] is False
    checks = {check["what"]: check for scene in document["scenes"] for check in scene["checks"]}
    assert list(checks) == CHECKS
    assert checks["every report is a real PDF"]["ok"] is False
    assert checks["every report is a real PDF"]["measured"] == "0 of 8"
    assert checks["the caller is told"]["ok"] is True
    assert "the last lines of the server's log:" in demo.errors


def test_an_interrupted_demo_leaves_no_process(tmp_path: Path) -> None:
    """Ctrl-C while reports are made: one line, 130, and nothing is left."""
    with demo_of(tmp_path) as demo:
        demo.until_it_complains("reports made offloaded")
        assert len(demo.descendants()) >= 3
        demo.signal(signal.SIGINT)
        assert demo.wait(EXIT_TIMEOUT_SECONDS) == 130
        assert demo.errors.splitlines()[-1] == "genro-executor: interrupted"
        assert "Traceback" not in demo.errors
        assert not demo.left(0)


def test_a_killed_demo_leaves_no_process(tmp_path: Path) -> None:
    """The server ends by itself when the demo can no longer end it."""
    with demo_of(tmp_path) as demo:
        demo.until_it_says("server: pid")
        assert demo.descendants()
        demo.signal(signal.SIGKILL)
        demo.wait_for_itself()
        assert not demo.left(EXIT_TIMEOUT_SECONDS)


def test_a_port_that_is_taken_is_one_line(tmp_path: Path) -> None:
    """What keeps the server from starting is said, without a traceback."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with demo_of(tmp_path, "--port", str(port)) as demo:
            assert demo.wait(EXIT_TIMEOUT_SECONDS) == 2
    assert demo.log == ""
    assert demo.errors.splitlines()[-1].startswith("genro-executor: the server did not start: ")
    assert "address already in use" in demo.errors
    assert "Traceback" not in demo.errors


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
