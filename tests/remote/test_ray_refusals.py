# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a pool on Ray refuses, and what it says where Ray is missing; no Ray is needed for it."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import worker_functions as wf
from programs import run_program

from genro_executor_plugin import ExecutorConfigError, ExecutorRegistry, RayExecutor

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "soft limits": ({"soft_timeout": 1}, "cannot be interrupted"),
    "threads": ({"threads_per_worker": 2}, "no worker processes on this machine"),
    "environment": ({"env": {"A": "1"}}, "no worker processes on this machine"),
    "memory limits": ({"memory_limit": "1GB"}, "no worker processes on this machine"),
    "recycling": ({"max_tasks_per_child": 3}, "does not replace its workers"),
    "Ray Client": ({"address": "ray://head:10001"}, "Ray Client .* is not supported"),
    "no address": ({"address": "head"}, "such as 'head:6379', or 'auto'"),
    "CPUs": ({"num_cpus": -1}, "a number of at least 0"),
    "GPUs": ({"num_gpus": 1.5}, "a share of one GPU, or a whole number"),
    "resources": ({"resources": {"CPU": 1}}, "CPUs as num_cpus"),
    "memory": ({"memory": "a lot"}, "a number of bytes"),
    "runtime_env": ({"runtime_env": "numpy"}, "give a dict"),
    "strategy": ({"scheduling_strategy": "NEAR"}, "'SPREAD'"),
    "unknown": ({"num_tpus": 1}, "unknown option 'num_tpus'"),
}


@pytest.mark.parametrize("given", REFUSED)
def test_what_a_pool_cannot_keep_is_refused_when_it_is_declared(given: str) -> None:
    options, words = REFUSED[given]
    with pytest.raises(ExecutorConfigError, match=words) as caught:
        ExecutorRegistry({"far": {"executor_type": "ray", **options}})
    assert "'far'" in str(caught.value)
    (option,) = options
    assert option in str(caught.value)


def test_the_options_are_those_of_ray() -> None:
    given: Any = {
        "address": "head:6379",
        "num_cpus": 2,
        "num_gpus": 0.5,
        "resources": {"disk": 1},
        "memory": "1GiB",
        "runtime_env": {"env_vars": {"A": "1"}},
        "scheduling_strategy": "SPREAD",
    }
    pool = RayExecutor("far", **given, min_workers=1, max_workers=3, preload=["json"], timeout=5)
    assert pool.pool_options.own == {**given, "memory": 2**30}
    assert pool.mode == pool.kind == "ray"


async def test_where_ray_is_missing_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    pool = RayExecutor("far", max_workers=1)
    for begin in (pool.warm, lambda: pool.submit(wf.answer)):
        with pytest.raises(ExecutorConfigError, match=r"pip install 'genro-executor-plugin\[ray\]"):
            await begin()
    await pool.shutdown()


async def test_a_pool_that_is_bypassed_needs_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    pool = RayExecutor("far", max_workers=1, bypass=True)
    assert await pool.submit(wf.add, 40, 2) == 42
    await pool.shutdown()


def test_ray_is_not_imported_when_a_pool_is_declared() -> None:
    run_program(
        "-c",
        "import sys\n"
        "from genro_executor_plugin import ExecutorRegistry\n"
        "registry = ExecutorRegistry({'far': {'executor_type': 'ray'}})\n"
        "assert registry.get('far').metrics['workers'] == 0\n"
        "assert 'ray' not in sys.modules, 'it is imported'\n",
    )
