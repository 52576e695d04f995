# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Many mixed calls with random kills: nothing is lost, nothing is answered twice.

``python -m tests.soak [CALLS]``; ``tox run -e soak`` runs 100,000, the test suite a few thousand.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import psutil

sys.path.insert(0, str(Path(__file__).parent))
import worker_functions as wf

from genro_executor_plugin import ExecutorTimeoutError, ProcessExecutor, WorkerCrashedError

CALLERS = 64


async def _call(pool: ProcessExecutor, number: int, dice: random.Random) -> str:
    """One call of a random kind; how it ended. An answer that is not its own is an error."""
    kind = dice.random()
    try:
        if kind < 0.70:
            assert await pool.submit(wf.echo, number) == number
        elif kind < 0.85:
            assert await pool.submit(wf.echo_after, number, dice.random() * 0.003) == number
        elif kind < 0.95:
            assert await pool.submit(wf.echo_async, number) == number
        elif kind < 0.99:
            value = os.urandom(8) * dice.randrange(1, 40_000)
            assert await pool.submit(wf.echo, value) == value
        elif kind < 0.995:
            await pool.options(timeout=0.05).submit(wf.spin)
        else:
            await pool.submit(wf.exit_with, 3)
    except WorkerCrashedError:
        return "crashed"
    except ExecutorTimeoutError:
        return "timed_out"
    return "completed"


async def _killer(pool: ProcessExecutor, dice: random.Random) -> None:
    while True:
        await asyncio.sleep(0.05 + dice.random() * 0.3)
        for pid in dice.sample(pool.pids, min(1, len(pool.pids))):
            os.kill(pid, signal.SIGKILL)


async def soak(calls: int, seed: int = 0) -> dict[str, Any]:
    """Make ``calls`` calls; what became of them, and by how much this process grew, in bytes."""
    dice = random.Random(seed)
    pool = ProcessExecutor("soak", max_workers=3, max_pending=10_000)
    numbers = iter(range(calls))
    outcomes: Counter[str] = Counter()

    async def caller() -> None:
        for number in numbers:
            outcomes[await _call(pool, number, dice)] += 1
            if number == calls // 2:
                half_way.set_result(psutil.Process().memory_info().rss)

    half_way: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    killer = asyncio.create_task(_killer(pool, dice))
    await asyncio.gather(*(caller() for _ in range(CALLERS)))
    killer.cancel()
    growth = psutil.Process().memory_info().rss - await half_way
    await asyncio.gather(killer, return_exceptions=True)
    metrics = pool.metrics
    await pool.shutdown()
    return {"outcomes": outcomes, "metrics": metrics, "growth": growth}


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    began = time.perf_counter()
    result = asyncio.run(soak(calls))
    print(f"{calls} calls in {time.perf_counter() - began:.1f} s: {dict(result['outcomes'])}")
    print(f"restarts {result['metrics']['restarts']}, growth {result['growth'] / 2**20:.1f} MB")
    assert result["outcomes"].total() == calls == result["metrics"]["submitted"]
    assert all(result["metrics"][name] == n for name, n in result["outcomes"].items())
    assert result["metrics"]["pending"] == 0


if __name__ == "__main__":
    main()
