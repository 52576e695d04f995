# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A server whose routes and long jobs run on an agent, and what its console shows of it."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import task_functions as tf
from agents import agent, nats_server, pool_options, shared_options
from apps.far import Shop, warn
from servers import serving
from waiting import until

from genro_executor_plugin import ExecutorConsole, TaskState, WorkerLostError

pytestmark = pytest.mark.once


@pytest.mark.usefixtures("far_agent")
async def test_routes_and_long_jobs_run_on_an_agent_and_the_console_shows_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pools: Any = {"jobs": shared_options(executor_type="nats")}
    settings = {"path": tmp_path / "store", "pool": "jobs"}
    async with serving(Shop, ExecutorConsole, executors=pools, long_tasks=settings) as site:
        app: Any = site.app("shop")
        assert (await site.get("/shop/greet", whom="you")).text == "corner shop: hello you"
        assert await site.json("/shop/cellar/bottles", shelf="2") == 24
        app.name = "shop around the corner"
        greeting = (await site.get("/shop/greet", whom="me")).text
        assert greeting == "shop around the corner: hello me"

        task_id = await app.tasks.submit(tf.add_async, 2, other=3)
        assert await app.tasks.result(task_id) == 5
        status = await app.tasks.status(task_id)
        assert (status.state, status.progress.message) == (TaskState.SUCCEEDED, "halfway")

        caplog.set_level(logging.INFO)
        assert await site.server.get_executor("jobs").submit(warn, "it leaks") == 1
        (record,) = (record for record in caplog.records if record.getMessage() == "it leaks")
        assert (record.executor_pool, record.levelname) == ("jobs", "WARNING")

        snapshot = await site.json("/_executors/snapshot")
        (pool,) = (pool for pool in snapshot["pools"] if pool["name"] == "jobs")
        (seen,) = pool["worker_states"]
        assert (seen["host"], seen["places"], seen["state"]) == (socket.gethostname(), 3, "idle")
        assert seen["round_trip"] is None or seen["round_trip"] > 0
        assert (pool["unhealthy"], pool["options"]["url"]) == (None, "...")
        assert "kill_worker" not in pool["controls"]


async def test_a_long_job_whose_agent_is_lost_fails_or_runs_again_as_it_says(
    tmp_path: Path, gate: Any
) -> None:
    with nats_server() as server, agent(server.url, "jobs", "--pool", "max_workers=2") as first:
        pools: Any = {"jobs": pool_options(server.url, "jobs", executor_type="nats")}
        settings = {"path": tmp_path / "store", "pool": "jobs"}
        async with serving(Shop, executors=pools, long_tasks=settings) as site:
            tasks: Any = site.app("shop").tasks
            notes = str(tmp_path / "notes")
            once = await tasks.submit(tf.note_and_hold, notes, "once", gate.path)
            again = await tasks.options(retries=1).submit(
                *(tf.note_and_hold, notes, "again", gate.path)
            )
            await gate.entered()
            await gate.entered()
            with agent(server.url, "jobs", "--pool", "max_workers=2"):
                pool = site.server.get_executor("jobs")
                await until(lambda: pool.metrics["workers"] == 2)
                first.signal_all(signal.SIGKILL)
                await gate.entered()
                gate.release()
                assert await tasks.result(again) == "again"
                with pytest.raises(WorkerLostError, match="not known what became of"):
                    await tasks.result(once)
                lines = await asyncio.to_thread(Path(notes).read_text)
                assert sorted(lines.split()) == ["again", "again", "once"]
