# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A pool under random operations does what a simple model of it allows.

Hypothesis makes sequences of operations, and makes a sequence that fails as short as it can. In
the test suite they are few and always the same; ``tox run -e model`` tries many, new ones each
time. After every operation the counters must be the sum of what callers have seen; at the end
every call has settled once, ran at most once, and nothing of the pool is left.
"""

from __future__ import annotations

import asyncio
import os
import signal
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import loops
import psutil
import pytest
import worker_functions as wf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from waiting import PATIENCE_SECONDS, block_until, is_dead, until

from genro_executor_plugin import (
    ExecutorClosedError,
    ExecutorOverloadError,
    ExecutorTimeoutError,
    ProcessExecutor,
    WorkerCrashedError,
)
from genro_executor_plugin.metrics.worker_state import WorkerState

EXAMPLES = int(os.environ.get("GENRO_EXECUTOR_MODEL_EXAMPLES", "12"))
IS_LONG = "GENRO_EXECUTOR_MODEL_EXAMPLES" in os.environ

MAX_WORKERS = 3
MAX_PENDING = 8
BURST = 6
"""So many short calls at once that some are sent ahead to busy workers."""

RUN_LIMIT_SECONDS = 0.05

FUNCTIONS = {"short": wf.modelled_short, "coroutine": wf.modelled_async}
KINDS = ("short", "held", "failing", "coroutine", "over its limit", "exiting")
LINES = ("wait", "fail", "queue_timeout")

submits = st.tuples(st.just("submit"), st.sampled_from(KINDS), st.sampled_from(LINES))
steering = st.one_of(
    st.tuples(st.just("cancel"), st.integers(0, 9)),
    st.tuples(st.just("kill"), st.integers(0, MAX_WORKERS - 1)),
    st.tuples(st.just("resize"), st.integers(1, MAX_WORKERS)),
    st.tuples(st.sampled_from(["release", "settle", "burst", "pause", "resume", "restart"])),
)
operations = st.lists(st.one_of(submits, submits, steering), min_size=3, max_size=25)


@dataclass(eq=False)
class Submitted:
    """A call, its caller, and what the model allows it to end with."""

    number: int
    kind: str
    trace: Path
    task: asyncio.Task[Any]
    may_crash: bool = False
    may_be_refused: bool = False
    may_be_closed: bool = False
    was_cancelled: bool = False

    @property
    def is_held(self) -> bool:
        return self.kind in ("held", "coroutine")

    @property
    def outcome(self) -> str:
        """The counter that this call must be found in."""
        if self.task.cancelled():
            return "cancelled"
        error = self.task.exception()
        return next(
            (
                counter
                for types, counter in [
                    ((type(None),), "completed"),
                    ((ExecutorOverloadError, ExecutorClosedError), "rejected"),
                    ((ExecutorTimeoutError,), "timed_out"),
                    ((WorkerCrashedError,), "crashed"),
                ]
                if isinstance(error, types)
            ),
            "failed",
        )

    def check(self) -> None:
        """It ended as the model allows, with its own answer, and it ran once at most."""
        runs = self.trace.stat().st_size if self.trace.exists() else 0
        assert runs <= 1, f"{self} ran {runs} times"
        if self.task.cancelled():
            assert self.was_cancelled, self
            return
        error = self.task.exception()
        if error is None:
            assert self.task.result() == self.number, self
            assert self.kind in ("short", "held", "coroutine"), self
            assert runs == 1, self
        elif isinstance(error, ExecutorOverloadError):
            assert self.may_be_refused, (self, error)
            assert not runs, (self, error)
        elif isinstance(error, ExecutorClosedError):
            assert self.may_be_closed, (self, error)
        elif isinstance(error, WorkerCrashedError):
            assert self.may_crash or self.kind == "exiting", (self, error)
        elif isinstance(error, ExecutorTimeoutError):
            assert self.kind == "over its limit", (self, error)
        else:
            assert self.kind == "failing", (self, error)
            assert error.args == (self.number,), (self, error)


@dataclass
class Model:
    """The pool, its callers, and what is known of both."""

    pool: ProcessExecutor
    folder: Path
    doors: set[asyncio.StreamWriter] = field(default_factory=set)
    calls: list[Submitted] = field(default_factory=list)
    max_workers: int = MAX_WORKERS
    paused: bool = False

    @property
    def gate(self) -> str:
        return str(self.folder / "gate")

    @property
    def open(self) -> list[Submitted]:
        return [call for call in self.calls if not call.task.done()]

    @property
    def staying(self) -> list[WorkerState]:
        return [state for state in self.pool.worker_states() if state.state != "leaving"]

    async def arrived(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A held call is inside until it is let go, or until its worker is gone."""
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readexactly(wf.PID.size)
            self.doors.add(writer)
            await reader.read()
        self.doors.discard(writer)
        writer.close()

    # -- operations -----------------------------------------------------------------------------

    async def submit(self, kind: str, line: str) -> None:
        number = len(self.calls)
        trace = self.folder / f"run-{number}"
        limits: dict[str, Any] = {
            "wait": {},
            "fail": {"on_overload": "fail"},
            "queue_timeout": {"queue_timeout": RUN_LIMIT_SECONDS},
        }[line]
        if kind == "over its limit":
            limits["timeout"] = RUN_LIMIT_SECONDS
        func = FUNCTIONS.get(kind, wf.modelled)
        full = len(self.open) >= MAX_PENDING
        call = self.pool.options(**limits).submit(func, kind, number, str(trace), self.gate)
        submitted = Submitted(number, kind, trace, asyncio.create_task(call))
        submitted.may_be_refused = line == "queue_timeout" or (line == "fail" and full)
        self.calls.append(submitted)
        if kind in ("over its limit", "exiting"):
            self.worker_may_end()
        await asyncio.sleep(0)

    async def burst(self) -> None:
        for _ in range(BURST):
            await self.submit("short", "wait")

    def worker_may_end(self) -> None:
        """A worker ends, and with it what shares it: coroutines run many to a worker."""
        if any(call.kind == "coroutine" for call in self.calls):
            self.any_may_crash()

    def any_may_crash(self) -> None:
        for call in self.open:
            call.may_crash = True

    async def cancel(self, index: int) -> None:
        if self.open:
            call = self.open[index % len(self.open)]
            call.was_cancelled = True
            call.task.cancel()
            self.worker_may_end()
        await asyncio.sleep(0)

    async def kill(self, index: int) -> None:
        if pids := sorted(self.pool.pids):
            pid = pids[index % len(pids)]
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            self.any_may_crash()
            block_until(lambda: is_dead(pid))  # what is submitted from now on must not meet it

    async def resize(self, max_workers: int) -> None:
        self.pool.resize(max_workers)
        self.max_workers = max_workers

    async def release(self) -> None:
        for door in self.doors:
            door.close()
        self.doors.clear()

    async def pause(self) -> None:
        self.pool.pause()
        self.paused = True

    async def resume(self) -> None:
        self.pool.resume()
        self.paused = False

    async def restart(self) -> None:
        """Asked for, and not waited for: it ends when every old worker has."""
        self.restarts.append(asyncio.create_task(self.pool.restart()))
        await asyncio.sleep(0)

    restarts: list[asyncio.Task[None]] = field(default_factory=list)

    async def settle(self) -> None:
        """Nothing moves any more: what is open is held, or waits behind what is."""
        await until(self._is_quiet)
        if not self.open and not self.paused:
            await until(lambda: len(self.staying) <= self.max_workers)

    def _is_quiet(self) -> bool:
        held = sum(call.kind == "held" for call in self.open)
        return (
            self.paused
            or all(call.is_held for call in self.open)
            or len(self.doors) >= MAX_PENDING
            or (held >= self.max_workers and len(self.doors) >= self.max_workers)
        )

    # -- what must hold -------------------------------------------------------------------------

    def check(self) -> None:
        metrics = self.pool.metrics
        seen = Counter(call.outcome for call in self.calls if call.task.done())
        assert metrics["submitted"] == len(self.calls)
        assert metrics["pending"] == len(self.open)
        for outcome in ("completed", "failed", "rejected", "timed_out", "crashed", "cancelled"):
            assert metrics[outcome] == seen[outcome], (outcome, metrics, seen)
        # One that is being replaced does not count.
        replaced = MAX_WORKERS if any(not task.done() for task in self.restarts) else 0
        assert len(self.staying) <= MAX_WORKERS + replaced, self.staying
        for call in self.calls:
            if call.task.done():
                call.check()


@asynccontextmanager
async def modelled_pool() -> AsyncIterator[Model]:
    with tempfile.TemporaryDirectory() as folder:
        pool = ProcessExecutor(
            "model", max_workers=MAX_WORKERS, max_pending=MAX_PENDING, shutdown_timeout=0.05
        )
        model = Model(pool, Path(folder))
        server = await asyncio.start_unix_server(model.arrived, model.gate)
        try:
            yield model
        finally:
            await pool.shutdown()
            await model.release()
            server.close()
            await server.wait_closed()


async def play(sequence: list[tuple[Any, ...]]) -> None:
    async with modelled_pool() as model:
        for _ in range(3):  # how long a short call takes has to be known first
            await model.submit("short", "wait")
            await model.settle()
        for name, *arguments in sequence:
            await getattr(model, name)(*arguments)
            model.check()
        await model.settle()
        model.check()
        for call in model.open:
            call.may_be_closed = True
        async with asyncio.timeout(PATIENCE_SECONDS):
            await model.pool.shutdown()
            tasks = [*(call.task for call in model.calls), *model.restarts]
            await asyncio.gather(*tasks, return_exceptions=True)
        model.check()
        assert model.pool.metrics["workers"] == 0


@pytest.mark.timeout(7200 if IS_LONG else 300)
@settings(
    max_examples=EXAMPLES,
    derandomize=not IS_LONG,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(operations)
def test_every_call_settles_once_as_the_model_allows(sequence: list[tuple[Any, ...]]) -> None:
    this = psutil.Process()
    descriptors, children = this.num_fds(), set(this.children(recursive=True))
    loops.run(play(sequence))
    assert this.num_fds() == descriptors
    assert set(this.children(recursive=True)) == children
