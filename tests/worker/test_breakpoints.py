# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``breakpoint()`` in a worker, and ``genro-executor debug``, with real servers and workers."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from programs import TESTS, RunningProgram, environment, started
from terminals import terminal
from waiting import block_until, is_dead

from genro_executor_plugin.worker.debugger import folder_of, socket_of

PROGRAM = TESTS / "apps" / "held.py"
ATTACH = re.compile(r"Attach one: genro-executor debug (?P<pid>\d+)\.")
PATIENCE_SECONDS = 90.0


class Desk:
    """A server of ``apps/held.py``, with requests that are under way."""

    def __init__(self, program: RunningProgram, threads: ThreadPoolExecutor) -> None:
        self.program = program
        self._threads = threads

    def ask(self, path: str) -> Future[httpx.Response]:
        return self._threads.submit(
            httpx.get, f"{self.program.url}/desk/{path}", timeout=PATIENCE_SECONDS, trust_env=False
        )

    def held_pid(self) -> int:
        """The worker that the log says has a call at a breakpoint."""
        found = int(self.program.until_it_says(ATTACH)["pid"])
        self.program.log = ""
        return found


@contextmanager
def desk(seconds: float = PATIENCE_SECONDS, **more: str) -> Iterator[Desk]:
    options = {"GENRO_EXECUTOR_BREAKPOINT_SECONDS": str(seconds), **more}
    with (
        ThreadPoolExecutor(4) as threads,
        started(PROGRAM, cwd=TESTS, imported=True, **options) as program,
    ):
        program.until_it_serves()
        yield Desk(program, threads)


@pytest.fixture
def at() -> Iterator[Desk]:
    with desk() as found:
        yield found


def debug(pid: int, *commands: str) -> str:
    """What ``genro-executor debug`` shows when it is given ``commands``."""
    done = subprocess.run(
        [sys.executable, "-m", "genro_executor_plugin.cli", "debug", str(pid)],
        input="".join(f"{command}\n" for command in commands),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def attached(pid: int) -> Iterator[subprocess.Popen[str]]:
    """The command at its first prompt, with its input open."""
    command = subprocess.Popen(
        [sys.executable, "-m", "genro_executor_plugin.cli", "debug", str(pid)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert command.stdout is not None
        shown = ""
        while "(Pdb)" not in shown:
            one = command.stdout.read(1)
            assert one, shown
            shown += one
        yield command
    finally:
        command.kill()
        command.communicate()


OVER_THE_LIMIT = "import time; time.sleep(1.5)"


def test_a_call_is_looked_at_and_changed_and_its_limits_wait(at: Desk) -> None:
    for path in ("total", "coroutine", "soft", "soft_coroutine", "on_a_line"):
        answer = at.ask(f"{path}?number=21")
        pid = at.held_pid()
        shown = debug(
            pid, "p total", OVER_THE_LIMIT, "total = 50", "n", "n", "p 'then', total", "c"
        )
        assert "(Pdb) 42\n" in shown, path
        assert "('then', 51)" in shown, path
        got = answer.result()
        assert got.status_code == 200, (path, got.text, at.program.log)
        assert got.json() == {"total": 51, "pid": pid}
    # The worker goes on as if nothing had been: the next call stops there, too.
    again = at.ask(f"{path}?number=1")
    assert "(Pdb) 2\n" in debug(at.held_pid(), "p total", "c")
    assert again.result().json()["total"] == 3


def test_the_log_says_how_to_attach_and_the_line_that_takes_the_route_back_works(at: Desk) -> None:
    answer = at.ask("by_pdb?number=4")
    said = at.program.until_it_says(r"route 'desk/by_pdb' is at a breakpoint.*")[0]
    assert f"{PROGRAM}:" in said
    assert "pool 'pdf'" in said
    assert 'server.configure_route("desk/by_pdb", executor_disabled=True)' in said
    assert "GENRO_EXECUTOR_BYPASS=1" in said
    pid = at.held_pid()
    about = folder_of(os.geteuid()).stat()
    assert stat.S_IMODE(about.st_mode) == 0o700
    assert debug(pid, "p total").count("(Pdb)") == 2  # the end of the input lets it go on
    assert answer.result().json() == {"total": 8, "pid": pid}
    assert not socket_of(folder_of(os.geteuid()), pid).exists()


def test_stepping_off_the_end_of_a_handler_ends_the_session(at: Desk) -> None:
    answer = at.ask("total?number=1")
    pid = at.held_pid()
    debug(pid, *["n"] * 20)
    assert answer.result().json() == {"total": 3, "pid": pid}
    assert at.ask("plain").result().status_code == 200


def test_one_debugger_stays_for_all_breakpoints_of_a_call_and_quitting_fails_it(at: Desk) -> None:
    answer = at.ask("twice?number=1")
    shown = debug(at.held_pid(), "p number", "c", "p number + 100", "c")
    assert "(Pdb) 1\n" in shown
    assert "(Pdb) 102\n" in shown
    assert answer.result().json()["total"] == 3
    answer = at.ask("twice?number=1")
    debug(at.held_pid(), "q")
    assert answer.result().status_code == 500
    at.program.until_it_says("BdbQuit")


def test_nobody_attaches_and_the_call_goes_on_within_its_limits() -> None:
    with desk(seconds=1.2) as at:  # longer than the timeout of the pool
        answer = at.ask("twice?number=1")
        pid = at.held_pid()
        assert answer.result().json() == {"total": 3, "pid": pid}
        at.program.until_it_says(r"goes on behind a breakpoint .*nobody has attached")
        done = subprocess.run(
            [sys.executable, "-m", "genro_executor_plugin.cli", "debug", str(pid)],
            env=environment(),
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
        assert done.returncode == 2
        assert f"no call waits at a breakpoint in process {pid}" in done.stderr


def test_a_stream_waits_at_a_breakpoint_for_longer_than_it_may_be_idle(at: Desk) -> None:
    answer = at.ask("chunks?number=7")
    debug(at.held_pid(), OVER_THE_LIMIT, "number = 8", "c")
    assert answer.result().text == "a8"


def test_other_calls_of_the_pool_run_in_other_workers_meanwhile(at: Desk) -> None:
    answer = at.ask("coroutine?number=1")
    pid = at.held_pid()
    with attached(pid) as command:
        others = [at.ask("plain") for _ in range(3)]
        assert all(other.result().json()["pid"] != pid for other in others)
        assert command.stdin is not None
        command.stdin.write("c\n")
        command.stdin.flush()
        assert answer.result().json()["pid"] == pid


def test_a_client_that_leaves_ends_a_call_that_is_held(at: Desk) -> None:
    where = urlsplit(at.program.url)
    for path in ("total", "coroutine", "on_a_line"):
        with socket.create_connection((where.hostname, where.port)) as client:
            request = f"GET /desk/{path}?number=1 HTTP/1.1\r\nHost: t\r\n\r\n"
            client.sendall(request.encode())
            with attached(at.held_pid()) as command:
                client.shutdown(socket.SHUT_RDWR)
                assert command.wait(PATIENCE_SECONDS) == 0, path


@pytest.mark.parametrize("is_attached", [True, False])
def test_the_shutdown_ends_a_call_that_is_held(is_attached: bool) -> None:
    with desk() as at:
        answer = at.ask("total?number=1")
        pid = at.held_pid()
        if is_attached:
            with attached(pid) as command:
                at.program.signal(signal.SIGTERM)
                assert command.wait(PATIENCE_SECONDS) == 0
        else:
            at.program.signal(signal.SIGTERM)
        assert answer.result().status_code == 503
        assert at.program.wait() in (0, -signal.SIGTERM), at.program.log
        block_until(lambda: is_dead(pid))


def test_on_a_thread_pool_the_prompt_is_in_the_terminal_of_the_server() -> None:
    path = {"PYTHONPATH": os.pathsep.join([str(TESTS), str(TESTS.parent)])}
    with terminal(Path(sys.executable), str(PROGRAM), columns=200, **path) as shown:
        found = re.search(r"running on (http://\S+)", shown.until(r"running on http://\S+"))
        assert found is not None
        with ThreadPoolExecutor(1) as threads:
            url = f"{found[1]}/desk/on_a_thread?number=2"
            answer = threads.submit(httpx.get, url, timeout=PATIENCE_SECONDS, trust_env=False)
            shown.until(r"\(Pdb\)")
            shown.type("total = 9\n")
            shown.type("c\n")
            assert answer.result().json()["total"] == 10


def test_pythonbreakpoint_is_obeyed() -> None:
    with desk(PYTHONBREAKPOINT="apps.held.noticed", PYTHONPATH=str(TESTS)) as at:
        got = at.ask("total?number=1").result().json()
        at.program.until_it_says(f"noticed in {got['pid']}")
    with desk(PYTHONBREAKPOINT="0") as at:
        assert at.ask("total?number=1").result().json()["total"] == 3
        assert "at a breakpoint" not in at.program.log


def test_a_folder_that_others_may_enter_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from genro_executor_plugin.worker import debugger

    tmp_path.chmod(0o755)
    monkeypatch.setattr(debugger, "folder_of", lambda uid: tmp_path)
    listening: Any = debugger._Listening
    with pytest.raises(PermissionError, match="not this user's alone"):
        listening()
