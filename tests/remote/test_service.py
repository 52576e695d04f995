# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What an agent tells of itself: the services API of NATS, and its health port."""

from __future__ import annotations

import asyncio
import json
import signal
from typing import Any

import httpx
import nats.aio.client
import pytest
import worker_functions as wf
from agents import agent, free_port, nats_server, pool_options
from waiting import until

from genro_executor_plugin import NatsExecutor

pytestmark = pytest.mark.once


async def test_tools_of_nats_and_of_the_system_see_an_agent() -> None:
    port = free_port()
    with nats_server() as server:
        options = ("--health-port", str(port), "--pool", "max_workers=2")
        with agent(server.url, "tasks.seen", *options) as program:
            pool = NatsExecutor("heavy", **pool_options(server.url, "tasks.seen"))
            assert await pool.submit(wf.answer) == 42
            client = nats.aio.client.Client()
            await client.connect(server.url)

            async def asked(subject: str) -> Any:
                return json.loads((await client.request(subject, timeout=60)).data)

            ping = await asked("$SRV.PING")
            assert ping["type"] == "io.nats.micro.v1.ping_response"
            assert (ping["name"], ping["id"] in program.log) == ("genro-executor", True)
            assert ping["metadata"]["subject"] == "tasks.seen"
            info = await asked(f"$SRV.INFO.genro-executor.{ping['id']}")
            assert info["endpoints"][0]["subject"] == f"tasks.seen.agent.{ping['id']}"
            (calls,) = (await asked("$SRV.STATS.genro-executor"))["endpoints"]
            assert (calls["num_requests"], calls["num_errors"]) == (1, 0)
            assert calls["average_processing_time"] > 0
            data = {"places": 2, "running": 0, "refused_messages": {}, "dropped_records": 0}
            assert calls["data"] == data
            await client.close()
            await pool.shutdown()

            async with httpx.AsyncClient(trust_env=False) as http:
                url = f"http://127.0.0.1:{port}/"
                well = await http.get(url)
                assert (well.status_code, well.json()["healthy"]) == (200, True)
                server.stop()

                await asyncio.to_thread(program.until_it_says, "has lost NATS")
                assert (await http.get(url)).status_code == 503
                assert "NATS cannot be reached" in (await http.get(url)).json()["reason"]
                program.signal(signal.SIGTERM)
                await until(lambda: program.exit_code is not None)
            assert program.exit_code == 0


async def test_no_request_fails_while_agents_are_started_anew_one_after_the_other() -> None:
    with nats_server() as server:
        pool = NatsExecutor("heavy", **pool_options(server.url, "rolling"))
        with agent(server.url, "rolling", "--pool", "max_workers=1") as first:
            told, done = asyncio.Event(), 0

            async def load() -> None:
                nonlocal done
                while not told.is_set():
                    assert await pool.submit(wf.answer) == 42
                    done += 1

            loading = [asyncio.create_task(load()) for _ in range(3)]
            await until(lambda: done > 20)
            with agent(server.url, "rolling", "--pool", "max_workers=1") as second:
                first.signal(signal.SIGTERM)
                await until(lambda: first.exit_code is not None)
                with agent(server.url, "rolling", "--pool", "max_workers=1"):
                    second.signal(signal.SIGTERM)
                    await until(lambda: second.exit_code is not None)
                    so_far = done
                    await until(lambda: done > so_far + 20)
                    told.set()
                    await asyncio.gather(*loading)
            assert (first.exit_code, second.exit_code) == (0, 0)
            await pool.shutdown()
        metrics = pool.metrics
        assert metrics["completed"] == metrics["submitted"]
