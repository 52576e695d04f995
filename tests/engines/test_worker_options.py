# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What each worker of a pool is given: variables, a number, GPUs, limits, a user."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import lack_functions as lf
import pytest
from waiting import until

from genro_executor_plugin import (
    ExecutorConfigError,
    ExecutorRegistry,
    MemoryLimitError,
    ProcessExecutor,
    WorkerCrashedError,
    worker_index,
)
from genro_executor_plugin.options.environment import THREAD_VARIABLES, thread_limits

METHODS = pytest.mark.parametrize("start_method", ["forkserver", "spawn"])

MB = 10**6


async def of_all_workers(pool: ProcessExecutor, count: int, name: str) -> list[Any]:
    """The variable ``name`` and the index of each of ``count`` workers."""
    await until(lambda: len(pool.pids) == count)
    found = await asyncio.gather(*(pool.submit(lf.own_things, name, 0.3) for _ in range(count)))
    assert len({pid for pid, _, _ in found}) == count
    return sorted((value, index) for _, value, index in found)


@METHODS
async def test_variables_and_the_index_of_each_worker(start_method: str) -> None:
    pool = ProcessExecutor(
        "own", max_workers=2, min_workers=2, start_method=start_method, env={"PORT": "900{index}"}
    )
    await pool.warm()
    try:
        assert await of_all_workers(pool, 2, "PORT") == [("9000", 0), ("9001", 1)]
        assert worker_index() is None
        found = await asyncio.gather(*(pool.submit(lf.own_things, "PORT", 0.3) for _ in range(2)))
        (victim,) = [pid for pid, _, index in found if index == 0]
        pool.kill_worker(victim)
        await until(lambda: victim not in pool.pids)
        assert await of_all_workers(pool, 2, "PORT") == [("9000", 0), ("9001", 1)]
        await pool.restart()
        assert await of_all_workers(pool, 2, "PORT") == [("9000", 0), ("9001", 1)]
    finally:
        await pool.shutdown()


@METHODS
async def test_modules_see_the_variables_when_they_are_imported(
    start_method: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "reads_at_import.py").write_text("import os\nSEEN = os.environ.get('MODEL')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    pool = ProcessExecutor(
        "own",
        max_workers=1,
        start_method=start_method,
        preload=["reads_at_import"],
        env={"MODEL": "large"},
    )
    assert await pool.submit(eval, "__import__('reads_at_import').SEEN") == "large"
    assert "MODEL" not in os.environ
    await pool.shutdown()


@METHODS
async def test_gpus_are_dealt_out(start_method: str) -> None:
    pool = ProcessExecutor(
        "ml", max_workers=3, min_workers=3, start_method=start_method, gpus=[2, "GPU-5ac1"]
    )
    await pool.warm()
    seen = await of_all_workers(pool, 3, "CUDA_VISIBLE_DEVICES")
    assert seen == [("2", 0), ("2", 2), ("GPU-5ac1", 1)]
    await pool.shutdown()


async def test_values_are_not_shown() -> None:
    pool = ProcessExecutor("own", max_workers=1, env={"TOKEN": "secret"})
    assert "secret" not in repr(pool.pool_options)
    assert "TOKEN" in repr(pool.pool_options)
    await pool.shutdown()
    with pytest.raises(ExecutorConfigError) as caught:
        ExecutorRegistry({"own": {"env": {"TOKEN": b"secret"}}})
    assert "'TOKEN'" in str(caught.value)
    assert "secret" not in str(caught.value)
    registry = ExecutorRegistry({"own": {"env": {"TOKEN": "secret"}}})
    with pytest.raises(ExecutorConfigError) as differs:
        registry.get_or_create("own", env={"TOKEN": "other secret"})
    assert "'TOKEN'" in str(differs.value)
    assert "secret" not in str(differs.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"env": ["A=1"]}, "a dict of names and texts"),
        ({"env": {"A=B": "1"}}, "'A=B' cannot be the name of a variable"),
        ({"env": {"": "1"}}, "'' cannot be the name of a variable"),
        ({"env": {"A": 1}}, "the value of 'A' is no text"),
        ({"env": {"A": "1\0"}}, "the value of 'A' is no text"),
        ({"gpus": 2}, "a list of GPUs"),
        ({"gpus": [-1]}, "a list of GPUs"),
        ({"gpus": [True]}, "a list of GPUs"),
        ({"gpus": ["0 1"]}, "a list of GPUs"),
        ({"gpus": [0], "env": {"CUDA_VISIBLE_DEVICES": "1"}}, "use one of them"),
        ({"memory_limit": "110%"}, "at most 100 %"),
        ({"memory_limit": 0}, "a number of bytes above 0"),
        ({"oom_score_adj": -1}, "a whole number of at least 0 and at most 1000"),
        ({"oom_score_adj": 1001}, "a whole number of at least 0 and at most 1000"),
        ({"user": "nobody-of-this-name"}, "the name of a user of this system"),
        ({"user": 0}, "the name of a user"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ExecutorConfigError) as caught:
        ExecutorRegistry({"own": options})
    assert "pool 'own'" in str(caught.value)
    assert text in str(caught.value)


@pytest.mark.parametrize("kind", ["thread", "inline"])
@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("env", {"A": "1"}),
        ("gpus", [0]),
        ("memory_limit", "1GB"),
        ("oom_score_adj", 100),
        ("user", "nobody"),
    ],
)
def test_what_has_no_processes_refuses_them(kind: str, option: str, value: Any) -> None:
    with pytest.raises(ExecutorConfigError, match=f"{option}.*is not for a {kind} pool"):
        ExecutorRegistry({"own": {"executor_type": kind, option: value}})


# -- threads of numerical libraries -------------------------------------------------------------


def test_workers_share_the_cpus_between_their_libraries() -> None:
    assert thread_limits(8, 2, {}) == dict.fromkeys(THREAD_VARIABLES, "4")
    assert thread_limits(2, 8, {}) == dict.fromkeys(THREAD_VARIABLES, "1")


def test_what_is_set_already_is_left_alone() -> None:
    assert "MKL_NUM_THREADS" not in thread_limits(8, 2, {"MKL_NUM_THREADS": "7"})
    assert thread_limits(8, 2, {"OMP_NUM_THREADS": "7"}) == {}


@METHODS
async def test_libraries_find_their_limit_before_they_are_imported(
    start_method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NUMEXPR_NUM_THREADS", "9")
    pool = ProcessExecutor(
        "ml",
        max_workers=2,
        start_method=start_method,
        cpu_affinity=sorted(os.sched_getaffinity(0)),
        preload=["numpy"],
        env={"MKL_NUM_THREADS": "3"},
    )
    seen = await pool.submit(lf.variables, THREAD_VARIABLES)
    share = str(max(1, len(os.sched_getaffinity(0)) // 2))
    assert seen == dict.fromkeys(THREAD_VARIABLES, share) | {
        "NUMEXPR_NUM_THREADS": "9",
        "MKL_NUM_THREADS": "3",
    }
    await pool.shutdown()


# -- memory ---------------------------------------------------------------------------------------


@METHODS
async def test_a_call_that_holds_too_much_fails_alone(start_method: str) -> None:
    pool = ProcessExecutor(
        "own", max_workers=2, start_method=start_method, memory_limit=150 * MB, retries=3
    )
    neighbour = asyncio.create_task(pool.submit(lf.answer_after, 1.0))
    with pytest.raises(MemoryLimitError) as caught:
        await pool.submit(lf.fill_memory, 400 * MB)
    error = caught.value
    assert isinstance(error, WorkerCrashedError)
    assert error.limit == 150 * MB
    assert error.peak_memory is not None
    assert error.peak_memory > 150 * MB
    assert "memory_limit is 150 MB" in str(error)
    assert await neighbour == 42
    assert await pool.submit(pow, 2, 10) == 1024
    assert pool.metrics["crashed"] == 1
    assert pool.restarts == {"memory": 1}
    await pool.shutdown()


async def test_one_allocation_far_above_the_limit_is_refused_at_once() -> None:
    pool = ProcessExecutor("own", max_workers=1, memory_limit=100 * MB)
    pid = await pool.submit(os.getpid)
    with pytest.raises(MemoryLimitError, match="asked for more memory than pool 'own' gives it"):
        await pool.submit(bytearray, 2000 * MB)
    assert await pool.submit(os.getpid) == pid
    assert pool.metrics["crashed"] == 1
    await pool.shutdown()


async def test_what_a_call_leaves_behind_is_not_the_next_ones_fault() -> None:
    pool = ProcessExecutor("own", max_workers=1, memory_limit=150 * MB)
    pid = await pool.submit(lf.hoard_later, 200 * MB)
    await until(lambda: pid not in pool.pids)
    assert await pool.submit(os.getpid) != pid
    assert pool.metrics["crashed"] == 0
    assert pool.restarts == {"max_memory": 1}
    await pool.shutdown()


async def test_workers_go_before_the_server_when_memory_runs_out() -> None:
    own = int(lf.content_of("/proc/self/oom_score_adj"))
    scores = []
    for options in ({}, {"oom_score_adj": 0}, {"oom_score_adj": 1000}):
        pool = ProcessExecutor("own", max_workers=1, **options)
        scores.append(await pool.submit(lf.content_of, "/proc/self/oom_score_adj"))
        await pool.shutdown()
    assert list(map(int, scores)) == [min(1000, own + more) for more in (500, 0, 1000)]
