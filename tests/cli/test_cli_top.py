# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``genro-executor top``: real servers with a console, real terminals, and what is neither."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from genro_routes import route
from host import RoutedApplication
from terminals import terminal

from genro_executor_plugin import ExecutorConsole, ExecutorServer
from genro_executor_plugin.cli import main
from genro_executor_plugin.testing import ServerUnderTest
from genro_executor_plugin.tools.top.source import SourceError, snapshot_url

COMMAND = Path(sys.executable).with_name("genro-executor")

AUTH = {
    "basic": {
        "ada": {"password": "secret:word", "tags": "SERVER_ADMIN"},
        "bob": {"password": "bob", "tags": "readers"},
    },
    "bearer": {"robot": {"token": "token-of-a-robot", "tags": "SERVER_ADMIN"}},
}


class Reports(RoutedApplication):
    mount = "reports"

    @route(executor="pdf")
    def job(self) -> int:
        return os.getpid()

    @route(executor="pdf")
    def sleep(self, seconds: float = 0.0) -> None:
        time.sleep(float(seconds))

    @route(executor="pdf")
    def fail(self) -> None:
        raise ValueError("it is \x1b]0;broken\x07\nfor good")


@pytest.fixture
def console(executor_server: Callable[..., ServerUnderTest]) -> ServerUnderTest:
    """A server with a console, whose pool ``pdf`` has run one call."""
    site = executor_server(
        Reports, ExecutorConsole, executors={"pdf": {"max_workers": 2}}, tasks=False
    )
    assert site.get("/reports/job").status == 200
    assert site.get("/_executors/snapshot").status == 200
    return site


@pytest.fixture
def quiet_console(executor_server: Callable[..., ServerUnderTest]) -> ServerUnderTest:
    """A server with a console that has started no worker yet, for what is not about pools."""
    site = executor_server(
        Reports, ExecutorConsole, executors={"pdf": {"max_workers": 2}}, tasks=False
    )
    # The first answer takes longest, and on a busy machine longer than the command waits for it.
    assert site.get("/_executors/snapshot").status == 200
    return site


def failing(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """What is said, in one line, when ``top`` with ``arguments`` cannot do it."""
    assert main(["top", *arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1
    assert shown.err.startswith("genro-executor: ")
    return shown.err


def pool_row(text: str, pool: str = "pdf") -> dict[str, str]:
    """The cells of a pool's row, by their titles."""
    lines = text.splitlines()
    head = next(line for line in lines if line.split()[:1] == ["POOL"])
    row = next(line for line in lines if line.split()[:1] == [pool])
    titles = ["POOL", "MODE", "STATE", "BUSY", "WORKERS", "QUEUE", "WAITING"]
    assert head.split()[: len(titles)] == titles
    return dict(zip(titles, row.split(), strict=False)) | {
        title: _number(head, row, title) for title in ("DONE", "FAILED", "REFUSED", "RESTARTS")
    }


def _number(head: str, row: str, title: str) -> str:
    end = head.index(title) + len(title)
    return row[:end].split()[-1]


# -- once -----------------------------------------------------------------------------------------


def test_without_a_terminal_it_is_shown_once(
    console: ServerUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is shown is what the server says of itself."""
    console.get("/reports/fail")
    assert main(["top", console.url]) == 0
    shown = capsys.readouterr()
    metrics = console.server.get_executor("pdf").metrics
    row = pool_row(shown.out)
    assert (row["MODE"], row["STATE"], row["QUEUE"]) == ("process", "ok", "0/100")
    assert row["WAITING"] == "0/1000"
    assert row["WORKERS"] == f"{metrics['busy']}/{metrics['workers']}/2"
    assert (row["DONE"], row["FAILED"], row["RESTARTS"]) == ("1", "1", "0")
    assert "not used yet: blocking, cpu" in shown.out
    assert "reports/job" in shown.out
    assert f"pid {os.getpid()}  healthy" in shown.out
    assert "ValueError: it is ?]0;broken? for good" in shown.out
    assert "\x1b" not in shown.out
    assert main(["top", console.url, "--once"]) == 0


def test_workers_are_shown_with_what_they_run(
    console: ServerUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    pid = console.get("/reports/job").json()
    thread = threading.Thread(target=console.get, args=["/reports/sleep"], kwargs={"seconds": 60})
    thread.start()
    executor = console.server.get_executor("pdf")
    deadline = time.monotonic() + 60
    while not executor.metrics["running"]:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert main(["top", console.url]) == 0
    shown = capsys.readouterr().out
    workers = {line.split()[0]: line.split()[1:] for line in shown.splitlines() if line.strip()}
    (busy,) = (worker for worker in executor.worker_states() if worker.state == "busy")
    row = workers[str(busy.pid)]
    assert row[:2] == ["pdf", "busy"]
    assert "sleep" in row[-1]
    assert str(pid) in workers
    assert pool_row(shown)["WORKERS"].startswith("1/")

    async def kill() -> None:
        executor.kill_worker(busy.pid)

    console.run(kill)
    thread.join(20)


def test_a_server_that_is_not_healthy_is_exit_code_1(
    console: ServerUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    async def pause() -> None:
        console.server.get_executor("pdf").pause()

    console.run(pause)
    assert main(["top", console.url, "--once"]) == 1
    shown = capsys.readouterr().out
    assert "UNHEALTHY" in shown
    assert "pool pdf: " in shown
    assert pool_row(shown)["STATE"] == "paused"
    assert main(["top", console.url, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["server"]["healthy"] is False


def test_json_is_the_snapshot(console: ServerUnderTest, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", console.url, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    said = console.get("/_executors/snapshot").json()
    assert document.keys() == said.keys()
    assert [pool["completed"] for pool in document["pools"]] == [1]


def test_a_console_that_is_mounted_elsewhere(
    executor_server: Callable[..., ServerUnderTest], capsys: pytest.CaptureFixture[str]
) -> None:
    site = executor_server((ExecutorConsole, {"code": "pools", "mount": "pools"}), tasks=False)
    assert "is not there (404)" in failing(capsys, site.url)
    assert main(["top", f"{site.url}/pools/"]) == 0
    assert "not used yet" in capsys.readouterr().out


# -- who asks -------------------------------------------------------------------------------------


def test_an_identity_with_the_tag_is_answered_and_no_other(
    executor_server: Callable[..., ServerUnderTest],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = executor_server(
        Reports, ExecutorConsole, executors={"pdf": {}}, auth=AUTH, tasks=False
    ).url
    assert "wants authentication (401): give --token or --user" in failing(capsys, url)
    wrong = failing(capsys, url, "--token", "nobody's")
    assert "(401): these credentials are not known" in wrong
    assert "nobody's" not in wrong
    assert "refuses (403)" in failing(capsys, url, "--user", "bob:bob")
    for arguments in (["--token", "token-of-a-robot"], ["--user", "ada:secret:word"]):
        assert main(["top", url, *arguments]) == 0
        assert "genro-executor top" in capsys.readouterr().out
    monkeypatch.setenv("GENRO_EXECUTOR_TOKEN", "token-of-a-robot")
    assert main(["top", url]) == 0
    monkeypatch.setenv("GENRO_EXECUTOR_PASSWORD", "secret:word")
    assert main(["top", url, "--user", "ada"]) == 0
    capsys.readouterr()


def test_a_password_is_asked_for_on_a_terminal_and_not_shown(
    executor_server: Callable[..., ServerUnderTest], capsys: pytest.CaptureFixture[str]
) -> None:
    site = executor_server(Reports, ExecutorConsole, executors={"pdf": {}}, auth=AUTH, tasks=False)
    assert "no password for 'ada'" in failing(capsys, site.url, "--user", "ada")
    with terminal(COMMAND, "top", site.url, "--user", "ada", "--once") as shown:
        shown.until("Password of ada:")
        shown.type("secret:word\n")
        assert shown.wait() == 0
        assert b"genro-executor top" in shown.written
        assert b"secret" not in shown.written


# -- what is no console ---------------------------------------------------------------------------


def test_a_server_that_is_not_there(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        said = failing(capsys, f"127.0.0.1:{port}")
    assert f"http://127.0.0.1:{port}/_executors/snapshot cannot be reached" in said
    assert "refused" in said.lower()
    assert "cannot be reached" in failing(capsys, "no-such-host.invalid:80")


def test_a_server_without_a_console(
    executor_server: Callable[..., ServerUnderTest], capsys: pytest.CaptureFixture[str]
) -> None:
    site = executor_server(Reports, executors={"pdf": {}}, tasks=False)
    assert "the server has no console; mount ExecutorConsole" in failing(capsys, site.url)


@contextmanager
def other_server(*answers: bytes) -> Iterator[str]:
    """A server that is none of ours; it answers with each of ``answers`` once, then not at all."""
    left = [*answers]
    over = threading.Event()

    def serve(listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            with connection:
                connection.recv(65536)
                if left:
                    connection.sendall(left.pop(0))
                else:
                    over.wait(30)

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        thread = threading.Thread(target=serve, args=[listening])
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            over.set()
            listening.shutdown(socket.SHUT_RDWR)
            thread.join(40)


def http(status: str, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join([*head, "", ""]).encode() + body


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (http("200 OK", b"<html>"), "did not answer with JSON; is it a console?"),
        (
            http("200 OK", b"[1, 2]"),
            "did not answer with a snapshot of this version; is it a console?",
        ),
        (http("200 OK", b'{"pools": 3}'), "did not answer with a snapshot"),
        (
            http("200 OK", b'{"now": 1, "pools": [{"name": "pdf"}]}'),
            "with a snapshot of this version",
        ),
        (http("500 Oh", b'{"detail": "all\\nis lost"}'), "answered 500: all is lost"),
        (http("503 Busy", b"\xff\xfe"), "answered 503: Busy"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "cannot be reached: it gave no answer in HTTP"),
        (b"", "cannot be reached"),
        (http("200 OK", b"")[:20], "cannot be reached: it gave no answer in HTTP"),
        (http("200 OK", b""), "did not answer with JSON"),
    ],
)
def test_a_server_that_is_something_else(
    answer: bytes, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with other_server(answer) as url:
        assert said in failing(capsys, url)


def test_credentials_do_not_follow_a_redirect(capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[str] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_: Any) -> None:
            """Nothing is to be seen of it."""

    with HTTPServer(("127.0.0.1", 0), Elsewhere) as elsewhere:
        thread = threading.Thread(target=elsewhere.serve_forever)
        thread.start()
        target = f"http://127.0.0.1:{elsewhere.server_port}/stolen"
        with other_server(http("302 Found", b"", f"location: {target}")) as url:
            said = failing(capsys, url, "--token", "secret")
        elsewhere.shutdown()
        thread.join()
    assert f"redirects to {target} (302): give that address" in said
    assert asked == []


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("localhost:8000", "http://localhost:8000/_executors/snapshot"),
        ("https://desk.example/", "https://desk.example/_executors/snapshot"),
        ("http://h:1/pools", "http://h:1/pools/snapshot"),
        ("http://h:1/pools/snapshot", "http://h:1/pools/snapshot"),
        ("http://[::1]:80", "http://[::1]:80/_executors/snapshot"),
    ],
)
def test_an_address_is_what_a_person_writes(given: str, url: str) -> None:
    assert snapshot_url(given) == url


@pytest.mark.parametrize(
    "given", ["", "ftp://h", "http://", "h:99999", "h:port", "http://[::1", ":80"]
)
def test_an_address_that_is_none_is_refused(given: str) -> None:
    with pytest.raises(SourceError, match="is not the address of a server"):
        snapshot_url(given)


# -- live -----------------------------------------------------------------------------------------

ALTERNATE_SCREEN, NORMAL_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"


def test_live_it_follows_the_server(console: ServerUnderTest) -> None:
    """Calls that are made show up; the window may get another size; ``q`` gives it back."""
    with terminal(COMMAND, "top", console.url, "--interval", "0.2", columns=130) as shown:
        shown.until(r"^  pdf +process +ok")
        shown.until(r"^  q quits.*\Z")
        assert shown.colours_of("healthy") == {"green"}
        for _ in range(3):
            console.get("/reports/job")
        console.get("/reports/fail")
        shown.until(r"reports/job +pdf +4 ")
        shown.until(r"ValueError: it is \?\]0;broken\? for good")
        assert pool_row(shown.shown)["DONE"] == "4"
        shown.resize(60, 8)
        shown.until(r"\Agenro-executor top")
        shown.until(r"^  q quits")
        assert len(shown.shown.splitlines()) == 8
        assert "pdf" in shown.shown
        assert shown.shown.splitlines()[-1].startswith("  q quits")
        shown.resize(140, 40)
        shown.until(r"reports/fail +pdf")
        shown.type("q")
        assert shown.wait() == 0
    assert shown.written.count(ALTERNATE_SCREEN) == shown.written.count(NORMAL_SCREEN) == 1
    assert shown.written.index(ALTERNATE_SCREEN) < shown.written.index(NORMAL_SCREEN)


def test_live_it_pauses_and_goes_on(console: ServerUnderTest) -> None:
    with terminal(COMMAND, "top", console.url, "--interval", "0.2", columns=130) as shown:
        shown.until(r"reports/job +pdf +1 ")
        shown.type("p")
        shown.until("paused; p goes on")
        console.get("/reports/job")
        shown.type("p")
        shown.until(r"reports/job +pdf +2 ")
        assert "paused" not in shown.shown
        shown.type("\x1b")  # Escape
        assert shown.wait() == 0


@pytest.fixture
def busy_console(
    executor_server: Callable[..., ServerUnderTest], tmp_path: Path
) -> ServerUnderTest:
    """A server with two pools that have run calls, and two long jobs, one of which has failed."""
    threads = {"executor_type": "thread", "max_workers": 1}
    site = executor_server(
        *(Reports, Bound, ExecutorConsole),
        executors={"pdf": {"max_workers": 1}, "zip": threads, "jobs": threads},
        long_tasks={"path": str(tmp_path), "pool": "jobs"},
        tasks=False,
    )
    site.get("/reports/fail")
    for _ in range(3):
        assert site.get("/bound/zipped").status == 200
    for name in ("book", "torn"):
        assert site.get(f"/bound/{name}").status == 202
    return site


class Bound(RoutedApplication):
    mount = "bound"

    @route(executor="zip")
    def zipped(self) -> int:
        return 1

    @route(executor="jobs", executor_background=True)
    def book(self) -> int:
        return 1

    @route(executor="jobs", executor_background=True)
    def torn(self) -> None:
        raise ValueError("it is \x1b]0;torn\x07")


def first_pools(text: str) -> list[str]:
    """The names of the pools in the order in which they are shown."""
    rows = [line.split() for line in text.splitlines() if line.strip()]
    begin = next(number for number, row in enumerate(rows) if row[0] == "POOL") + 1
    return [row[0] for row in rows[begin : begin + 3]]


def test_live_it_shows_jobs_and_sorts(
    busy_console: ServerUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    size = {"columns": 170, "rows": 60}
    with terminal(COMMAND, "top", busy_console.url, "--interval", "0.2", **size) as shown:
        shown.until(r"^  q quits.*j long jobs.*m memory")
        assert "Long jobs" not in shown.shown
        assert first_pools(shown.shown) == ["jobs", "pdf", "zip"]
        shown.type("j")
        shown.until(r"^Long jobs \(2, 1 failed that nobody has seen\)")
        shown.until(r"failed +jobs .*bound/torn +ValueError: it is \?\]0;torn\?")
        shown.until(r"succeeded +jobs .*bound/book")
        assert shown.colours_of("ValueError: it is") == {"red"}
        for key, order, first, most in (("c", "calls", "zip", 1), ("e", "errors", "pdf", 2)):
            shown.type(key)
            shown.until(rf"^  by {order} ")
            assert first in first_pools(shown.shown)[:most]
        shown.type("e")  # once more, and each table has its own order again
        shown.until(r"^  q quits")
        assert first_pools(shown.shown) == ["jobs", "pdf", "zip"]
        shown.type("q")
        assert shown.wait() == 0
    assert main(["top", busy_console.url, "--jobs", "--sort", "calls"]) == 0
    text = capsys.readouterr().out
    assert (first_pools(text)[0], "bound/torn" in text) == ("zip", True)
    assert main(["top", busy_console.url, "--jobs", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["jobs"]["count"] == 2


def test_jobs_that_cannot_be_had_hide_nothing_else(
    quiet_console: ServerUnderTest, capsys: pytest.CaptureFixture[str]
) -> None:
    snapshot = quiet_console.get("/_executors/snapshot").body
    refused = http("500 Oh", b'{"detail": "the store is lost"}')
    with other_server(http("200 OK", snapshot), refused) as url:
        assert main(["top", url, "--jobs"]) == 0
    text = capsys.readouterr().out
    assert "answered 500: the store is lost" in text
    assert "not used yet" in text
    assert main(["top", quiet_console.url, "--jobs"]) == 0
    assert "there are none" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_signal_gives_the_terminal_back(
    quiet_console: ServerUnderTest, number: int, code: int
) -> None:
    with terminal(COMMAND, "top", quiet_console.url) as shown:
        shown.until("q quits")
        shown.signal(number)
        assert shown.wait() == code
    assert NORMAL_SCREEN in shown.written[-100:]
    assert b"Traceback" not in shown.written


def test_a_server_that_goes_is_told_and_one_that_comes_back_is_shown(
    executor_server: Callable[..., ServerUnderTest],
) -> None:
    def server() -> ExecutorServer:
        return ExecutorServer(
            applications=[Reports, ExecutorConsole], executors={"pdf": {}}, tasks=False
        )

    first = executor_server(server())
    with terminal(COMMAND, "top", first.url, "--interval", "0.2", columns=130) as shown:
        shown.until("healthy")
        port = int(first.url.rpartition(":")[2])
        first.stop()
        shown.until(r"^  no answer for \d+ s: .*refused")
        assert shown.colours_of("no answer for") == {"red"}
        assert "not used yet" in shown.shown  # what was last known stays
        again = ServerUnderTest(server(), port=port)
        again.start()
        try:
            shown.until("^  q quits")
            shown.type("q")
            assert shown.wait() == 0
        finally:
            again.stop()


def test_keys_work_while_a_server_does_not_answer(quiet_console: ServerUnderTest) -> None:
    snapshot = quiet_console.get("/_executors/snapshot").body
    with (
        other_server(http("200 OK", snapshot)) as url,
        terminal(COMMAND, "top", url, "--interval", "0.2") as shown,
    ):
        shown.until("healthy")
        shown.type(" ")
        began = time.monotonic()
        shown.type("q")
        assert shown.wait() == 0
        assert time.monotonic() - began < 4  # the request goes on for five seconds


def test_a_terminal_that_cannot_do_it_is_one_line(quiet_console: ServerUnderTest) -> None:
    with terminal(COMMAND, "top", quiet_console.url, TERM="no-such-terminal") as shown:
        assert shown.wait() == 2
    assert b"cannot show a live view" in shown.written
    assert b"use --once" in shown.written
    assert b"Traceback" not in shown.written


def test_no_colours_when_they_are_not_wanted(quiet_console: ServerUnderTest) -> None:
    with terminal(COMMAND, "top", quiet_console.url, NO_COLOR="1") as shown:
        shown.until("healthy")  # the keys are shown before the first answer is
        assert shown.colours_of("healthy") == {"default"}
        shown.type("q")
        assert shown.wait() == 0


# -- the token of a console without authentication ------------------------------------------------


def test_the_token_of_an_own_server_is_found_and_others_are_told(
    quiet_console: ServerUnderTest,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    token = quiet_console.server.applications["_executors"].token.value
    assert main(["top", quiet_console.url, "--once"]) == 0
    capsys.readouterr()
    monkeypatch.setenv("XDG_STATE_HOME", "/nowhere")  # as another user
    assert "give the link that its log has" in failing(capsys, quiet_console.url)
    assert "are not known" in failing(capsys, quiet_console.url, "--token", "x" * 20)
    assert main(["top", f"{quiet_console.url}/_executors/?token={token}", "--once"]) == 0
    assert main(["top", quiet_console.url, "--once", "--token", token]) == 0
    monkeypatch.setenv("GENRO_EXECUTOR_TOKEN", token)
    assert main(["top", quiet_console.url, "--json"]) == 0
