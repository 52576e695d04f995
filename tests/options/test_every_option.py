# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Every option of a pool: declared in each way there is, shown by the console and by ``check``."""

from __future__ import annotations

import contextvars
import getpass
import json
import os
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from apps.works import Works
from servers import serving

from genro_executor_plugin import ExecutorConsole
from genro_executor_plugin.cli import main
from genro_executor_plugin.hosts.names import read_configuration
from genro_executor_plugin.options.call import CALL_OPTIONS
from genro_executor_plugin.options.pool import PoolOptions
from genro_executor_plugin.serving.configuration import (
    ExecutorConfigBuilder,
    declarations,
)

TENANT: contextvars.ContextVar[str] = contextvars.ContextVar("tenant")
HERE = Path(__file__).stem
CPU = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0

OPTIONS: dict[str, tuple[Any, Any]] = {
    "max_workers": (3, 3),
    "min_workers": (1, 1),
    "idle_timeout": (2, 2.0),
    "threads_per_worker": (2, 2),
    "warm": (True, True),
    "start_timeout": (9, 9.0),
    "nice": (3, 3),
    "cpu_affinity": ([CPU], [CPU]),
    "env": ({"TOKEN": "a secret"}, "{'TOKEN': ...}"),
    "gpus": ([0, "GPU-8f2b"], ["0", "GPU-8f2b"]),
    "memory_limit": ("512MB", 512_000_000),
    "oom_score_adj": (7, 7),
    "user": (getpass.getuser(), getpass.getuser()),
    "initializer": (json.dumps, "json.dumps"),
    "initargs": (("a secret",), None),
    "finalizer": (json.loads, "json.loads"),
    "preload": (["json"], ["json"]),
    "start_method": ("spawn", "spawn"),
    "max_pending": (5, 5),
    "max_waiting": (4, 4),
    "on_overload": ("fail", "fail"),
    "queue_timeout": (1.5, 1.5),
    "timeout": (8, 8.0),
    "soft_timeout": (6, 6.0),
    "retries": (2, 2),
    "on_cancel": ("abandon", "abandon"),
    "max_tasks_per_child": (50, 50),
    "max_memory_per_child": ("1GB", 10**9),
    "max_lifetime": (60, 60.0),
    "shutdown_timeout": (3, 3.0),
    "abandon_on_timeout": (True, True),
    "bypass": ("fast", "fast"),
    "context": ([f"{HERE}:TENANT"], [f"{HERE}:TENANT"]),
    "idle": (11, 11.0),
    "send_timeout": (12, 12.0),
    "job_arguments": ("show", "show"),
    "job_log": (False, False),
}
"""By name: what is given, and what the console shows; ``None`` for what it does not show."""

CHANGES: dict[str, Any] = {
    "timeout": 7.5,
    "soft_timeout": 6.5,
    "queue_timeout": 5.5,
    "on_overload": "fail",
    "max_waiting": 3,
    "retries": 1,
    "idle": 4.5,
    "send_timeout": 3.5,
    "key": "pages",
    "key_serial": True,
}
"""The options of a route, which the console changes."""

COMPANIONS: dict[str, dict[str, Any]] = {
    "initargs": {"initializer": print},
    "abandon_on_timeout": {"executor_type": "thread"},
    "warm": {"bypass": True},  # no worker is started
    "min_workers": {"bypass": True},
}


def declaration(option: str) -> dict[str, Any]:
    return {option: OPTIONS[option][0], **COMPANIONS.get(option, {})}


class Recipe(ExecutorConfigBuilder):
    """A pool for each option."""

    default_config = False

    def main(self, root: Any) -> None:
        cfg = root.configuration()
        cfg.applications().application(code="works", app_class=Works)
        pools = cfg.executors()
        pools.pool(code="pdf", max_workers=1)
        pools.pool(code="db", executor_type="thread")
        for option in OPTIONS:
            pools.pool(code=f"recipe-{option}", **declaration(option))


def test_the_table_has_every_option() -> None:
    assert set(OPTIONS) == {field.name for field in fields(PoolOptions)} - {"own"}
    assert set(CHANGES) == set(CALL_OPTIONS)


async def test_every_option_is_taken_in_each_way_and_shown_by_the_console() -> None:
    given = {f"given-{option}": declaration(option) for option in OPTIONS}
    pools = {**declarations(read_configuration(Recipe)), **given}
    async with serving(Works, ExecutorConsole, executors=pools) as site:
        for name in pools:
            site.server.get_executor(name)
        for option in OPTIONS:
            asked = declaration(option)
            kind = asked.pop("executor_type", "local")
            site.server.executor(kind, name=f"asked-{option}", **asked)
        text = (await site.get("/_executors/snapshot")).text
        shown = {pool["name"]: pool["options"] for pool in json.loads(text)["pools"]}
        for way in ("recipe", "given", "asked"):
            for option, (_, value) in OPTIONS.items():
                found = shown[f"{way}-{option}"].get(option)
                if option == "preload":
                    found = found[:1]  # the modules of the applications follow
                assert found == value, (way, option)
        assert "a secret" not in text


async def test_every_option_of_a_call_is_changed_by_the_console() -> None:
    async with serving(Works, ExecutorConsole, executors={"pdf": {}, "db": {}}) as site:
        answer = await site.post("/_executors/change/route", {"route": "works/report", **CHANGES})
        assert answer.status_code == 200, answer.text
        answer = await site.post("/_executors/change/resize", {"pool": "pdf", "max_workers": 2})
        assert answer.status_code == 200, answer.text
        snapshot = await site.json("/_executors/snapshot")
    (report,) = (route for route in snapshot["routes"] if route["path"] == "works/report")
    assert report["options"] == CHANGES
    (pdf,) = (pool for pool in snapshot["pools"] if pool["name"] == "pdf")
    assert (pdf["max_workers"], pdf["options"]["max_workers"]) == (2, 2)


def test_every_option_is_reported_by_check(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "config.py"
    recipe.write_text(f"import {__name__} as test\nclass Site(test.Recipe): pass\n")
    assert main(["check", str(recipe), "--json"]) == 0
    text = capsys.readouterr().out
    reported = {pool["name"]: pool["options"] for pool in json.loads(text)["pools"]}
    for option in OPTIONS:
        assert option in reported[f"recipe-{option}"], option
    assert "a secret" not in reported["recipe-env"]["env"]
