# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What happened once in a rare order of events, and must not happen again."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy
import pytest
import worker_functions as wf
from waiting import until

from genro_executor_plugin import ExecutorOverloadError, ExecutorTimeoutError


def segments_held() -> set[int]:
    """The segments of shared memory that this process holds open."""
    held = set()
    for fd in os.listdir("/proc/self/fd"):
        with suppress(OSError):  # it was the listing's own
            if "memfd:genro-executor (" in os.readlink(f"/proc/self/fd/{fd}"):
                held.add(os.stat(f"/proc/self/fd/{fd}").st_ino)
    return held


async def known_as_short(pool: Any) -> None:
    for _ in range(50):
        await pool.submit(wf.maybe_hold, None)


async def test_a_call_sent_ahead_that_is_cancelled_leaves_its_worker_free(
    make: Any, gate: Any
) -> None:
    pool = make(max_workers=1)
    await known_as_short(pool)
    for _ in range(20):
        held = asyncio.create_task(pool.submit(wf.maybe_hold, gate.path))
        ahead = [asyncio.create_task(pool.submit(wf.maybe_hold, None)) for _ in range(3)]
        await gate.entered()
        ahead[0].cancel()
        gate.release()
        ahead[1].cancel()
        await asyncio.gather(held, *ahead, return_exceptions=True)
        assert await asyncio.wait_for(pool.submit(wf.answer), 40) == 42


async def test_large_arguments_of_calls_that_never_came_in_are_given_back(
    make: Any, gate: Any
) -> None:
    before = segments_held()  # a test that has failed keeps what it had
    pool = make(max_workers=1, max_pending=1)
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    await gate.entered()
    value = bytearray(500_000)
    outside = [pool.options(queue_timeout=0.05).submit(wf.digest, value) for _ in range(10)]
    outcomes = await asyncio.gather(*outside, return_exceptions=True)
    assert {type(outcome).__name__ for outcome in outcomes} == {"ExecutorOverloadError"}
    del outcomes
    await until(lambda: segments_held() <= before)
    gate.release()
    await held


async def test_a_repeated_call_has_its_arguments_as_they_were(make: Any, tmp_path: Path) -> None:
    """Also those that are so large that their worker keeps the pages they came in."""
    pool = make(max_workers=1, retries=1)
    values = numpy.zeros(9 * 2**20)
    assert await pool.submit(wf.change_and_crash_once, values, str(tmp_path / "crashed")) == 0.0


async def test_a_restart_while_workers_start_comes_to_its_end(make: Any) -> None:
    for moment in (0.0, 0.01, 0.03):
        pool = make(max_workers=3)
        calls = [asyncio.create_task(pool.submit(wf.answer)) for _ in range(3)]
        await asyncio.sleep(moment)
        await asyncio.wait_for(pool.restart(), 40)
        assert await asyncio.gather(*calls) == [42, 42, 42]
        assert await pool.submit(wf.answer) == 42


async def test_limits_hold_for_calls_sent_ahead(make: Any, gate: Any) -> None:
    """The limit of a run, from its start; that of the wait, while another call runs."""
    pool = make(max_workers=1)
    await known_as_short(pool)
    held = asyncio.create_task(pool.submit(wf.maybe_hold, gate.path))
    limited = pool.options(timeout=1.5).submit(wf.maybe_hold, gate.path)
    running_over = asyncio.create_task(limited)
    waiting = pool.options(queue_timeout=0.1).submit(wf.maybe_hold, None)
    await gate.entered()
    with pytest.raises(ExecutorOverloadError, match="queue_timeout"):
        await asyncio.wait_for(waiting, 40)
    await asyncio.sleep(1.6)  # the first alarm of the run's limit has gone by
    gate.release()
    await gate.entered()
    with pytest.raises(ExecutorTimeoutError):
        await asyncio.wait_for(running_over, 40)
    assert await held == "released"
    assert await pool.submit(wf.answer) == 42
