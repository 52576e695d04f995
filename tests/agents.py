# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A real nats-server on loopback, and agents as processes of their own."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
from programs import RunningProgram

from genro_executor_plugin import NatsExecutor

TESTS = Path(__file__).parent
SECRET = "a secret of the tests, long enough"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class NatsServer:
    """A nats-server; ``stop`` and ``start`` it as often as needed, at the same address."""

    def __init__(self, *options: str) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None
        beside = shutil.which("nats-server", path=str(Path(sys.executable).parent))
        self._program = beside or "nats-server"

    def start(self) -> None:
        self._process = subprocess.Popen(
            [self._program, "-a", "127.0.0.1", "-p", str(self.port), *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.01)
        raise AssertionError("nats-server did not start")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def stop(self, number: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait()
            self._process = None


class AgentProgram(RunningProgram):
    """``genro-executor worker`` as a process; its workers find the tests' modules."""

    def __init__(self, url: str, subject: str, *options: str, **environment: str) -> None:
        variables = {"GENRO_EXECUTOR_NATS_SECRET": SECRET, "PYTHONUNBUFFERED": "1", **environment}
        command = ("-m", "genro_executor_plugin.cli", "worker", "--url", url, "--subject", subject)
        super().__init__(*command, *options, **variables)

    def until_it_is_there(self) -> AgentProgram:
        self.until_it_says(r"agent (\w+) serves")
        self.descendants()
        return self

    def end(self) -> None:
        with suppress(psutil.NoSuchProcess):
            self.descendants()
        super().end()


@contextmanager
def nats_server(*options: str) -> Iterator[NatsServer]:
    server = NatsServer(*options)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def agent(url: str, subject: str, *options: str, **environment: str) -> Iterator[AgentProgram]:
    """An agent that is there; what is left of it is killed at the end."""
    program = AgentProgram(url, subject, *options, **environment)
    try:
        yield program.until_it_is_there()
    finally:
        program.end()


def pool_options(url: str, subject: str, **options: Any) -> dict[str, Any]:
    os.environ.setdefault("GENRO_EXECUTOR_NATS_SECRET", SECRET)
    return {"url": url, "subject": subject, **options}


# -- one for the tests of a module ----------------------------------------------------------------

_shared: list[psutil.Process] = []
_where: dict[str, Any] = {}


def shared_pids() -> set[int]:
    """The processes of agents and servers that stay for several tests."""
    found: set[int] = set()
    for process in _shared:
        with suppress(psutil.NoSuchProcess):
            found |= {process.pid, *(child.pid for child in process.children(recursive=True))}
    return found


def share(*pids: int) -> None:
    """Have the processes ``pids``, and those below them, stay for several tests."""
    _shared[:] = [process for process in _shared if process.is_running()]
    _shared.extend(map(psutil.Process, pids))


@contextmanager
def shared_agent(*options: str) -> Iterator[None]:
    """A nats-server with an agent, which ``shared_pool`` makes pools for."""
    rooms = [str(TESTS / room) for room in ("", "executors", "engines", "portable", "worker")]
    with nats_server() as server, tempfile.TemporaryDirectory() as folder:
        _shared.append(psutil.Process(server.pid))
        try:
            path = os.pathsep.join((folder, *rooms))
            with agent(server.url, "shared", "--pool", *options, PYTHONPATH=path) as program:
                _shared.append(psutil.Process(program.pid))
                _where.update(url=server.url, folder=Path(folder))
                yield
        finally:
            _shared.clear()


def shared_pool(name: str = "pool", **options: Any) -> NatsExecutor:
    """A pool whose calls run on the agent of ``shared_agent``."""
    return NatsExecutor(name, **shared_options(**options))


def shared_options(**options: Any) -> dict[str, Any]:
    """The options of such a pool."""
    return pool_options(_where["url"], "shared", **options)


def shared_folder() -> Path:
    """A folder from which the agent of ``shared_agent`` imports."""
    folder: Path = _where["folder"]
    return folder
