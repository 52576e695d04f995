# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``GENRO_EXECUTOR_CPUS`` and ``executor_cpus=``: the CPUs that the processes of a server share."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from genro_bag.resolvers import EnvResolver
from servers import built

from genro_executor_plugin import (
    ExecutorConfigBuilder,
    ExecutorConfigError,
    ExecutorServer,
    ProcessExecutor,
)
from genro_executor_plugin.options.granted import granted_cpus
from genro_executor_plugin.options.share import CPUS_VARIABLE, cpu_share


@pytest.fixture(autouse=True)
def no_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said, and what a test says is taken back: a budget is one of the process."""
    monkeypatch.setenv(CPUS_VARIABLE, "")
    monkeypatch.setenv("PYTHON_CPU_COUNT", "12")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)


def of_cpu(server: Any) -> int:
    workers: int = server.get_executor("cpu").pool_options.max_workers
    return workers


@pytest.mark.parametrize(
    ("said", "share"),
    [
        *(("", 12), ("/4", 3), ("/5", 2), ("/100", 1), ("8", 8), ("8/4", 2), ("7/4", 1)),
        *((" 16/2 ", 8), ("3/4", 1)),
    ],
)
def test_the_share_of_a_process(said: str, share: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CPUS_VARIABLE, said)
    assert granted_cpus() == 12
    assert cpu_share() == share


@pytest.mark.parametrize(
    "said", ["0", "/0", "8/0", "0/2", "-1", "8/4/2", "two", "1.5", "/", "9" * 9]
)
def test_what_is_no_budget_stops_the_start(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ExecutorConfigError, match=r"executor_cpus=.* such as '8/4'"):
        ExecutorServer(executor_cpus=said)
    monkeypatch.setenv(CPUS_VARIABLE, said)
    with pytest.raises(ExecutorConfigError, match=r"GENRO_EXECUTOR_CPUS=.* such as '8/4'"):
        ExecutorServer()


async def test_the_pools_of_a_server_count_with_its_share() -> None:
    """Those without ``max_workers``, their numerical libraries, and the processes it starts."""
    pools: dict[str, Any] = {"own": {"max_workers": 5}, "any": {}}
    async with built(executor_cpus="12/4", executors=pools) as server:
        assert of_cpu(server) == 3
        assert server.get_executor("any").pool_options.max_workers == 3
        assert server.get_executor("own").pool_options.max_workers == 5
        code = "from genro_executor_plugin.options.share import cpu_share; print(cpu_share())"
        child = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        assert child.stdout.split() == [b"3"]
    async with ProcessExecutor("half", max_workers=1) as pool:
        assert await pool.submit(os.getenv, "OMP_NUM_THREADS") == "3"


async def test_the_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CPUS_VARIABLE, "/6")
    async with built(executor_cpus=9) as server:
        assert of_cpu(server) == 2


async def test_a_recipe_says_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from a resolver; what is given in code comes before it."""

    class Recipe(ExecutorConfigBuilder):
        default_config = False

        def main(self, root: Any) -> None:
            root.configuration().executors(cpus=EnvResolver("SHARE"))

    monkeypatch.setenv("SHARE", "/3")
    async with built(config=Recipe) as server:
        assert of_cpu(server) == 4
    monkeypatch.setenv(CPUS_VARIABLE, "")
    async with built(config=Recipe, executor_cpus=7) as server:
        assert of_cpu(server) == 7
