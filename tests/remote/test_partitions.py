# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The network between an agent and NATS is cut, for a moment and for longer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import worker_functions as wf
from agents import AgentProgram, agent, nats_server, pool_options
from cut_lines import Proxy
from waiting import until

from genro_executor_plugin import NatsExecutor, WorkerLostError

pytestmark = pytest.mark.once


@pytest.fixture
async def far() -> AsyncIterator[Any]:
    """A pool of two agents: one at NATS itself, one behind a proxy; and the proxy."""
    with nats_server() as server:
        proxy = Proxy(server.port)
        await proxy.open()
        behind = AgentProgram(proxy.url, "cut", "--pool", "max_workers=1")
        pool = NatsExecutor("heavy", **pool_options(server.url, "cut", lost_after=3))
        try:
            await asyncio.to_thread(behind.until_it_is_there)
            with agent(server.url, "cut", "--pool", "max_workers=1"):
                await pool.warm()
                await until(lambda: pool.metrics["workers"] == 2)
                yield pool, proxy
        finally:
            await pool.shutdown()
            behind.end()
            await proxy.close()


async def until_there_are(pool: Any, agents: int) -> None:
    await until(lambda: pool.metrics["workers"] == agents)


async def test_a_cut_network_loses_no_answer_without_an_error(far: Any, gate: Any) -> None:
    pool, proxy = far
    # For a moment: what ran is answered, also where the answer itself was cut off.
    held = [asyncio.create_task(pool.submit(wf.hold, gate.path, number)) for number in range(2)]
    await gate.entered()
    await gate.entered()
    proxy.reset()
    gate.release()
    assert await asyncio.gather(*held) == [0, 1]
    assert pool.metrics["crashed"] == 0

    # For longer than lost_after: the call is lost, others go on, and the late answer is refused.
    held = [asyncio.create_task(pool.submit(wf.hold, gate.path, number)) for number in range(2)]
    await gate.entered()
    await gate.entered()
    proxy.cut()
    (lost,) = (await asyncio.wait(held, return_when="FIRST_COMPLETED"))[0]
    with pytest.raises(WorkerLostError, match="nothing was heard of it"):
        await lost
    gate.release()
    other = next(call for call in held if call is not lost)
    assert await other in (0, 1)
    assert await pool.submit(wf.answer) == 42
    assert pool.metrics["workers"] == 1
    proxy.mend()
    await until_there_are(pool, 2)
    calls = [pool.submit(wf.echo, number) for number in range(20)]
    assert await asyncio.gather(*calls) == [*range(20)]
    metrics = pool.metrics
    assert (metrics["crashed"], metrics["completed"], metrics["pending"]) == (1, 24, 0)
