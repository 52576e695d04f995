# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Accepted jobs survive their server: a short soak; the long one is ``tox run -e tasks-soak``."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
from contextlib import closing
from pathlib import Path

from programs import TESTS, started
from tasks_soak import soak
from waiting import until


async def test_every_accepted_job_ends_once_however_often_its_server_is_killed(
    tmp_path: Path,
) -> None:
    figures = await soak(tmp_path, jobs=80, kills=2)
    assert figures["succeeded"] + figures.get("lost", 0) == 80


async def test_signals_while_jobs_are_put_away_at_the_end_lose_none(tmp_path: Path) -> None:
    """The second one ends the wait for jobs, the third comes while their ends are stored."""
    patient = '{"shutdown_timeout": 60}'
    program = (TESTS / "apps" / "lasting.py", str(tmp_path / "store"), str(tmp_path), patient)
    with started(*program, cwd=tmp_path, PYTHONUNBUFFERED="1") as server:
        await asyncio.to_thread(server.until_it_serves)
        jobs = {}
        async with server.client() as client:
            for kind, name in (("repeatable", "again"), ("once", "lost"), ("once", "waits")):
                parameters = {"name": name, "seconds": 60}
                answer = await client.post(f"/lasting/{kind}", params=parameters)
                jobs[answer.json()["task_id"]] = name
            begun = tmp_path / "begun"
            await until(lambda: begun.exists() and len(begun.read_text().splitlines()) == 2)
        server.descendants()
        server.signal(signal.SIGINT)
        await asyncio.to_thread(server.until_it_says, "Waiting for application shutdown")
        server.signal(signal.SIGINT)
        server.signal(signal.SIGINT)
        await asyncio.to_thread(server.wait)
        assert not server.left()
    with closing(sqlite3.connect(tmp_path / "store" / "jobs.sqlite")) as connection:
        states = dict(connection.execute("SELECT task_id, state FROM tasks"))
    assert {jobs[task_id]: state for task_id, state in states.items()} == {
        "again": "queued",
        "lost": "lost",
        "waits": "queued",
    }
