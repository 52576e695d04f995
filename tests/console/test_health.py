# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Health asks whether calls and long jobs can be served: the store, the processes."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import psutil
import pytest
from genro_routes import route
from servers import serving, until, until_answered
from waiting import is_dead

from genro_executor_plugin import ExecutorApplication, ExecutorConsole


class Clinic(ExecutorApplication):
    mount = "clinic"

    @route(executor="p")
    def pid(self) -> int:
        return os.getpid()

    @route(executor="p", executor_background=True)
    def job(self) -> int:
        return os.getpid()


class Ward(ExecutorApplication):
    mount = "ward"

    @route(executor="p")
    def pid(self) -> int:
        return os.getpid()

    @route(executor="q")
    def warm(self) -> int:
        return os.getpid()


async def test_health_asks_the_store(tmp_path: Path) -> None:
    settings = {"path": tmp_path / "jobs", "pool": "p"}
    async with serving(
        ExecutorConsole, Clinic, executors={"p": {"max_workers": 1}}, long_tasks=settings
    ) as site:
        job = (await site.post("/clinic/job", {})).json()
        await until_answered(lambda: _is(site, f"{job['result_url']}", 200), every=0.05)
        assert (await site.get("/_executors/health")).status_code == 200
        for file in (tmp_path / "jobs").glob("jobs.sqlite*"):
            file.unlink()
        await until_answered(lambda: _is(site, "/_executors/health", 503), every=0.1)
        told = (await site.get("/_executors/health")).json()
        assert "deleted" in told["unhealthy"]["long jobs"], told
        assert (await site.get("/_executors/health/live")).status_code == 200


async def _is(site, path: str, status: int) -> bool:  # type: ignore[no-untyped-def]
    return bool((await site.get(path)).status_code == status)


async def test_a_template_that_died_is_no_trouble_once_it_is_replaced() -> None:
    async with serving(ExecutorConsole, Clinic, executors={"p": {"max_workers": 1}}) as site:
        worker = await site.json("/clinic/pid")
        template = psutil.Process(worker).ppid()
        assert template != os.getpid()
        os.kill(template, signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        await until(lambda: is_dead(template) and is_dead(worker))
        assert await site.json("/clinic/pid") != worker
        assert (await site.get("/_executors/health")).json() == {"healthy": True}


async def test_a_template_that_cannot_be_replaced_is_trouble_until_it_can_be(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also where nobody calls, because whoever balances has taken the server away."""
    pools = {"p": {"max_workers": 1}, "q": {"max_workers": 1, "warm": True}}
    async with serving(ExecutorConsole, Ward, executors=pools) as site:
        workers = [await site.json(path) for path in ("/ward/pid", "/ward/warm")]
        monkeypatch.setattr(sys, "executable", "/nonexistent/python")  # as if it was uninstalled
        dying = [psutil.Process(worker).ppid() for worker in workers] + workers
        for pid in dying:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: all(map(is_dead, dying)))
        for path in ("/ward/pid", "/ward/warm"):
            assert (await site.get(path)).status_code == 500
        answer = await site.get("/_executors/health")
        assert answer.status_code == 503
        reasons = answer.json()["unhealthy"]
        assert set(reasons) == {"pool p", "pool q"}
        assert all("cannot start a worker" in reason for reason in reasons.values())
        assert all("No such file" in reason for reason in reasons.values())
        monkeypatch.undo()
        await until_answered(lambda: _is(site, "/_executors/health", 200), every=0.05)
        for path in ("/ward/pid", "/ward/warm"):
            assert await site.json(path) not in workers
