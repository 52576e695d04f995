# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools on Ray as a server has them: long jobs, recipes, the console."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from pathlib import Path
from typing import Any

import pytest
import task_functions as tf
import worker_functions as wf
from apps.far import Shop
from servers import serving
from waiting import is_dead, until

from genro_executor_plugin import (
    ExecutorConsole,
    ExecutorServer,
    ExecutorTimeoutError,
    TaskCancelledError,
    TaskState,
    WorkerCrashedError,
)

pytestmark = [pytest.mark.ray, pytest.mark.once]

RECIPE = """
from genro_executor_plugin import ExecutorConfigBuilder

class ServerConfiguration(ExecutorConfigBuilder):
    default_config = False

    def main(self, root):
        cfg = root.configuration()
        cfg.executors().pool(
            code="far", executor_type="ray", max_workers=2, num_cpus=0.5, timeout=30.0,
            runtime_env={"env_vars": {"OF_THE_RECIPE": "yes"}},
        )
"""


async def test_long_jobs_run_again_by_their_rules_when_their_actor_dies(
    tmp_path: Path, gate: Any
) -> None:
    pools: Any = {"jobs": {"executor_type": "ray", "max_workers": 2}}
    settings = {"path": tmp_path / "store", "pool": "jobs"}
    async with serving(Shop, ExecutorConsole, executors=pools, long_tasks=settings) as site:
        tasks: Any = site.app("shop").tasks
        task_id = await tasks.submit(tf.add_async, 2, other=3)
        assert await tasks.result(task_id) == 5
        status = await tasks.status(task_id)
        assert (status.state, status.progress.message) == (TaskState.SUCCEEDED, "halfway")

        notes = str(tmp_path / "notes")
        once = await tasks.submit(tf.note_and_hold, notes, "once", gate.path)
        victims = {await gate.entered()}
        again = await tasks.options(retries=1).submit(tf.note_and_hold, notes, "again", gate.path)
        victims.add(await gate.entered())
        for victim in victims:
            os.kill(victim, signal.SIGKILL)
        await gate.entered()
        gate.release()
        assert await tasks.result(again) == "again"
        assert (await tasks.status(again)).attempts == 2
        with pytest.raises(WorkerCrashedError, match="died while it ran"):
            await tasks.result(once)
        lines = await asyncio.to_thread(Path(notes).read_text)
        assert sorted(lines.split()) == ["again", "again", "once"]

        late = await tasks.options(timeout=0.3).submit(tf.note_and_hold, notes, "late", gate.path)
        victim = await gate.entered()
        with pytest.raises(ExecutorTimeoutError):
            await tasks.result(late)
        await until(lambda: is_dead(victim))
        ended = await tasks.submit(tf.note_and_hold, notes, "ended", gate.path)
        victim = await gate.entered()
        assert await tasks.cancel(ended)
        await until(lambda: is_dead(victim))
        with pytest.raises(TaskCancelledError):
            await tasks.result(ended)


async def test_a_recipe_declares_a_pool_and_the_console_steers_its_actors(
    tmp_path: Path, gate: Any
) -> None:
    recipe = tmp_path / "config.py"
    recipe.write_text(RECIPE)
    server = ExecutorServer(config=str(recipe), applications=[ExecutorConsole()])
    async with serving(server=server) as site:
        pool = server.get_executor("far")
        assert await pool.submit(wf.environment, "OF_THE_RECIPE") == "yes"
        held = asyncio.create_task(pool.submit(tf.hold, gate.path))
        pid = await gate.entered()
        await until(lambda: pool.worker_states()[0].load is not None)
        (shown,) = (
            found
            for found in (await site.json("/_executors/snapshot"))["pools"]
            if found["name"] == "far"
        )
        (worker,) = shown["worker_states"]
        assert (worker["pid"], worker["host"]) == (pid, socket.gethostname())
        assert (worker["state"], worker["running"], worker["places"]) == ("busy", 1, 1)
        assert worker["memory_bytes"] > 2**20
        assert worker["load"] >= 0
        assert worker["function"] == "worker_functions.hold"
        assert "cpython 3." in worker["version"]
        told = (await site.get("/_executors/metrics")).text
        assert 'genro_executor_workers{pool="far",state="busy"} 1' in told
        answer = await site.post(
            "/_executors/change/kill", {"pool": "far", "pid": pid, "confirm": True}
        )
        assert answer.status_code == 200, answer.text
        with pytest.raises(WorkerCrashedError, match="was killed on request"):
            await held
        await until(lambda: is_dead(pid))
        assert await pool.submit(tf.add, 40, 2) == 42
        assert pool.unhealthy is None
