# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What every test has: a gate into workers, and a check that nothing is left behind."""

from __future__ import annotations

import asyncio
import atexit
import gc
import inspect
import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import agents
import host
import hypothesis
import loops
import psutil
import pytest
import rays
from imported import starter_pids
from loop_watch import LoopWatch, programs_per_processor
from worker_functions import PID

from genro_executor_plugin import ProcessExecutor

# What a server keeps for its user is kept here, not with whoever runs the tests.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="genro-executor-tests-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

# Looking through all that is installed for plugins is a tenth of what each program's start costs.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

# A background job of a shell, and what nohup starts, ignores Ctrl-C, and so would all programs that
# the tests start and send one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more of what else the machine does than of what is tested.
hypothesis.settings.register_profile(
    "suite", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("suite")

LEAK_PATIENCE_SECONDS = 20.0
"""How long something that is ending may take to be gone."""


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Have the asynchronous tests run on the event loop that was asked for."""
    return {loops.LOOP: loops.new_event_loop}


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, object, object]:
    """Collect no garbage while a report is written.

    A report reads the syntax of sources. A task that is collected meanwhile, and whose exception
    nobody has looked at, is logged with a traceback, which does the same, and Python 3.11 fails
    with a ``SystemError`` when the one is begun within the other: that would end the whole run.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        return (yield)
    finally:
        if enabled:
            gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out the tests that say nothing of the host they run on, each for its reason."""
    for item in items:
        name, _, _ = item.nodeid.partition("[")
        names = {item.nodeid, name, name.partition("::")[0]}
        for one in host.differences():
            if names & {*one["tests"]}:
                item.add_marker(pytest.mark.skip(reason=f"{host.DISTRIBUTION}: {one['reason']}"))
        if needs(item, "ray"):
            item.add_marker("ray")
        if not rays.IS_INSTALLED and item.get_closest_marker("ray") is not None:
            item.add_marker(pytest.mark.skip(reason=rays.REASON))


def needs(item: pytest.Item, kind: str) -> bool:
    """Whether ``item`` is a test with the parameter ``kind``."""
    callspec = getattr(item, "callspec", None)
    return callspec is not None and kind in map(str, callspec.params.values())


class Gate:
    """Where functions in workers wait until the test lets them go (``worker_functions.hold``).

    ``path`` is what the function is given; it says that it is inside, and with which pid.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._entered: asyncio.Queue[int] = asyncio.Queue()
        self._inside: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def open(self) -> None:
        self._server = await asyncio.start_unix_server(self._arrived, self.path)

    async def _arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            (pid,) = PID.unpack(await reader.readexactly(PID.size))
        except asyncio.IncompleteReadError:
            writer.close()  # it was killed between its two steps
            return
        self._inside.append(writer)
        self._entered.put_nowait(pid)

    async def entered(self) -> int:
        """The pid of the next function that came in."""
        return await asyncio.wait_for(self._entered.get(), 40)

    def release(self) -> None:
        """Let everything go that is inside now."""
        for writer in self._inside:
            writer.close()
        self._inside.clear()

    async def close(self) -> None:
        self.release()
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    gate = Gate(str(tmp_path / "gate"))
    await gate.open()
    yield gate
    await gate.close()


@pytest.fixture
async def make() -> AsyncIterator[Any]:
    """Makes pools of processes, and shuts them down."""
    made: list[ProcessExecutor] = []

    def make(**options: Any) -> ProcessExecutor:
        made.append(ProcessExecutor("pool", **options))
        return made[-1]

    yield make
    for executor in made:
        await executor.shutdown()


WATCHED_ROOMS = frozenset(
    {"engines", "executors", "offload", "portable", "routing", "serving", "worker"}
)
"""The folders of tests that run pools on their own event loop."""


@pytest.fixture(scope="module")
def far_agent() -> Iterator[None]:
    """An agent of its own process, for the pools of ``agents.shared_pool``."""
    with agents.shared_agent("max_workers=3"):
        yield


@pytest.fixture(scope="session")
def ray_here() -> Iterator[None]:
    """Ray on this machine, for the pools of ``rays.ray_pool``."""
    with rays.running_ray():
        yield


@pytest.fixture(autouse=True)
def far_workers_where_they_are_needed(request: pytest.FixtureRequest) -> None:
    """A test with the parameter ``"nats"`` has an agent, and one with ``"ray"`` has Ray."""
    if needs(request.node, "nats"):
        request.getfixturevalue("far_agent")
    if request.node.get_closest_marker("ray") is not None:
        request.getfixturevalue("ray_here")


@pytest.fixture(autouse=True)
async def loop_goes_on(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    """Nothing of this package holds up the event loop for more than 100 ms in the test.

    It may be longer where the machine has more to do than it has processors.

    ``pytest.mark.holds_the_loop(reason)`` exempts a test.
    """
    exempt = request.node.get_closest_marker("holds_the_loop")
    watched = request.path.parent.name in WATCHED_ROOMS
    if exempt is not None or not watched or not inspect.iscoroutinefunction(request.function):
        yield
        return
    watch = LoopWatch(programs_per_processor)
    watch.start()
    yield
    watch.stop()
    assert not watch.found, "\n".join(watch.found)


def _children() -> set[int]:
    found = {child.pid for child in psutil.Process().children(recursive=True)}
    return found - starter_pids() - agents.shared_pids() - rays.shared_pids()


@pytest.fixture(autouse=True)
def state_of_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any) -> None:
    """Each test has a state folder of its own: no store and no key of the user is touched."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)


@pytest.fixture(autouse=True)
def nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, far_workers_where_they_are_needed: None
) -> Iterator[None]:
    """No test leaves a process, a thread or a file descriptor of a pool behind."""
    monkeypatch.delenv("GENRO_EXECUTOR_BYPASS", raising=False)
    processes, threads = _children(), set(threading.enumerate())
    yield
    deadline = time.monotonic() + LEAK_PATIENCE_SECONDS
    while True:
        left_processes = _children() - processes
        left_threads = [thread for thread in threading.enumerate() if thread not in threads]
        # The event loop's own default pool ends with the loop, after this fixture.
        left_threads = [
            thread for thread in left_threads if not thread.name.startswith(("asyncio_", "uvloop_"))
        ]
        if not left_processes and not left_threads:
            return
        if time.monotonic() > deadline:
            break
        time.sleep(0.01)
    for pid in left_processes:
        os.kill(pid, 9)
    pytest.fail(f"left behind: processes {left_processes}, threads {left_threads}")


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    """No test leaves a task pending."""
    before = asyncio.all_tasks()
    yield
    left = {task for task in asyncio.all_tasks() - before if not task.done()}
    left.discard(asyncio.current_task())  # type: ignore[arg-type]
    assert not left, f"left behind: {left}"
