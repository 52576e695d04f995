# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Several processes of one server: the console says whose figures it shows, and adds them up.

The processes are two servers in the process of the test, which share a folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from apps.works import Works
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families
from servers import Site, serving, until_answered
from waiting import until

from genro_executor_plugin import ExecutorConsole
from genro_executor_plugin.console import processes, token_files
from genro_executor_plugin.console.processes import Processes
from genro_executor_plugin.tasks.store.members import Membership
from genro_executor_plugin.tools.top.view import view

POOLS: dict[str, Any] = {
    "pdf": {"max_workers": 1},
    "db": {"executor_type": "thread", "max_workers": 2},
}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are exchanged sooner."""
    monkeypatch.setattr(processes, "SAMPLE_SECONDS", 0.05)


@asynccontextmanager
async def one_of_several(folder: Path) -> AsyncIterator[Site]:
    settings = {"path": folder / "store"}
    async with serving(ExecutorConsole, Works, executors=POOLS, long_tasks=settings) as site:
        yield site


def others_of(site: Site) -> list[dict[str, Any]]:
    found: Processes = site.app("_executors").processes
    return found.others


async def test_each_process_says_whose_figures_it_shows_and_adds_them_up(tmp_path: Path) -> None:
    async with one_of_several(tmp_path) as one:
        await one.json("/works/report")
        alone = await one.json("/_executors/snapshot")
        assert [process["this"] for process in alone["processes"]] == [True]
        assert (await one.json("/_executors/health")) == {"healthy": True}
        assert "process=" not in (await one.get("/_executors/metrics")).text
        assert "Server processes" not in shown_by_top(alone)
        async with one_of_several(tmp_path) as other:
            for _ in range(2):
                await other.json("/works/report")

            async def together() -> Any:
                shown = await one.json("/_executors/snapshot")
                return shown if completed(shown["together"]) == 3 else None

            shown = await until_answered(together)
            mine, its = shown["processes"]
            assert (mine["this"], its["this"]) == (True, False)
            assert [completed(one["pools"]) for one in (mine, its)] == [1, 2]
            assert completed(shown["pools"]) == 1, "the pools that can be changed here"
            text = shown_by_top(shown)
            assert "(this one)" in text
            assert "together" in text

            await assert_metrics_have_both(one)
            done = (await one.post("/_executors/change/pause", {"pool": "db"})).json()
            assert (done["process"], done["unchanged_in"]) == (os.getpid(), [os.getpid()])
            assert others_of(one)[0]["healthy"]

            async def told() -> Any:
                answer = (await other.json("/_executors/health"))["unhealthy_in_others"]
                return answer if any(answer.values()) else None

            (why,) = (await until_answered(told)).values()
            assert why == {"db": "it is paused"}
            health = await other.client.get(
                "/_executors/health", headers={"genro-executor-token": ""}
            )
            assert health.json() == {
                "healthy": True,
                "process": os.getpid(),
                "unhealthy_in_others": {str(os.getpid()): {"db": "not ready"}},
            }
        await until(lambda: not others_of(one))
        assert "process=" not in (await one.get("/_executors/metrics")).text
    assert list((tmp_path / "store" / "processes").iterdir()) == []


def completed(pools: list[dict[str, Any]]) -> int:
    (number,) = (pool["completed"] for pool in pools if pool["name"] == "pdf")
    assert isinstance(number, int)
    return number


def shown_by_top(snapshot: dict[str, Any]) -> str:
    lines = view(snapshot, "http://localhost/_executors/snapshot")
    return "\n".join(" ".join(cell.text for cell in line) for line in lines)


async def assert_metrics_have_both(site: Site) -> None:
    plain = await site.client.get("/_executors/metrics", headers={"accept": "*/*"})
    openmetrics = {"accept": "application/openmetrics-text"}
    newer = await site.client.get("/_executors/metrics", headers=openmetrics)
    for families in (
        text_string_to_metric_families(plain.text),
        parse_openmetrics(newer.text),
    ):
        samples = [sample for family in families for sample in family.samples]
        keys = [(sample.name, *sorted(sample.labels.items())) for sample in samples]
        assert len(set(keys)) == len(keys), "no series twice"
        done = [
            sample.value
            for sample in samples
            if sample.name == "genro_executor_calls_total"
            and sample.labels["outcome"] == "completed"
            and sample.labels["route"] == "works/report"
        ]
        assert sorted(done) == [1.0, 2.0]


async def test_what_another_version_or_a_killed_process_has_left_is_not_shown(
    tmp_path: Path,
) -> None:
    async with one_of_several(tmp_path) as site:
        membership = site.server.long_tasks.membership
        other = Membership(tmp_path / "store", membership.serves)
        other.join()
        found: Processes = site.app("_executors").processes
        await found.stop()
        file = f"{other.path}.json"
        for text in ("{", "[]", json.dumps({"format": 0}), json.dumps({"pid": 1})):
            await asyncio.to_thread(write, file, text)
            await found.exchange(membership)
            assert found.others == []
            assert (await site.get("/_executors/snapshot")).status_code == 200
        silent = {**found.own(), "at": time.time() - 60.0}
        await asyncio.to_thread(write, file, json.dumps(silent))
        await found.exchange(membership)
        _, shown = (await site.json("/_executors/snapshot"))["processes"]
        assert shown["healthy"] is False
        assert "nothing was heard of it for 60 s" in shown["unhealthy"]["the process"]
        os.unlink(other.path)
        await asyncio.to_thread(membership.others)
        assert os.path.basename(file) not in os.listdir(tmp_path / "store" / "processes")


def write(file: str, text: str) -> None:
    Path(file).write_text(text)
    Path(file).chmod(0o600)


def test_processes_of_one_group_ask_for_one_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two servers behind one proxy have been started by different processes."""
    parents = iter((1, 2, 3))
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    first = token_files.publish(None, "a folder")
    assert token_files.publish(None, "a folder").token == first.token
    assert token_files.publish(None, "another folder").token != first.token
