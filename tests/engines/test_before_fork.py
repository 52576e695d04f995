# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What modules make at their import and workers must not share: workers are spawned then."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import worker_functions as wf
from waiting import until

CONNECTION = """
import os, socket
CONNECTION = socket.socket(socket.AF_UNIX)
CONNECTION.connect(os.environ["ECHO_SOCKET"])
def ask(number):
    CONNECTION.sendall(b"%08d" % number)
    answer = b""
    while len(answer) < 8: answer += CONNECTION.recv(8 - len(answer))
    return int(answer)
"""

DATABASE = """
import os, sqlite3
DATABASE = sqlite3.connect(os.environ["ECHO_SOCKET"] + ".database")
DATABASE.execute("create table if not exists t (n)")
DATABASE.commit()
"""

THREAD = """
import threading, time
LOCK = threading.Lock()
def work():
    while True:
        with LOCK: time.sleep(0.02)
threading.Thread(target=work, daemon=True, name="flusher").start()
def locked():
    with LOCK: return "locked"
"""

LOOP = "import asyncio\nLOOP = asyncio.new_event_loop()\n"

HARMLESS = """
import os, socket, threading, tempfile, logging, signal
LISTENING = socket.create_server(("127.0.0.1", 0))
STATISTICS = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
STATISTICS.connect(("127.0.0.1", 9))
FILE = tempfile.TemporaryFile()
LOG = logging.FileHandler(os.devnull)
ended = threading.Thread(target=int)
ended.start()
ended.join()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGCHLD})
"""


@pytest.fixture
def write_module(tmp_path: Path) -> Iterator[Callable[[str, str], Any]]:
    """Writes a module that templates can import, and imports it here if that is wanted."""
    names = []

    def write(name: str, text: str, imported: bool = False) -> Any:
        (tmp_path / f"{name}.py").write_text(text)
        names.append(name)
        return importlib.import_module(name) if imported else None

    sys.path.insert(0, str(tmp_path))
    yield write
    sys.path.remove(str(tmp_path))
    for name in names:
        sys.modules.pop(name, None)


@pytest.fixture
async def echo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """A server that answers with what it was asked, a moment later."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while len(asked := await reader.read(8)) == 8:
            await asyncio.sleep(0.002)
            writer.write(asked)
        writer.close()

    path = str(tmp_path / "echo")
    monkeypatch.setenv("ECHO_SOCKET", path)
    server = await asyncio.start_unix_server(serve, path)
    yield
    server.close()


def has_imported(name: str) -> bool:
    return name in sys.modules


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]


@pytest.mark.usefixtures("echo")
@pytest.mark.parametrize(
    ("text", "told"),
    [
        (CONNECTION, "has opened a connection (to "),
        (DATABASE, "has opened the SQLite database "),
        (THREAD, "has started the thread 'flusher'"),
        (LOOP, "within the process, as that of an event loop"),
    ],
    ids=["connection", "database", "thread", "event loop"],
)
async def test_workers_are_spawned_and_the_log_says_why(
    make: Any, write_module: Any, caplog: pytest.LogCaptureFixture, text: str, told: str
) -> None:
    write_module("shares", text)
    pool = make(max_workers=1, preload=["shares"])
    assert not await pool.submit(has_imported, "shares")
    (warning,) = warnings_of(caplog)
    assert warning.startswith("pool 'pool': module 'shares' has ")
    assert told in warning
    assert "start_method='spawn'" in warning
    assert "on_worker_startup" in warning
    # The template keeps nothing of it, and another one says nothing new.
    template = psutil.Process(psutil.Process(pool.pids[0]).ppid())
    assert template.num_threads() == 1
    assert not [file for file in template.open_files() if "database" in file.path]
    os.kill(template.pid, signal.SIGKILL)
    assert pool.kill_worker(pool.pids[0])
    await until(lambda: not pool.pids)
    assert await pool.submit(wf.answer) == 42
    assert warnings_of(caplog) == [warning]


@pytest.mark.parametrize("start_method", ["forkserver", "spawn"])
async def test_what_is_harmless_is_left_alone(
    make: Any, write_module: Any, caplog: pytest.LogCaptureFixture, start_method: str
) -> None:
    """Signals that a module has blocked are let through again."""
    write_module("harmless", HARMLESS)
    pool = make(max_workers=1, preload=["harmless"], start_method=start_method)
    assert await pool.submit(has_imported, "harmless") == (start_method == "forkserver")
    assert not warnings_of(caplog)
    with pytest.raises(TimeoutError):
        await pool.options(soft_timeout=0.2).submit(wf.spin)


@pytest.mark.usefixtures("echo")
async def test_a_spawned_pool_is_warned_of_nothing(
    make: Any, write_module: Any, caplog: pytest.LogCaptureFixture
) -> None:
    write_module("shares", CONNECTION)
    pool = make(max_workers=1, preload=["shares"], start_method="spawn")
    assert await pool.submit(wf.answer) == 42
    assert not warnings_of(caplog)


@pytest.mark.usefixtures("echo")
async def test_no_worker_gets_the_answer_of_another(make: Any, write_module: Any) -> None:
    shares = write_module("shares", CONNECTION, imported=True)
    try:
        pool = make(max_workers=2, preload=["shares"], warm=True)
        assert await asyncio.gather(*(pool.submit(shares.ask, n) for n in range(40))) == [
            *range(40)
        ]
    finally:
        shares.CONNECTION.close()


async def test_no_worker_waits_for_a_lock_of_the_template(make: Any, write_module: Any) -> None:
    write_module("has_a_lock", THREAD)
    pool = make(max_workers=2, preload=["has_a_lock"])
    answers = await asyncio.gather(*(pool.submit(call_by_name, "has_a_lock") for _ in range(6)))
    assert answers == ["locked"] * 6


def call_by_name(module: str) -> Any:
    return importlib.import_module(module).locked()
