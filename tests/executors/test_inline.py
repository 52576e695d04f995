# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls in the server's process: as they are to be debugged, and as strict as a process."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import worker_functions as wf
from waiting import until

from genro_executor_plugin import (
    BaseExecutor,
    ExecutorConfigError,
    ExecutorRegistry,
    ExecutorTimeoutError,
    SerializationError,
)

FORMS: dict[str, dict[str, Any]] = {
    "inline": {"executor_type": "inline"},
    "bypassed processes": {"bypass": True},
}
FAST_FORMS: dict[str, dict[str, Any]] = {
    "inline": {"executor_type": "inline", "bypass": "fast"},
    "bypassed processes": {"bypass": "fast"},
}


@pytest.fixture
async def make() -> AsyncIterator[Any]:
    made: list[ExecutorRegistry] = []

    def make(**options: Any) -> BaseExecutor:
        made.append(ExecutorRegistry({"pool": options}))
        return made[-1].get("pool")

    yield make
    for registry in made:
        await registry.shutdown_all()


@pytest.fixture(params=FORMS)
def form(request: pytest.FixtureRequest) -> dict[str, Any]:
    return FORMS[request.param]


@pytest.fixture(params=FAST_FORMS)
def fast_form(request: pytest.FixtureRequest) -> dict[str, Any]:
    return FAST_FORMS[request.param]


async def test_a_call_runs_in_this_process_and_off_the_loop(
    make: Any, form: dict[str, Any]
) -> None:
    pool = make(max_workers=1, **form)
    assert pool.mode in ("inline", "bypass")
    assert await pool.submit(wf.pid) == os.getpid()
    assert await pool.submit(threading.get_ident) != threading.get_ident()


async def test_a_patched_function_runs_as_it_is_patched(
    make: Any, form: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which is what inline is for: breakpoints, patches and coverage."""
    monkeypatch.setattr(wf, "answer", lambda: "patched")
    assert await make(max_workers=1, **form).submit(wf.answer) == "patched"


async def test_arguments_and_results_are_copies(make: Any, form: dict[str, Any]) -> None:
    pool = make(max_workers=1, **form)
    value = [1, [2]]
    found = await pool.submit(wf.echo, value)
    assert found == value
    assert found is not value


async def test_what_a_process_would_refuse_is_refused(make: Any, form: dict[str, Any]) -> None:
    pool = make(max_workers=1, **form)
    with pytest.raises(SerializationError, match=r"argument 'value' of worker_functions\.echo"):
        await pool.submit(wf.echo, wf.give_lock())
    with pytest.raises(SerializationError, match=r"result of worker_functions\.give_lock"):
        await pool.submit(wf.give_lock)
    with pytest.raises(SerializationError, match=r"arguments of worker_functions\.echo"):
        await pool.submit(wf.echo, wf.Explosive())
    with pytest.raises(SerializationError, match=r"result of worker_functions\.give_explosive"):
        await pool.submit(wf.give_explosive)
    assert pool.metrics["failed"] == 4


async def test_an_initializer_that_a_process_would_refuse_is_refused() -> None:
    options = {"initializer": wf.initialize, "initargs": (wf.give_lock(),)}
    with pytest.raises(SerializationError, match="'pool'"):
        ExecutorRegistry({"pool": {**options, "bypass": True}}).get("pool")


async def test_the_fast_form_leaves_that_out(make: Any, fast_form: dict[str, Any]) -> None:
    pool = make(max_workers=1, **fast_form)
    lock = wf.give_lock()
    assert await pool.submit(wf.echo, lock) is lock


async def test_a_bypassed_pool_keeps_its_limit(make: Any, gate: Any) -> None:
    pool = make(max_workers=1, timeout=0.05, bypass=True)
    with pytest.raises(ExecutorTimeoutError):
        await pool.submit(wf.hold, gate.path)
    assert pool.metrics["timed_out"] == 1
    await gate.entered()
    gate.release()
    await until(lambda: pool.metrics["running"] == 0)
    assert await pool.options(timeout=30).submit(wf.answer) == 42


async def test_a_bypassed_pool_takes_every_option_of_a_process(make: Any) -> None:
    pool = make(
        bypass=True,
        max_workers=1,
        retries=3,
        timeout=30,
        max_tasks_per_child=1,
        start_method="spawn",
        preload=["json"],
        on_cancel="abandon",
        initializer=wf.initialize,
        initargs=(1,),
    )
    assert await pool.options(retries=1, timeout=20).submit(wf.answer) == 42
    assert wf.initialized() == [(1,)]
    wf.initialized().clear()


async def test_an_inline_pool_takes_no_limit_it_cannot_keep(make: Any) -> None:
    pool = make(executor_type="inline", max_workers=1)
    with pytest.raises(ExecutorConfigError, match="inline pool"):
        pool.options(timeout=5)


async def test_calls_inline_run_at_the_same_time_as_in_workers(
    make: Any, form: dict[str, Any], gate: Any
) -> None:
    pool = make(max_workers=2, **form)
    calls = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for _ in range(2)]
    await gate.entered()
    await gate.entered()
    gate.release()
    assert await asyncio.gather(*calls) == ["released"] * 2
