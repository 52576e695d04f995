# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A start that fails in whatever way ends the process, says why, and leaves nothing behind.

On both hosts: an ``ExecutorServer``, and a stock server that has its pools from the console.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from host import AsgiServer, RoutedApplication
from programs import TESTS, RunningProgram, started
from servers import boot_message

from genro_executor_plugin import ExecutorConsole, ExecutorServer

PROGRAM = TESTS / "apps" / "starting.py"

NOBODY = 65534

HOSTS = pytest.mark.parametrize("host", ["server", "console"])
"""Where both have code of their own for it; what they share is tried on one of them."""


def store_in(folder: Path) -> Path:
    """The file of a store of long jobs that is there when the server starts; it is empty."""
    store = folder / "jobs" / "jobs.sqlite"
    store.parent.mkdir()
    store.touch()
    return store


def assert_refused(process: RunningProgram, *said: str) -> None:
    """The program has ended by itself, has served nobody, and has said all of ``said``."""
    outcome = process.until_it_says(r"Application startup (\w+)|appears unsupported")
    assert outcome[1] == "failed", process.log
    assert process.wait() not in (0, None), process.log
    for text in said:
        assert text in process.log, process.log


def workers_that_ended_in_order(folder: Path) -> int:
    return len((folder / "ended").read_text().split())


@pytest.mark.parametrize(
    ("host", "trouble", "said"),
    [
        ("server", "kind", ["Traceback", "KeyError: 'no device for pool mine'"]),
        ("console", "refusing", ["Traceback", "ExecutorConfigError: no device for pool mine"]),
        ("server", "routes", ["Traceback", "ZeroDivisionError: no routes today"]),
        *(
            (host, *trouble)
            for host in ("server", "console")
            for trouble in (
                ("cancelled", ["Traceback", "CancelledError"]),
                ("odd", ["Traceback", "OddError: not today"]),
                ("exits", ["Traceback", "SystemExit: no licence"]),
                ("interrupted", ["Traceback", "KeyboardInterrupt: enough"]),
                ("initializer", ["Traceback", "pool 'q'", "OddError", "not here"]),
            )
        ),
    ],
)
def test_whatever_is_raised_the_server_does_not_start(
    tmp_path: Path, host: str, trouble: str, said: list[str]
) -> None:
    with started(PROGRAM, host, trouble, cwd=tmp_path, imported=True) as process:
        assert_refused(process, *said)
    if trouble in ("exits", "interrupted"):
        assert workers_that_ended_in_order(tmp_path) == 2
    if trouble == "initializer":
        assert workers_that_ended_in_order(tmp_path) == 2, "those of the other pool"


@HOSTS
def test_mistakes_that_the_checks_have_collected_need_no_traceback(
    tmp_path: Path, host: str
) -> None:
    with started(PROGRAM, host, "undeclared", cwd=tmp_path, imported=True) as process:
        assert_refused(process, "route ofanotherkind/work", "'mine'")
        assert "Traceback" not in process.log, "the text says where the mistake is"


def test_a_store_that_is_no_file(tmp_path: Path) -> None:
    store = store_in(tmp_path)
    store.unlink()
    store.mkdir()
    with started(PROGRAM, "server", "none", cwd=tmp_path, imported=True) as process:
        assert_refused(process, "Traceback", f"{store} is no file")
    assert workers_that_ended_in_order(tmp_path) == 2


def test_a_store_that_another_program_has_locked(tmp_path: Path) -> None:
    with contextlib.closing(sqlite3.connect(store_in(tmp_path), isolation_level=None)) as other:
        other.execute("CREATE TABLE theirs (number)")
        other.execute("BEGIN EXCLUSIVE")
        with started(PROGRAM, "console", "impatient", cwd=tmp_path, imported=True) as process:
            assert_refused(process, "Traceback", "jobs cannot be opened: database is locked")
    assert workers_that_ended_in_order(tmp_path) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")
def test_a_store_of_another_user(tmp_path: Path) -> None:
    os.chown(store_in(tmp_path).parent, NOBODY, -1)
    with started(PROGRAM, "server", "none", cwd=tmp_path, imported=True) as process:
        assert_refused(process, "Traceback", f"belongs to uid {NOBODY}")
    assert workers_that_ended_in_order(tmp_path) == 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
@pytest.mark.parametrize(
    ("host", "exists"),
    [("console", True), ("server", False)],
    ids=["a store", "no store yet"],
)
def test_a_disk_without_room(tmp_path: Path, host: str, exists: bool) -> None:
    disk = tmp_path / "jobs"
    disk.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    try:
        if exists:
            (disk / "jobs.sqlite").touch(mode=0o600)
        with suppress(OSError), open(disk / "rest", "wb", buffering=0) as rest:
            while True:
                rest.write(bytes(4096))
        with started(PROGRAM, host, "none", cwd=tmp_path, imported=True) as process:
            said = "jobs" if exists else "jobs cannot be made: [Errno 28] No space left"
            assert_refused(process, "Traceback", said)
        assert exists or [path.name for path in disk.iterdir()] == ["rest"]
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert workers_that_ended_in_order(tmp_path) == 2


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """There is no store yet: the first job would find it out, long after the start."""
    (tmp_path / "jobs").touch()
    with started(PROGRAM, "console", "none", cwd=tmp_path, imported=True) as process:
        assert_refused(process, "Traceback", f"{tmp_path / 'jobs'} is a link or no folder")
    assert workers_that_ended_in_order(tmp_path) == 2


@pytest.mark.parametrize(
    ("host", "trouble", "said"),
    [("server", "undeclared", "'mine'"), ("console", "odd", "OddError: not today")],
)
def test_a_server_that_the_command_uvicorn_serves(
    tmp_path: Path, host: str, trouble: str, said: str
) -> None:
    """It is given an application, and knows nothing of what this package does."""
    (tmp_path / "site_of_uvicorn.py").write_text(
        f"from apps.starting import built\nserver = built({host!r}, {trouble!r})\n"
    )
    command = ("-m", "uvicorn", "--app-dir", str(tmp_path), "--port", "0", "site_of_uvicorn:server")
    with started(*command, cwd=tmp_path) as process:
        assert_refused(process, said)


@pytest.mark.parametrize(
    ("host", "trouble", "said"),
    [
        ("console", "undeclared", "'mine'"),
        ("server", "odd", "OddError: not today"),
        ("console", "plain", "no cache"),
        ("server", "fatal", "no database"),
    ],
)
def test_a_server_that_the_command_hypercorn_serves(
    tmp_path: Path, host: str, trouble: str, said: str
) -> None:
    """Its workers are counted from 0: with 1 it ends with the exit code 0, whoever refuses."""
    (tmp_path / "site_of_hypercorn.py").write_text(
        f"from apps.starting import built\nserver = built({host!r}, {trouble!r})\n"
    )
    command = ("-m", "hypercorn", "--workers", "0", "--bind", "127.0.0.1:0")
    with started(*command, "site_of_hypercorn:server", cwd=tmp_path) as process:
        assert process.wait() not in (0, None), process.log
        assert said in process.log
        assert "Running on" not in process.log


@HOSTS
def test_an_application_that_refuses_the_start_ends_what_was_started(
    tmp_path: Path, host: str
) -> None:
    """The workers end in order, and the store is let go of in order."""
    store = store_in(tmp_path)
    with started(PROGRAM, host, "fatal", cwd=tmp_path, imported=True) as process:
        assert_refused(process, "no database")
        assert "Traceback" not in process.log, "the application has said all there is to say"
    assert workers_that_ended_in_order(tmp_path) == 2
    assert not list((store.parent / "processes").iterdir())


@pytest.mark.parametrize(
    ("host", "trouble", "said"),
    [
        ("server", "plain", "'plain': LookupError: no cache"),
        ("console", "sync", "'plainsync': LookupError: no file"),
    ],
)
def test_an_application_that_fails_at_its_start_ends_the_start(
    tmp_path: Path, host: str, trouble: str, said: str
) -> None:
    """It would serve without what its ``on_startup`` was to build."""
    store = store_in(tmp_path)
    with started(PROGRAM, host, trouble, cwd=tmp_path, imported=True) as process:
        refused = f"the server does not start: on_startup of application {said}"
        assert_refused(process, "Traceback", refused)
    assert workers_that_ended_in_order(tmp_path) == 2
    assert not list((store.parent / "processes").iterdir())


def test_a_server_without_pools_stays_as_its_host_has_it() -> None:
    """Importing the package changes nothing for a server that is not given pools."""
    own = []

    class Fails(RoutedApplication):
        mount = "fails"

        def on_startup(self) -> None:
            own.append("on_startup")
            raise LookupError("no cache")

    boot = asyncio.run(boot_message(AsgiServer(applications=[Fails])))
    assert boot["type"] == "lifespan.startup.complete"
    assert own == ["on_startup"]


@HOSTS
def test_a_pool_that_does_not_end_in_order_leaves_no_worker(tmp_path: Path, host: str) -> None:
    with started(PROGRAM, host, "end", cwd=tmp_path, imported=True) as process:
        process.until_it_serves()
        process.descendants()
        process.signal(signal.SIGTERM)
        assert process.wait() in (0, -signal.SIGTERM)
        assert "LookupError: it does not end" in process.log
        assert "Application shutdown complete." in process.log, process.log
        assert not process.left()
    assert workers_that_ended_in_order(tmp_path) == 2


class AbortError(BaseException):
    """Nothing that a host takes for an application's mere failure."""


class Aborts(RoutedApplication):
    mount = "aborts"

    async def on_shutdown(self) -> None:
        raise AbortError


@pytest.mark.parametrize(
    "server_of",
    [
        lambda pools: ExecutorServer(applications=[Aborts], executors=pools, tasks=False),
        lambda pools: AsgiServer(
            applications=[(ExecutorConsole, {"executors": pools}), Aborts], tasks=False
        ),
    ],
    ids=["server", "console"],
)
async def test_an_on_shutdown_that_aborts_the_end_leaves_no_worker(server_of: Any) -> None:
    server = server_of({"p": {"max_workers": 1, "warm": True}})
    with pytest.raises(AbortError):
        await boot_message(server)
    assert server.executors.get("p").closed
    assert server.executors.get("p").pids == []


@pytest.mark.parametrize("host", [ExecutorServer, AsgiServer])
async def test_a_start_that_is_cancelled_ends_what_was_started(host: Any, tmp_path: Path) -> None:
    """While an application starts, say: nobody is told anything any more."""
    starts = asyncio.Event()

    class Slow(RoutedApplication):
        mount = "slow"

        async def on_startup(self) -> None:
            starts.set()
            await asyncio.Event().wait()

    pools = {"executors": {"p": {"max_workers": 1, "warm": True}}}
    server = host(applications=[(ExecutorConsole, pools), Slow], tasks=False)
    boot = asyncio.create_task(boot_message(server))
    await starts.wait()
    assert len(server.executors.get("p").pids) == 1
    boot.cancel()
    with pytest.raises(asyncio.CancelledError):
        await boot
    assert server.executors.get("p").pids == []


@pytest.mark.parametrize(
    ("host", "kind"), [(ExecutorServer, SystemExit), (AsgiServer, KeyboardInterrupt)]
)
def test_what_ends_a_whole_program_gets_through(host: Any, kind: Any) -> None:
    """After what was started has ended; an event loop stops at these two, in whatever task."""

    class Ends(RoutedApplication):
        mount = "ends"

        async def on_startup(self) -> None:
            assert len(server.executors.get("p").pids) == 1
            raise kind("enough")

    pools = {"executors": {"p": {"max_workers": 1, "warm": True}}}
    server = host(applications=[(ExecutorConsole, pools), Ends], tasks=False)
    with pytest.raises(kind, match="enough"):
        asyncio.run(boot_message(server))
    assert server.executors.get("p").closed
    assert server.executors.get("p").pids == []


@pytest.mark.parametrize(
    ("host", "number"), [("server", signal.SIGTERM), ("console", signal.SIGINT)]
)
def test_a_start_that_hangs_ends_by_one_signal(tmp_path: Path, host: str, number: int) -> None:
    """After the shutdown_timeout of its pools, which come up meanwhile if they can."""
    with started(PROGRAM, host, "hangs0.5", cwd=tmp_path, imported=True) as process:
        process.until_it_says("the initializer hangs")
        process.descendants()
        process.signal(number)
        process.until_it_says("told to end before the workers of its pools were up")
        assert process.wait() not in (0, None), process.log
        assert "Traceback" not in process.log
        assert not process.left()


@HOSTS
def test_a_second_signal_hurries_a_start_that_hangs(tmp_path: Path, host: str) -> None:
    with started(PROGRAM, host, "hangs600", cwd=tmp_path, imported=True) as process:
        process.until_it_says("the initializer hangs")
        process.descendants()
        process.signal(signal.SIGTERM)
        process.signal(signal.SIGINT)
        process.until_it_says("told to end before the workers of its pools were up")
        assert process.wait() not in (0, None), process.log
        assert not process.left()
