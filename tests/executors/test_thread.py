# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools of threads: what only they do, and what they cannot."""

from __future__ import annotations

import asyncio
import contextvars
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import worker_functions as wf
from waiting import until

from genro_executor_plugin import ExecutorConfigError, ExecutorTimeoutError, ThreadExecutor

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id")


@pytest.fixture
async def make() -> AsyncIterator[Any]:
    made: list[ThreadExecutor] = []

    def make(**options: Any) -> ThreadExecutor:
        made.append(ThreadExecutor("db", **options))
        return made[-1]

    yield make
    for executor in made:
        await executor.shutdown()


async def test_calls_run_on_threads_of_the_pool_that_say_whose_they_are(make: Any) -> None:
    pool = make(max_workers=2)
    assert await pool.submit(wf.pid) == os.getpid()
    assert await pool.submit(wf.thread_name) == "genro-executor-db-0"
    assert pool.metrics["mode"] == "thread"
    assert pool.metrics["workers"] == 1


async def test_a_call_sees_the_context_of_its_caller(make: Any) -> None:
    pool = make(max_workers=1)

    async def call(name: str) -> Any:
        request_id.set(name)
        return await pool.submit(request_id.get)

    assert await asyncio.gather(call("a"), call("b")) == ["a", "b"]


async def test_what_a_call_sets_in_its_context_stays_there(make: Any) -> None:
    pool = make(max_workers=1)
    request_id.set("caller")
    await pool.submit(request_id.set, "call")
    assert request_id.get() == "caller"
    assert await pool.submit(request_id.get) == "caller"


async def test_an_argument_and_a_result_are_the_objects_themselves(make: Any) -> None:
    pool = make(max_workers=1)
    lock = wf.give_lock()
    assert await pool.submit(wf.echo, lock) is lock


async def test_an_idle_thread_keeps_nobodys_objects(make: Any) -> None:
    pool = make(max_workers=1)
    gone = threading.Event()

    class Watched:
        def __del__(self) -> None:
            gone.set()

    await pool.submit(wf.pid_of_nothing, Watched())
    assert await asyncio.to_thread(gone.wait, 5)


async def test_the_initializer_runs_once_in_each_thread(make: Any, gate: Any) -> None:
    local = threading.local()
    names = []

    def initialize(value: int) -> None:
        local.value = value
        names.append(wf.thread_name())

    pool = make(max_workers=2, initializer=initialize, initargs=(7,))
    calls = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for _ in range(2)]
    await gate.entered()
    await gate.entered()
    gate.release()
    await asyncio.gather(*calls)
    assert await asyncio.gather(*(pool.submit(getattr, local, "value") for _ in range(4))) == [
        7,
        7,
        7,
        7,
    ]
    assert sorted(names) == ["genro-executor-db-0", "genro-executor-db-1"]


async def test_an_initializer_may_be_a_coroutine_function(make: Any) -> None:
    seen = []

    async def initialize(value: int) -> None:
        await asyncio.sleep(0)
        seen.append(value)

    pool = make(max_workers=1, initializer=initialize, initargs=(7,))
    assert await pool.submit(wf.answer) == 42
    assert seen == [7]


async def test_an_initializer_that_raises_fails_the_call_and_is_tried_again(
    make: Any, tmp_path: Path
) -> None:
    model = tmp_path / "model"
    pool = make(max_workers=1, initializer=wf.initialize_when, initargs=(str(model),))
    with pytest.raises(Exception, match=f"no model at {model}"):
        await pool.submit(wf.answer)
    model.touch()
    assert await pool.submit(wf.answer) == 42


async def test_a_timeout_frees_the_caller_and_keeps_the_place(make: Any, gate: Any) -> None:
    """A thread cannot be killed: its place stays taken until it is really done."""
    pool = make(max_workers=1, timeout=0.5, abandon_on_timeout=True)
    with pytest.raises(ExecutorTimeoutError, match=r"0\.5 s in pool 'db'") as caught:
        await pool.submit(wf.hold, gate.path)
    assert caught.value.timeout == 0.5
    assert pool.metrics["timed_out"] == 1
    assert pool.metrics["pending"] == 0
    assert pool.metrics["running"] == 1
    waiting = asyncio.create_task(pool.submit(wf.answer))
    await until(lambda: pool.metrics["pending"] == 1)
    await asyncio.sleep(0.55)  # its limit counts from its start, not from now
    assert not waiting.done()
    await gate.entered()
    gate.release()
    assert await waiting == 42
    assert pool.metrics["running"] == 0


async def test_a_call_within_its_time_is_not_disturbed(make: Any) -> None:
    pool = make(max_workers=1, timeout=30, abandon_on_timeout=True)
    assert await pool.submit(wf.answer) == 42
    with pytest.raises(ValueError, match="no"):
        await pool.submit(wf.fail, ValueError("no"))


async def test_what_an_abandoned_call_raises_is_nobodys_trouble(make: Any, gate: Any) -> None:
    pool = make(max_workers=1, timeout=0.05, abandon_on_timeout=True)

    def fail_late() -> None:
        wf.hold(gate.path)
        raise ValueError("too late")

    with pytest.raises(ExecutorTimeoutError):
        await pool.submit(fail_late)
    await gate.entered()
    gate.release()
    await until(lambda: pool.metrics["running"] == 0)
    assert pool.metrics["failed"] == 0


async def test_a_cancelled_callers_run_goes_on(make: Any, gate: Any, tmp_path: Path) -> None:
    pool = make(max_workers=1)
    trace = tmp_path / "trace"
    running = asyncio.create_task(pool.submit(wf.hold_and_record, gate.path, str(trace)))
    await gate.entered()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert pool.metrics["running"] == 1
    gate.release()
    await until(lambda: pool.metrics["running"] == 0)
    assert trace.exists()


@pytest.mark.parametrize("options", [{"timeout": 5}, {"retries": 1}])
async def test_an_option_of_a_call_that_a_thread_cannot_keep_is_refused(
    make: Any, options: dict[str, Any]
) -> None:
    pool = make(max_workers=1)
    with pytest.raises(ExecutorConfigError) as caught:
        pool.options(**options)
    assert "'db'" in str(caught.value)
    assert next(iter(options)) in str(caught.value)
    assert await pool.options(**dict.fromkeys(options)).submit(wf.answer) == 42


async def test_threads_end_with_the_pool(make: Any, gate: Any) -> None:
    pool = make(max_workers=2)
    calls = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for _ in range(2)]
    await gate.entered()
    await gate.entered()
    gate.release()
    await asyncio.gather(*calls)
    assert pool.metrics["workers"] == 2
    await pool.shutdown()
    assert pool.metrics["workers"] == 0
    # A thread says that it ends as the last thing that it does.
    await until(
        lambda: not any(t.name.startswith("genro-executor-db") for t in threading.enumerate())
    )


async def test_the_finalizer_runs_once_in_each_thread(
    make: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("FINALIZED", str(tmp_path / "trace"))
    pool = make(max_workers=1, finalizer=wf.finalize)
    await pool.submit(wf.answer)
    await pool.submit(wf.answer)
    assert not (tmp_path / "trace").exists()
    await pool.shutdown()
    assert len((tmp_path / "trace").read_text().split()) == 1
