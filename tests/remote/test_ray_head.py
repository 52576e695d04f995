# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A cluster whose head dies while calls run and comes back, which wants a token; and Ray's own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from programs import RunningProgram

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.once, pytest.mark.timeout(240)]

TOKEN = "a-token-of-the-tests-" + "0" * 40
ON_LOOPBACK = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AUTH_MODE": "token",
}

PROGRAM = """
import asyncio, sys
import worker_functions as wf
from genro_executor_plugin import RayExecutor, WorkerLostError, WorkerCrashedError

async def main(address):
    async with RayExecutor("far", address=address, max_workers=1, start_timeout=60) as pool:
        print("answered", await pool.submit(wf.answer), flush=True)
        call = asyncio.create_task(pool.submit(wf.hold, sys.argv[1]))
        waiting = asyncio.create_task(pool.options(queue_timeout=60).submit(wf.add, 20, 3))
        try:
            await call
        except (WorkerLostError, WorkerCrashedError) as error:
            print("lost", type(error).__name__, error, flush=True)
        while pool.unhealthy is None and not waiting.done():
            await asyncio.sleep(0.05)
        print("unhealthy", pool.unhealthy, flush=True)
        print("again", await waiting, await pool.submit(wf.answer), flush=True)
        assert pool.unhealthy is None

asyncio.run(main(sys.argv[2] if len(sys.argv) > 2 else None))
print("ended", flush=True)
"""


class RayHead:
    """A head node as ``ray start`` starts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        with socket.socket() as probe:  # Ray gives those above 10,000 to its workers
            for port in range(7000 + os.getpid() % 2000, 9999):
                with suppress(OSError):
                    probe.bind(("127.0.0.1", port))
                    self.port = port
                    break

    def start(self) -> None:
        ray = Path(sysconfig.get_path("scripts")) / "ray"
        places = [f"--port={self.port}", "--node-ip-address=127.0.0.1", f"--temp-dir={self.folder}"]
        sizes = ["--num-cpus=2", "--object-store-memory=100000000", "--include-dashboard=false"]
        subprocess.run(
            [sys.executable, ray, "start", "--head", "--disable-usage-stats", *places, *sizes],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=self.folder,
            env=os.environ | ON_LOOPBACK | {"RAY_AUTH_TOKEN": TOKEN},
        )

    def kill(self) -> None:
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if str(self.folder) in " ".join(process.cmdline()) and process.pid != os.getpid():
                    process.kill()


@pytest.fixture
def head() -> Iterator[RayHead]:
    folder = Path("/tmp") / f"ray-head-{os.getpid()}"  # a socket's path must be short
    folder.mkdir()
    head = RayHead(folder)
    head.start()
    yield head
    head.kill()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


@pytest.fixture
def run(program: Path) -> Iterator[Callable[..., RunningProgram]]:
    running: list[RunningProgram] = []

    def run(*arguments: str, **environment: str) -> RunningProgram:
        running.append(
            RunningProgram(program, *arguments, cwd=program.parent, **ON_LOOPBACK, **environment)
        )
        return running[-1]

    yield run
    for one in running:
        one.end()


async def test_a_head_that_is_started_anew_is_used_again_and_wants_its_token(
    head: RayHead, run: Any, gate: Any
) -> None:
    path, address = gate.path, f"127.0.0.1:{head.port}"
    stranger = run(path, address, RAY_AUTH_TOKEN="b" + TOKEN[1:])
    running = run(path, address, RAY_AUTH_TOKEN=TOKEN)
    running.until_it_says("answered 42")
    await gate.entered()
    stranger.until_it_says(r"Ray at \S+ wants another token .*RAY_AUTH_TOKEN")
    head.kill()
    running.until_it_says("lost WorkerLostError it is not known what became of")
    running.until_it_says("unhealthy its workers are being started")
    head.start()
    running.until_it_says("again 23 42")
    assert running.wait() == 0


async def test_a_ray_of_the_servers_own_that_dies_is_started_anew(run: Any, gate: Any) -> None:
    running = run(gate.path)
    running.until_it_says("answered 42")
    await gate.entered()
    for process in psutil.Process(running.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    running.until_it_says("lost")
    running.until_it_says("again 23 42")
    assert running.wait() == 0
