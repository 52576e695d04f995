# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Many mixed calls under kills, cancellations and resizing: nothing is lost, nothing grows.

Two pools share the calls. One is troubled all the time; the other one keeps its worker to the
end, so that what a worker holds can be seen to stay as it is. Every run leaves a mark, so that a
call that ran twice is found, whoever was told what.

``python -m tests.soak [CALLS]``; ``tox run -e soak`` makes 100,000, the test suite a few thousand.
"""

from __future__ import annotations

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

sys.path.insert(0, str(Path(__file__).parent))
import loops
import worker_functions as wf

from genro_executor_plugin import ExecutorTimeoutError, ProcessExecutor, WorkerCrashedError

CALLERS = 64

LARGE_BYTES = 8 * 2**20

GROWTH_BYTES = 24 * 2**20
"""By how much the last quarter may need more memory than the third one: as a leak of 1 kB in
every call of the long soak would, and more than a heap wavers."""

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
        metrics: of both pools, added up.
    """

    outcomes: Counter[str] = field(default_factory=Counter)
    marks: bytes = b""
    must_have_run: list[int] = field(default_factory=list)
    server: list[int] = field(default_factory=list)
    worker: list[int] = field(default_factory=list)
    metrics: Counter[str] = field(default_factory=Counter)

    def check(self, calls: int) -> None:
        """Nothing was lost, nothing ran twice, the counters say what the callers saw."""
        assert self.outcomes.total() == calls == self.metrics["submitted"], self.outcomes
        assert {name: self.metrics[name] for name in OUTCOMES} == {
            name: self.outcomes[name] for name in OUTCOMES
        }
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

    async def call(self, pool: ProcessExecutor, number: int, is_calm: bool) -> str:
        """How the call ended. An answer that is not its own is an error."""
        try:
            await self._some_call(pool, number, self._dice.random() * (0.99 if is_calm else 1.0))
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
        elif kind < 0.995:
            await pool.options(timeout=0.05).submit(wf.spin)
        else:
            await pool.submit(wf.exit_with, 3)

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
async def _pools() -> AsyncIterator[tuple[ProcessExecutor, ProcessExecutor]]:
    # A cancelled call does not end the worker that is to live on: it runs to its end.
    troubled = ProcessExecutor("troubled", max_workers=3, max_pending=10_000)
    calm = ProcessExecutor("calm", max_workers=1, max_pending=10_000, on_cancel="abandon")
    try:
        yield troubled, calm
    finally:
        await troubled.shutdown()
        await calm.shutdown()


async def soak(calls: int, seed: int = 0) -> Soak:
    """Make ``calls`` calls, and what became of them."""
    result = Soak()
    dice = random.Random(seed)
    numbers = iter(range(calls))
    sample_every = max(1, calls // 80)
    with tempfile.NamedTemporaryFile() as trace:
        trace.truncate(calls)
        async with _pools() as (troubled, calm):
            worker = psutil.Process(await calm.submit(wf.pid))
            caller = Caller(result, trace.name, dice)

            def look() -> None:
                result.server.append(psutil.Process().memory_info().rss)
                result.worker.append(worker.memory_info().rss)
                for pool in troubled, calm:
                    metrics = pool.metrics
                    assert metrics["submitted"] == metrics["pending"] + sum(
                        metrics[name] for name in OUTCOMES
                    )

            async def make_calls() -> None:
                for number in numbers:
                    is_calm = dice.random() < 0.25
                    pool = calm if is_calm else troubled
                    result.outcomes[await caller.call(pool, number, is_calm)] += 1
                    if number % sample_every == 0:
                        look()

            trouble = asyncio.create_task(_trouble(troubled, dice))
            try:
                await asyncio.gather(*(make_calls() for _ in range(CALLERS)))
            finally:
                trouble.cancel()
                await asyncio.gather(trouble, return_exceptions=True)
            assert calm.pids == [worker.pid], "the calm pool lost its worker"
            for pool in troubled, calm:
                result.metrics.update({k: v for k, v in pool.metrics.items() if isinstance(v, int)})
            result.metrics["submitted"] -= 1  # the one that asked for the pid
            result.metrics["completed"] -= 1
        result.marks = trace.read()
    return result


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    before = psutil.Process().num_fds()
    began = time.perf_counter()
    result = loops.run(soak(calls))
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
    assert not psutil.Process().children(recursive=True)
    print("nothing lost, nothing ran twice, the counters add up, memory is flat, nothing is left")


if __name__ == "__main__":
    main()
