# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Three agents under load while agents, the network or the server of NATS fail.

Whatever fails: each call has one end, an answer is that of its own call, nothing runs twice, what
is told as not sent has not run, and calls go on when the fault is over. ``tox run -e
remote-faults`` has the long cuts and 100 restarts, and asks for calls within two seconds.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import worker_functions as wf
from agents import AgentProgram, NatsServer, nats_server, pool_options, share
from cut_lines import Proxy
from waiting import until

from genro_executor_plugin import ExecutorError, NatsExecutor, NoAgentError, WorkerLostError

ALL = os.environ.get("GENRO_EXECUTOR_FAULTS") == "all"
CUT_SECONDS = (1, 10, 60) if ALL else (1,)
RESTARTS = 100 if ALL else 5
RECOVERY_SECONDS = 2.0 if ALL else 20.0
"""Within how many seconds of a fault's end calls are answered; other work may delay the suite."""

pytestmark = [pytest.mark.once, pytest.mark.timeout(400 if ALL else 180)]


class Load:
    """Callers that call one after the other, and what becomes of each call."""

    def __init__(self, pool: NatsExecutor, trace: Path, callers: int = 6) -> None:
        self._pool, self._trace, self._callers = pool, trace, callers
        self._numbers = itertools.count(1)
        self._told = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.answered: dict[int, float] = {}
        self.failed: dict[int, ExecutorError] = {}

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._call()) for _ in range(self._callers)]
        await self.goes_on()
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._told.set()
        await asyncio.gather(*self._tasks)

    async def _call(self) -> None:
        while not self._told.is_set():
            number = next(self._numbers)
            try:
                answer = await self._pool.submit(wf.note, str(self._trace), number)
            except ExecutorError as error:
                self.failed[number] = error
                await asyncio.sleep(0.02)  # whoever is refused asks again a little later
            else:
                assert answer == number
                self.answered[number] = time.monotonic()

    async def goes_on(self, since: float | None = None, most: float | None = None) -> None:
        """Wait for answers of calls that begin from now on; in ``most`` seconds from ``since``."""
        first = next(self._numbers)
        await until(lambda: sum(number > first for number in self.answered) >= 2 * self._callers)
        if since is not None and most is not None:
            took = min(at for number, at in self.answered.items() if number > first) - since
            assert took < most, f"the first call was answered {took:.1f} s after the fault's end"

    def runs(self) -> Counter[int]:
        return Counter(int(line.split()[0]) for line in self._trace.read_text().splitlines())

    def who(self) -> Counter[str]:
        return Counter(line.partition(" ")[2] for line in self._trace.read_text().splitlines())

    def judge(self, *allowed: type[ExecutorError]) -> None:
        """After the load: each call had one end, ran once at most, and failed with ``allowed``."""
        runs, metrics = self.runs(), self._pool.metrics
        assert not self.answered.keys() & self.failed.keys()
        assert max(runs.values()) == 1, "something has run twice"
        assert self.answered.keys() <= runs.keys(), "an answer came from nowhere"
        others = {n: e for n, e in self.failed.items() if not isinstance(e, allowed)}
        assert not others, f"{len(others)} failed: {next(iter(others.values()))}"
        unsent = {n for n, error in self.failed.items() if isinstance(error, NoAgentError)}
        assert not unsent & runs.keys(), "what was told as not sent has run"
        assert metrics["pending"] == 0
        assert metrics["completed"] == len(self.answered)


class Fleet:
    """A nats-server and three agents of one worker each; those that have ended are replaced."""

    def __init__(self, server: NatsServer, stack: ExitStack) -> None:
        self.server, self._stack = server, stack
        self.agents: list[AgentProgram] = []

    def start(self, **environment: str) -> AgentProgram:
        started = AgentProgram(
            *(self.server.url, "three", "--lost-after", "3", "--pool", "max_workers=1"),
            **environment,
        )
        self._stack.callback(started.end)
        share(self.server.pid, started.pid)
        self.agents.append(started)
        return started

    def complete(self) -> None:
        self.agents = [program for program in self.agents if program.exit_code is None]
        for program in [self.start() for _ in range(3 - len(self.agents))]:
            program.until_it_is_there()

    @asynccontextmanager
    async def pool(self, url: str | None = None, **options: Any) -> AsyncIterator[NatsExecutor]:
        await asyncio.to_thread(self.complete)
        where = pool_options(url or self.server.url, "three", lost_after=2, **options)
        async with NatsExecutor("heavy", **where) as pool:
            await pool.warm()
            await until(lambda: pool.metrics["workers"] == 3)
            yield pool


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    with nats_server() as server, ExitStack() as stack:
        yield Fleet(server, stack)


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "trace"


async def test_a_killed_and_a_stopped_agent_take_only_their_own_calls(
    fleet: Fleet, trace: Path
) -> None:
    async with fleet.pool() as pool:
        async with Load(pool, trace) as load:
            killed, stopped = fleet.agents[:2]
            killed.signal_all(signal.SIGKILL)
            await load.goes_on(time.monotonic(), RECOVERY_SECONDS)
            await until(lambda: pool.metrics["workers"] == 2)
            stopped.signal(signal.SIGSTOP)
            await until(lambda: pool.metrics["workers"] == 1)
            await load.goes_on(time.monotonic(), RECOVERY_SECONDS)
            stopped.signal(signal.SIGCONT)
            await until(lambda: pool.metrics["workers"] == 2)
            await load.goes_on()
        load.judge(WorkerLostError)
        lost = {str(error) for error in load.failed.values()}
        assert 1 <= len(lost) <= 2 + 2, lost  # what ran there, and what was on its way


async def test_calls_go_on_when_nats_is_killed_and_started_again(fleet: Fleet, trace: Path) -> None:
    async with fleet.pool() as pool:
        async with Load(pool, trace) as load:
            fleet.server.stop()
            await until(lambda: pool.unhealthy is not None)
            fleet.server.start()
            share(fleet.server.pid)
            await load.goes_on(time.monotonic(), RECOVERY_SECONDS)
            await until(lambda: pool.metrics["workers"] == 3)
        load.judge(WorkerLostError, NoAgentError)


# nats-py closes the socket of an attempt that came to nothing by letting go of it.
@pytest.mark.filterwarnings("ignore:.*StreamWriter.__del__:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("seconds", CUT_SECONDS)
@pytest.mark.parametrize("how", ["held up", "reset"])
async def test_calls_go_on_after_the_network_was_cut(
    fleet: Fleet, trace: Path, how: str, seconds: int
) -> None:
    proxy = Proxy(fleet.server.port)
    async with AsyncExitStack() as stack:
        await proxy.open()
        stack.push_async_callback(proxy.close)
        pool = await stack.enter_async_context(fleet.pool(proxy.url))
        async with Load(pool, trace) as load:
            proxy.cut()
            if how == "reset":
                proxy.reset()
            await asyncio.sleep(seconds)
            proxy.mend()
            await load.goes_on(time.monotonic(), RECOVERY_SECONDS)
            await until(lambda: pool.metrics["workers"] == 3)
        load.judge(WorkerLostError, NoAgentError)
        if seconds == 1:  # shorter than lost_after: nothing is lost
            assert not load.failed


async def test_a_slow_agent_slows_only_its_own_calls(fleet: Fleet, trace: Path) -> None:
    await asyncio.to_thread(fleet.complete)
    fleet.agents[0].signal(signal.SIGTERM)
    await asyncio.to_thread(fleet.agents[0].wait)
    slow = fleet.start(WHO="slow", REST_SECONDS="0.5")
    slow.until_it_is_there()
    async with fleet.pool() as pool:
        async with Load(pool, trace, callers=3) as load:
            await until(lambda: len(load.answered) >= 100)
        load.judge()
    assert 1 <= load.who()["slow"] < 20
    slow.signal(signal.SIGTERM)
    await asyncio.to_thread(slow.wait)


async def test_full_agents_have_calls_wait_and_none_is_refused(
    fleet: Fleet, trace: Path, gate: Any
) -> None:
    async with fleet.pool() as pool:
        held = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for _ in range(2)]
        for _ in held:
            await gate.entered()
        async with Load(pool, trace) as load:  # one agent has a place
            held.append(asyncio.create_task(pool.submit(wf.hold, gate.path)))
            await gate.entered()  # now none has
            so_far = len(load.answered)
            await asyncio.sleep(0.3)
            assert len(load.answered) == so_far
            gate.release()
            await load.goes_on()
        assert await asyncio.gather(*held) == ["released"] * 3
    assert not load.failed


async def test_no_request_fails_in_rolling_restarts(fleet: Fleet, trace: Path) -> None:
    async with fleet.pool() as pool:
        async with Load(pool, trace) as load:
            for _ in range(RESTARTS):
                program = fleet.agents.pop(0)
                program.signal(signal.SIGTERM)
                await until(_ended(program))
                assert program.exit_code == 0
                started = fleet.start()
                await asyncio.to_thread(started.until_it_is_there)
                await load.goes_on()
        load.judge()
    print(f"{RESTARTS} restarts, {len(load.answered)} calls, {len(load.failed)} failed")
    assert not load.failed


def _ended(program: AgentProgram) -> Callable[[], bool]:
    return lambda: program.exit_code is not None
