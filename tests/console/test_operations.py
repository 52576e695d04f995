# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The dashboards and alert rules in ``grafana/`` fit what a server exports, and the runbooks."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from agents import agent, nats_server, pool_options
from prometheus_client.parser import text_string_to_metric_families
from servers import serving
from worker_functions import add, answer

from genro_executor_plugin import ExecutorConsole
from genro_executor_plugin.errors import ExecutorOverloadError
from genro_executor_plugin.tasks.options import TaskOptions

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "grafana"
RULES = (GRAFANA / "alerts.yml").read_text(encoding="utf-8")


def queries(of_agents: bool = False) -> list[str]:
    """Every query of a dashboard and of an alert rule; those about agents, or all others."""
    found = re.findall(r"^ +expr: (.+)$", RULES, re.MULTILINE)
    for path in GRAFANA.glob("*.json"):
        dashboard = json.loads(path.read_text(encoding="utf-8"))
        assert dashboard["uid"] == path.stem
        assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
        found += [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    return [query for query in found if ("executor_agent_" in query) is of_agents]


def check(asked: list[str], scrape: str) -> None:
    """Find each metric and each label that is asked for in ``scrape``."""
    labels: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(scrape):
        suffix = "_total" if family.type == "counter" else ""
        labels.setdefault(f"{family.name}{suffix}", set())
        for sample in family.samples:
            labels.setdefault(sample.name, set()).update(sample.labels)
    for query in asked:
        names = re.findall(r"genro_executor_\w+", query)
        assert names, query
        for name in names:
            assert name in labels, query
        of_query = set.intersection(*(labels[name] for name in names))
        named = re.findall(r"(\w+)(?:!?=|=~)\"", query)
        for group in re.findall(r"by \(([^)]*)\)", query):
            named += [label.strip() for label in group.split(",")]
        if of_query:  # no worker was replaced, so that nothing tells the labels of that
            assert set(named) <= of_query, query


async def test_every_query_asks_for_what_a_server_exports(tmp_path: Path) -> None:
    pools = {"pdf": {"executor_type": "thread", "max_workers": 1, "max_pending": 1}}
    pools["pdf"]["on_overload"] = "fail"
    options = {"path": str(tmp_path)}
    async with serving(ExecutorConsole, executors=pools, long_tasks=options) as site:
        pool = site.server.get_executor("pdf")
        await pool.submit(answer)
        pool.pause()
        waiting = asyncio.create_task(pool.submit(answer))
        await asyncio.sleep(0)  # its first step takes the only place
        assert pool.metrics["pending"] == 1
        with pytest.raises(ExecutorOverloadError):
            await pool.submit(answer)
        await site.server.long_tasks.submit(add, (1,), {}, TaskOptions(pool="pdf", eta=1.0))
        text = (await site.get("/_executors/metrics")).text
        pool.resume()
        await waiting
    asked = queries()
    assert len(asked) > 20
    check(asked, text)


@pytest.mark.once
async def test_every_query_about_agents_asks_for_what_is_told_of_one() -> None:
    with nats_server() as nats, agent(nats.url, "asked"):
        pools: Any = {"far": {"executor_type": "nats", **pool_options(nats.url, "asked")}}
        async with serving(ExecutorConsole, executors=pools) as site:
            assert await site.server.get_executor("far").submit(answer) == 42
            asked = queries(of_agents=True)
            assert len(asked) > 2
            check(asked, (await site.get("/_executors/metrics")).text)


def test_each_alert_has_a_section_in_the_runbooks() -> None:
    alerts = re.findall(r"- alert: (\w+)$", RULES, re.MULTILINE)
    runbooks = (ROOT / "docs/how-to/runbooks.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\w+)$", runbooks, re.MULTILINE) == alerts
    linked = re.findall(r"runbook: (\S+)$", RULES, re.MULTILINE)
    assert linked == [f"docs/how-to/runbooks.md#{alert.lower()}" for alert in alerts]


@pytest.mark.once
@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed here")
@pytest.mark.parametrize("command", [["check", "rules", "alerts.yml"],
                                     ["test", "rules", "alerts_test.yml"]])  # fmt: skip
def test_promtool_takes_the_rules(command: list[str]) -> None:
    done = subprocess.run(
        ["promtool", *command], cwd=GRAFANA, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
