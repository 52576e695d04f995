# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The registry: pools by name, declared once, made on first use, ended together."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
import worker_functions as wf
from waiting import until

from genro_executor_plugin import (
    BaseExecutor,
    ExecutorClosedError,
    ExecutorConfigError,
    ExecutorRegistry,
    ProcessExecutor,
    SerializationError,
    ThreadExecutor,
    UnknownExecutorError,
)

BUILT_IN = {"blocking", "cpu"}


@pytest.fixture
async def registry() -> AsyncIterator[ExecutorRegistry]:
    registry = ExecutorRegistry()
    yield registry
    await registry.shutdown_all()


# -- declaring --------------------------------------------------------------------------------


def test_two_pools_exist_by_themselves(registry: ExecutorRegistry) -> None:
    assert set(registry) == BUILT_IN
    assert len(registry) == 2
    assert "blocking" in registry
    assert "pdf" not in registry
    blocking, cpu = registry.get("blocking"), registry.get("cpu")
    assert isinstance(blocking, ThreadExecutor)
    assert blocking.pool_options.max_workers == 40
    assert isinstance(cpu, ProcessExecutor)
    assert cpu.pool_options.max_workers == len(os.sched_getaffinity(0))


def test_a_built_in_pool_can_be_declared_otherwise() -> None:
    registry = ExecutorRegistry({"cpu": {"max_workers": 1}})
    assert registry.get("cpu").pool_options.max_workers == 1
    assert len(registry) == 2


def test_but_not_after_it_was_used(registry: ExecutorRegistry) -> None:
    registry.get("cpu")
    with pytest.raises(ExecutorConfigError, match="'cpu'"):
        registry.declare("cpu", max_workers=77)


@pytest.mark.parametrize(
    "executors",
    [
        {"pdf": {"max_workers": 2}, "db": {"executor_type": "thread"}},
        [{"name": "pdf", "max_workers": 2}, {"name": "db", "executor_type": "thread"}],
    ],
    ids=["a dict", "a list"],
)
def test_pools_are_given_as_a_dict_or_as_a_list(executors: Any) -> None:
    registry = ExecutorRegistry(executors)
    assert registry.names == ["blocking", "cpu", "db", "pdf"]
    assert registry.used == {}
    assert list(registry.executors) == registry.names
    assert len(registry.executors) == len(registry) == 4
    assert registry.get("pdf").pool_options.max_workers == 2
    assert isinstance(registry.get("db"), ThreadExecutor)
    assert set(registry.used) == {"pdf", "db"}
    assert registry.executors["cpu"] is registry.get("cpu")
    assert "nobody" not in registry.executors


@pytest.mark.parametrize(
    ("executors", "named"),
    [
        ("pdf", "'pdf'"),
        (5, "5"),
        ({"pdf": 2}, "'pdf'"),
        ({"pdf": None}, "'pdf'"),
        ({"": {}}, "not ''"),
        ({1: {}}, "not 1"),
        ({"pdf": {"name": "other"}}, "'pdf'"),
        ({"pdf": {1: 2}}, "'pdf'"),
        (["pdf"], "'pdf'"),
        ([{"max_workers": 2}], "'name'"),
        ([{"name": None}], "None"),
        ([{"name": []}], r"\[\]"),
        ([{"name": "pdf"}, {"name": "pdf"}], "'pdf' is in the list twice"),
        ([None], "None"),
    ],
)
def test_pools_in_another_form_are_refused(executors: Any, named: str) -> None:
    with pytest.raises(ExecutorConfigError, match=named):
        ExecutorRegistry(executors)


def test_a_declaration_may_be_repeated_as_it_was(registry: ExecutorRegistry) -> None:
    registry.declare("pdf", max_workers=2, timeout=5)
    registry.declare("pdf", timeout=5.0, max_workers=2, executor_type="process")
    assert registry.names == ["blocking", "cpu", "pdf"]


def test_another_declaration_is_refused_with_both(registry: ExecutorRegistry) -> None:
    registry.declare("pdf", max_workers=77)
    for other in ({"max_workers": 3}, {}, {"executor_type": "thread", "max_workers": 77}):
        with pytest.raises(ExecutorConfigError) as caught:
            registry.declare("pdf", **other)  # type: ignore[arg-type]
        message = str(caught.value)
        assert "'pdf'" in message
        assert "max_workers=77" in message
        for name, value in other.items():
            assert f"{name}={value!r}" in message
    assert registry.get("pdf").pool_options.max_workers == 77


def test_a_wrong_declaration_declares_nothing(registry: ExecutorRegistry) -> None:
    with pytest.raises(ExecutorConfigError):
        registry.declare("pdf", max_workers=0)
    assert "pdf" not in registry


# -- having -----------------------------------------------------------------------------------


def test_a_name_always_leads_to_the_same_pool(registry: ExecutorRegistry) -> None:
    pool = registry.get_or_create("pdf", max_workers=2, timeout=5)
    assert registry.get("pdf") is pool
    assert registry.get_or_create("pdf") is pool
    assert registry.get_or_create("pdf", max_workers=2) is pool
    assert registry.get_or_create("pdf", executor_type="process", timeout=5.0) is pool
    assert pool.name == "pdf"


def test_asking_for_other_options_is_refused_with_both(registry: ExecutorRegistry) -> None:
    registry.get_or_create("pdf", max_workers=2)
    for other in ({"max_workers": 3}, {"timeout": 1}, {"executor_type": "thread"}):
        with pytest.raises(ExecutorConfigError) as caught:
            registry.get_or_create("pdf", **other)  # type: ignore[arg-type]
        message = str(caught.value)
        assert "'pdf'" in message
        assert "max_workers=2" in message
        for name, value in other.items():
            assert f"{name}={value!r}" in message


def test_asking_for_a_wrong_option_says_so(registry: ExecutorRegistry) -> None:
    registry.get_or_create("pdf")
    with pytest.raises(ExecutorConfigError, match="unknown option 'max_worker'"):
        registry.get_or_create("pdf", max_worker=3)


def test_a_built_in_pool_is_had_as_any_other(registry: ExecutorRegistry) -> None:
    assert isinstance(registry.get_or_create("blocking"), ThreadExecutor)
    assert registry.get_or_create("cpu", max_workers=1).pool_options.max_workers == 1


def test_a_pool_that_nobody_declared_is_an_error_with_those_that_were(
    registry: ExecutorRegistry,
) -> None:
    registry.declare("pdf")
    with pytest.raises(UnknownExecutorError) as caught:
        registry.get("pfd")
    assert "'pfd'" in str(caught.value)
    assert "'blocking', 'cpu', 'pdf'" in str(caught.value)
    assert caught.value.pool == "pfd"
    assert "pfd" not in registry


async def test_metrics_are_those_of_the_pools_in_use(registry: ExecutorRegistry) -> None:
    assert registry.all_metrics() == []
    await registry.get("blocking").submit(wf.answer)
    (metrics,) = registry.all_metrics()
    assert (metrics["name"], metrics["completed"]) == ("blocking", 1)


async def test_registries_share_nothing() -> None:
    one, other = ExecutorRegistry({"pdf": {}}), ExecutorRegistry()
    assert "pdf" not in other
    assert one.get("cpu") is not other.get("cpu")


# -- kinds of one's own -----------------------------------------------------------------------


class Remote(ThreadExecutor):
    def __init__(self, name: str, *, host: str, max_workers: int = 1) -> None:
        super().__init__(name, max_workers=max_workers)
        self.host = host


async def test_a_kind_can_be_added(registry: ExecutorRegistry) -> None:
    registry.register_factory("remote", Remote)
    registry.declare("far", executor_type="remote", host="example.org")
    pool = registry.get("far")
    assert isinstance(pool, Remote)
    assert pool.host == "example.org"
    assert await pool.submit(wf.answer) == 42
    assert registry.get_or_create("far", executor_type="remote", host="example.org") is pool
    with pytest.raises(ExecutorConfigError, match=r"'example\.org'.*'example\.com'"):
        registry.get_or_create("far", executor_type="remote", host="example.com")


def test_a_kind_has_a_name_of_its_own_and_can_be_called(registry: ExecutorRegistry) -> None:
    for name in ("thread", "local", "process", "inline"):
        with pytest.raises(ExecutorConfigError, match=f"'{name}' exists already"):
            registry.register_factory(name, Remote)
    with pytest.raises(ExecutorConfigError, match="not a callable"):
        registry.register_factory("remote", "Remote")  # type: ignore[arg-type]
    with pytest.raises(ExecutorConfigError, match="'remote' is not a kind"):
        registry.declare("far", executor_type="remote")
    registry.register_factory("remote", Remote)
    with pytest.raises(ExecutorConfigError, match="'remote' exists already"):
        registry.register_factory("remote", Remote)


def test_a_kind_that_was_added_is_among_those_that_are_known(registry: ExecutorRegistry) -> None:
    registry.register_factory("remote", Remote)
    with pytest.raises(ExecutorConfigError, match="'remote'"):
        registry.declare("far", executor_type="remot")


# -- bypass -----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["1", "true", "yes", "on", " 1 "])
async def test_the_environment_runs_every_pool_in_this_process(
    value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GENRO_EXECUTOR_BYPASS", value)
    registry = ExecutorRegistry({"pdf": {"max_workers": 2, "timeout": 5}})
    pool = registry.get("pdf")
    assert isinstance(pool, ProcessExecutor)
    assert pool.metrics["mode"] == "bypass"
    assert await pool.submit(wf.pid) == os.getpid()
    with pytest.raises(SerializationError):
        await pool.submit(wf.echo, wf.give_lock())
    await registry.shutdown_all()


async def test_the_environment_can_ask_for_it_without_serialization(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("GENRO_EXECUTOR_BYPASS", "fast")
    registry = ExecutorRegistry({"pdf": {}})
    lock = wf.give_lock()
    assert await registry.get("pdf").submit(wf.echo, lock) is lock
    await registry.shutdown_all()


@pytest.mark.parametrize("value", ["0", "", "false", "no", "off", " 0 "])
def test_the_environment_can_leave_it_off(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GENRO_EXECUTOR_BYPASS", value)
    registry = ExecutorRegistry({"pdf": {}, "debugged": {"bypass": True}})
    assert registry.get("pdf").mode == "process"
    assert registry.get("debugged").mode == "bypass"


async def test_one_pool_can_be_bypassed() -> None:
    registry = ExecutorRegistry({"pdf": {"bypass": True}, "quick": {"bypass": "fast"}})
    assert await registry.get("pdf").submit(wf.pid) == os.getpid()
    lock = wf.give_lock()
    assert await registry.get("quick").submit(wf.echo, lock) is lock
    assert registry.get("quick").mode == "bypass"
    await registry.shutdown_all()


@pytest.mark.parametrize(
    ("environment", "options"), [("", {"bypass": True}), ("1", {})], ids=["option", "environment"]
)
async def test_a_pool_made_by_hand_can_be_bypassed(
    environment: str, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is accepted works, with a registry and without."""
    monkeypatch.setenv("GENRO_EXECUTOR_BYPASS", environment)
    pool = ProcessExecutor("pdf", max_workers=1, **options)
    try:
        assert await pool.submit(wf.pid) == os.getpid()
    finally:
        await pool.shutdown()


async def test_a_bypassed_pool_of_threads_takes_what_threads_take(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its calls never had to serialize: a test run must not refuse what production runs."""
    monkeypatch.setenv("GENRO_EXECUTOR_BYPASS", "1")
    registry = ExecutorRegistry({"db": {"executor_type": "thread"}})
    lock = wf.give_lock()
    try:
        assert await registry.get("db").submit(wf.echo, lock) is lock
    finally:
        await registry.shutdown_all()


# -- the end ----------------------------------------------------------------------------------


async def test_all_pools_end_together(gate: Any) -> None:
    registry = ExecutorRegistry({"one": {"max_workers": 1}, "other": {"max_workers": 1}})
    pools = [registry.get("one"), registry.get("other"), registry.get("blocking")]
    held = [asyncio.create_task(pool.submit(wf.hold, gate.path)) for pool in pools]
    for _ in pools:
        await gate.entered()
    ending = asyncio.create_task(registry.shutdown_all())
    await until(lambda: all(pool.closed for pool in pools))
    gate.release()
    await ending
    assert await asyncio.gather(*held) == ["released"] * 3
    assert all(metrics["workers"] == 0 for metrics in registry.all_metrics())


async def test_after_the_end_everything_is_refused(registry: ExecutorRegistry) -> None:
    used = registry.get("blocking")
    await used.submit(wf.answer)
    await registry.shutdown_all()
    await registry.shutdown_all()
    with pytest.raises(ExecutorClosedError):
        await used.submit(wf.answer)
    with pytest.raises(ExecutorClosedError, match="'cpu'"):
        registry.get("cpu")
    with pytest.raises(ExecutorClosedError, match="'pdf'"):
        registry.get_or_create("pdf")
    assert registry.get("blocking") is used


async def test_a_pool_that_fails_to_end_does_not_keep_the_others() -> None:
    class Stubborn(ThreadExecutor):
        async def shutdown(self) -> None:
            await super().shutdown()
            raise RuntimeError("not yet")

    registry = ExecutorRegistry()
    registry.register_factory("stubborn", lambda name, **options: Stubborn(name, **options))
    registry.declare("bad", executor_type="stubborn")
    pools: list[BaseExecutor] = [registry.get("bad"), registry.get("blocking")]
    for pool in pools:
        await pool.submit(wf.answer)
    with pytest.raises(RuntimeError, match="not yet"):
        await registry.shutdown_all()
    assert all(pool.closed for pool in pools)
    assert pools[1].metrics["workers"] == 0
