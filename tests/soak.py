# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Many mixed calls under kills, cancellations and resizing: nothing is lost, nothing grows.

Three pools share the calls. One is troubled all the time; one keeps its worker to the end, so that
what a worker holds can be seen to stay as it is; in the third one coroutines and calls on threads
share workers with others that are cancelled, run over their limit or end their process. Some start
processes that would go on for an hour, wait for them, or leave them. Every run leaves a mark, so
that a call that ran twice is found, whoever was told what.

``python -m tests.soak [CALLS] [--loop uvloop]``; ``tox run -e soak`` makes 100,000 on each, the
test suite a few thousand.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import signal
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy
import psutil
import uvloop

sys.path.insert(0, str(Path(__file__).parent))

import worker_functions as wf

from genro_executor_plugin import ExecutorTimeoutError, ProcessExecutor, WorkerCrashedError
from genro_executor_plugin.engines.process.template_start import SERVER_VARIABLE

CALLERS = 64

LARGE_BYTES = 8 * 2**20

GROWTH_BYTES = 24 * 2**20
"""By how much the last quarter may need more memory than the third one: as a leak of 1 kB in
every call of the long soak would, and more than a heap wavers."""

EXIT_CODE = 3
"""With which a call ends its process by itself; its neighbours there may see no other one."""

OUTCOMES = ("completed", "failed", "rejected", "timed_out", "crashed", "cancelled")


@dataclass
class Soak:
    """What became of the calls.

    Attributes:
        outcomes: how many calls ended how, as their callers saw it.
        marks: how often each call ran.
        must_have_run: the calls whose result came back.
        server: memory of this process, sampled from the begin to the end, in bytes.
        worker: memory of the worker that lives as long.
        hurt: what well-behaved calls failed with though their process had not ended by itself.
        metrics: of all pools, added up.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    marks: bytes = b""
    must_have_run: list[int] = field(default_factory=list)
    server: list[int] = field(default_factory=list)
    worker: list[int] = field(default_factory=list)
    hurt: list[str] = field(default_factory=list)
    metrics: Counter[str] = field(default_factory=Counter)

    def check(self, calls: int) -> None:
        """Nothing was lost, nothing ran twice, the counters say what the callers saw."""
        assert self.outcomes.total() == calls == self.metrics["submitted"], self.outcomes
        assert {name: self.metrics[name] for name in OUTCOMES} == {
            name: self.outcomes[name] for name in OUTCOMES
        }
        assert not self.hurt, f"calls failed because of their neighbours: {self.hurt[:3]}"
        assert self.metrics["pending"] == 0
        assert set(self.marks) <= {0, 1}, "a call ran twice"
        lost = [number for number in self.must_have_run if not self.marks[number]]
        assert not lost, f"calls {lost[:9]} were answered and never ran"

    def growth(self, samples: list[int]) -> int:
        """How much more the last quarter of ``samples`` is than the one before, in bytes."""
        quarter = len(samples) // 4
        before, last = samples[-2 * quarter : -quarter], samples[-quarter:]
        return round(statistics.median(last) - statistics.median(before))


class Caller:
    """Makes calls of random kinds, one after the other."""

    def __init__(self, soak: Soak, trace: str, dice: random.Random) -> None:
        self._soak = soak
        self._trace = trace
        self._dice = dice

    async def call(self, pool: ProcessExecutor, number: int) -> str:
        """How the call ended. An answer that is not its own is an error."""
        most = 0.99 if pool.name == "calm" else 1.0
        some_call = self._shared_call if pool.name == "shared" else self._some_call
        try:
            await some_call(pool, number, self._dice.random() * most)
        except WorkerCrashedError:
            return "crashed"
        except ExecutorTimeoutError:
            return "timed_out"
        except ValueError as error:
            return "failed" if error.args == (number,) else f"another call's {error!r}"
        except asyncio.CancelledError:
            return "cancelled"
        return "completed"

    async def _some_call(self, pool: ProcessExecutor, number: int, kind: float) -> None:
        if kind < 0.70:
            assert await pool.submit(wf.marked, self._trace, number) == number
            self._soak.must_have_run.append(number)
        elif kind < 0.82:
            assert await pool.submit(wf.echo_after, number, self._dice.random() * 0.003) == number
        elif kind < 0.92:
            assert await pool.submit(wf.echo_async, number) == number
        elif kind < 0.965:
            value = os.urandom(8) * self._dice.randrange(1, 40_000)
            assert await pool.submit(wf.echo, value) == value
        elif kind < 0.97:
            array = numpy.full(self._dice.randrange(1, LARGE_BYTES // 8), number)
            assert numpy.array_equal(await pool.submit(wf.echo, array), array)
        elif kind < 0.98:
            await pool.submit(wf.fail, ValueError(number))
        elif kind < 0.99:
            await self._cancelled(pool, number)
        elif kind < 0.992:
            await pool.submit(wf.leave_a_child, 3600)
        elif kind < 0.995:
            endless = wf.wait_for_a_child if kind < 0.9935 else wf.spin_gently
            await pool.options(timeout=0.05).submit(endless, 3600)
        else:
            await pool.submit(wf.exit_with, EXIT_CODE)

    async def _shared_call(self, pool: ProcessExecutor, number: int, kind: float) -> None:
        if kind < 0.85:
            try:
                await self._well_behaved(pool, number, kind)
            except WorkerCrashedError as error:
                if error.exit_code != EXIT_CODE:
                    self._soak.hurt.append(str(error))
                raise
        elif kind < 0.88:
            await pool.submit(wf.fail, ValueError(number))
        elif kind < 0.96:
            endless = wf.spin_gently if kind < 0.92 else wf.sleep_async
            call = asyncio.create_task(pool.submit(endless, 3600))
            await asyncio.sleep(self._dice.random() * 0.02)
            call.cancel()
            await call
        elif kind < 0.998:
            endless = wf.spin_gently if kind < 0.98 else wf.sleep_async
            await pool.options(timeout=0.05).submit(endless, 3600)
        else:
            await pool.submit(wf.exit_with, EXIT_CODE)

    async def _well_behaved(self, pool: ProcessExecutor, number: int, kind: float) -> None:
        if kind < 0.40:
            assert await pool.submit(wf.echo_async, number) == number
        elif kind < 0.70:
            assert await pool.submit(wf.marked, self._trace, number) == number
            self._soak.must_have_run.append(number)
        elif kind < 0.80:
            assert await pool.submit(wf.echo_after, number, self._dice.random() * 0.003) == number
        else:
            value = os.urandom(8) * self._dice.randrange(1, 40_000)
            assert await pool.submit(wf.echo_async, value) == value

    async def _cancelled(self, pool: ProcessExecutor, number: int) -> None:
        """Wherever it is by then: in the queue, in its worker, or done."""
        call = asyncio.create_task(pool.submit(wf.echo_after, number, 0.002))
        await asyncio.sleep(self._dice.random() * 0.01)
        call.cancel()
        assert await call == number


async def _trouble(pool: ProcessExecutor, dice: random.Random) -> None:
    """Kill workers, and have more of them or fewer."""
    while True:
        await asyncio.sleep(0.05 + dice.random() * 0.3)
        for pid in dice.sample(pool.pids, min(1, len(pool.pids))):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if dice.random() < 0.3:
            pool.resize(dice.randrange(1, 5))


@asynccontextmanager
async def _pools() -> AsyncIterator[tuple[ProcessExecutor, ProcessExecutor, ProcessExecutor]]:
    # A cancelled call does not end the worker that is to live on: it runs to its end.
    troubled = ProcessExecutor("troubled", max_workers=3, max_pending=10_000)
    calm = ProcessExecutor("calm", max_workers=1, max_pending=10_000, on_cancel="abandon")
    shared = ProcessExecutor("shared", max_workers=2, threads_per_worker=4, max_pending=10_000)
    try:
        yield troubled, calm, shared
    finally:
        for pool in troubled, calm, shared:
            await pool.shutdown()


async def soak(calls: int, seed: int = 0) -> Soak:
    """Make ``calls`` calls, and what became of them."""
    result = Soak()
    dice = random.Random(seed)
    numbers = iter(range(calls))
    sample_every = max(1, calls // 80)
    with tempfile.NamedTemporaryFile() as trace:
        trace.truncate(calls)
        async with _pools() as pools:
            troubled, calm, _ = pools
            worker = psutil.Process(await calm.submit(wf.pid))
            caller = Caller(result, trace.name, dice)

            def look() -> None:
                result.server.append(psutil.Process().memory_info().rss)
                result.worker.append(worker.memory_info().rss)
                for pool in pools:
                    metrics = pool.metrics
                    assert metrics["submitted"] == metrics["pending"] + sum(
                        metrics[name] for name in OUTCOMES
                    )

            async def make_calls() -> None:
                for number in numbers:
                    (pool,) = dice.choices(pools, (50, 25, 25))
                    result.outcomes[await caller.call(pool, number)] += 1
                    if number % sample_every == 0:
                        look()

            trouble = asyncio.create_task(_trouble(troubled, dice))
            try:
                await asyncio.gather(*(make_calls() for _ in range(CALLERS)))
            finally:
                trouble.cancel()
                await asyncio.gather(trouble, return_exceptions=True)
            assert calm.pids == [worker.pid], "the calm pool lost its worker"
            for pool in pools:
                result.metrics.update({k: v for k, v in pool.metrics.items() if isinstance(v, int)})
            result.metrics["submitted"] -= 1  # the one that asked for the pid
            result.metrics["completed"] -= 1
        result.marks = trace.read()
    return result


def processes_left() -> list[psutil.Process]:
    """Workers and templates of this process, and what they have started, whoever its parent is."""
    left = psutil.Process().children(recursive=True)
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            if process.environ().get(SERVER_VARIABLE) == str(os.getpid()):
                left.append(process)
    return [process for process in left if process.pid != os.getpid()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("calls", type=int, nargs="?", default=100_000)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    given = parser.parse_args()
    calls = given.calls
    factory = uvloop.new_event_loop if given.loop == "uvloop" else None
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.sleep(0))  # the first loop of uvloop leaves a pipe, which is its own
    before = psutil.Process().num_fds()
    began = time.perf_counter()
    with asyncio.Runner(loop_factory=factory) as runner:
        result = runner.run(soak(calls))
    megabytes: Any = {
        name: f"{samples[-1] / 2**20:.0f} MB, growth {result.growth(samples) / 2**20:+.1f} MB"
        for name, samples in (("server", result.server), ("worker", result.worker))
    }
    print(f"{calls} calls in {time.perf_counter() - began:.1f} s: {dict(result.outcomes)}")
    print(
        f"restarts {result.metrics['restarts']}; server {megabytes['server']}; "
        f"a worker {megabytes['worker']}"
    )
    result.check(calls)
    for name, samples in (("server", result.server), ("worker", result.worker)):
        assert result.growth(samples) < GROWTH_BYTES, (name, samples)
    assert psutil.Process().num_fds() == before
    assert not processes_left(), processes_left()
    print("nothing lost, nothing ran twice, the counters add up, memory is flat, nothing is left")


if __name__ == "__main__":
    main()
