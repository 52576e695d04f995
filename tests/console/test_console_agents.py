# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The console shows the agents of a pool, and has one of them end or start anew."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from agents import agent, nats_server, pool_options
from apps.works import Works
from servers import Site, serving
from waiting import until

from genro_executor_plugin import ExecutorConsole
from genro_executor_plugin.console.figures import MOST_AGENTS, agent_figures
from genro_executor_plugin.metrics.worker_state import WorkerState

pytestmark = pytest.mark.once

AUTH = {
    "basic": {
        "ada": {"password": "pw", "tags": "SERVER_ADMIN"},
        "bob": {"password": "pw", "tags": "STAFF"},
    }
}
ADA, BOB = (httpx.BasicAuth(name, "pw") for name in ("ada", "bob"))


async def change(site: Site, who: Any, **wanted: str) -> httpx.Response:
    return await site.client.post("/_executors/change/agent", json=wanted, auth=who)


async def shown(site: Site) -> dict[str, Any]:
    snapshot = (await site.client.get("/_executors/snapshot", auth=ADA)).json()
    found: dict[str, Any] = next(pool for pool in snapshot["pools"] if pool["name"] == "pdf")
    return found


async def test_an_agent_is_shown_started_anew_and_drained(gate: Any) -> None:
    with nats_server() as server, agent(server.url, "shown", "--pool", "max_workers=1") as program:
        pools: dict[str, Any] = {
            "pdf": {"executor_type": "nats", **pool_options(server.url, "shown")},
            "db": {"executor_type": "thread"},
        }
        async with serving(ExecutorConsole, Works, executors=pools, auth=AUTH) as site:
            pool = site.server.executors.get("pdf")
            assert (await site.client.get("/works/report")).status_code == 200
            await until(lambda: pool.worker_states()[0].round_trip is not None)
            seen = await shown(site)
            (worker,) = seen["worker_states"]
            assert (worker["pid"], worker["places"], worker["calls"]) == (program.pid, 1, 1)
            assert worker["agent"] in program.log
            assert abs(worker["clock"]) < 5
            assert 0 < worker["round_trip"] < 60
            assert "end_agent" in seen["controls"]
            told = (await site.client.get("/_executors/metrics", auth=ADA)).text
            which = f'agent="{worker["agent"]}",host="{worker["host"]}",pool="pdf"'
            for line in ("calls_total{%s} 1.0", "places{%s} 1.0", "calls_in_progress{%s} 0.0"):
                assert f"genro_executor_agent_{line % which}" in told
            assert f"genro_executor_agent_round_trip_seconds{{{which}}}" in told
            assert f"genro_executor_agent_clock_seconds{{{which}}}" in told

            # Who may, and what there is to end.
            wanted = {"pool": "pdf", "agent": worker["agent"], "action": "restart"}
            assert (await change(site, None, **wanted)).status_code == 401
            assert (await change(site, BOB, **wanted)).status_code == 403
            nobody = await change(site, ADA, pool="pdf", agent="x", action="drain")
            assert (nobody.status_code, "no agent 'x'" in nobody.text) == (404, True)
            assert (await change(site, ADA, **{**wanted, "action": "end"})).status_code == 400
            assert (await change(site, ADA, **{**wanted, "pool": "cpu"})).status_code == 404

            # What runs is finished, then the same process begins anew, with another name.
            call = asyncio.create_task(site.client.get("/works/hold", params={"path": gate.path}))
            await gate.entered()
            done = await change(site, ADA, **wanted)
            assert f"agent {worker['agent']} on {worker['host']}" in done.json()["done"]
            await until(lambda: [one.state for one in pool.worker_states()] == ["leaving"])
            gate.release()
            assert (await call).status_code == 200
            await until(
                lambda: [one.agent != worker["agent"] for one in pool.worker_states()] == [True]
            )
            (anew,) = (await shown(site))["worker_states"]
            assert anew["pid"] == program.pid
            assert (await site.client.get("/works/report")).status_code == 200

            # Drained, it ends for good, and the pool says why it cannot serve.
            done = await change(site, ADA, pool="pdf", agent=anew["agent"], action="drain")
            assert done.status_code == 200
            assert await asyncio.to_thread(program.wait) == 0
            assert f"agent {worker['agent']} is told to end and to start anew" in program.log
            assert f"agent {anew['agent']} is told to end by the server" in program.log
            await until(lambda: not pool.worker_states())
            health = await site.client.get("/_executors/health", auth=ADA)
            assert health.status_code == 503
            assert "no agent for 'shown'" in health.json()["unhealthy"]["pool pdf"]


def test_figures_of_agents_are_bounded() -> None:
    """Agents come from the network: their number and their names fill nobody's memory."""

    workers = [
        WorkerState(1, "idle", host="h" * 10_000, agent=f"{number:016x}") for number in range(1000)
    ]
    agents = agent_figures(workers)
    assert len(agents) == MOST_AGENTS
    assert max(len(found["host"]) for found in agents) == 100
