# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools in a recipe: what is written, what resolvers bring, layers, and every mistake at once."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import fields
from typing import Any

import pytest
from genro_bag.resolvers import EnvResolver, FileResolver
from host import ApplicationGrammar, AsgiConfigBuilder, ConfigurationHandler, RoutedApplication

from genro_executor_plugin import ThreadExecutor
from genro_executor_plugin.executors.kinds import BUILT_IN, Kinds
from genro_executor_plugin.options.pool import PoolOptions
from genro_executor_plugin.serving.grammar import (
    PoolGrammar,
    WrittenPool,
    mistakes_in,
    written_pools,
)

HERE = os.path.relpath(__file__)


class _Grammar(PoolGrammar, ApplicationGrammar):
    """A grammar with pools in it, as applications have them."""


class _Holder(RoutedApplication):
    grammar = _Grammar


def _recipe(write: Callable[[Any], None]) -> type:
    class Recipe(AsgiConfigBuilder):
        def main(self, root: Any) -> None:
            holder = root.configuration().applications().application(app_class=_Holder, code="held")
            write(holder)

    return Recipe


def _pools(write: Callable[[Any], None], *parents: Callable[[Any], None]) -> list[WrittenPool]:
    handler = ConfigurationHandler(_recipe(write), parents=[_recipe(one) for one in parents])
    return written_pools(handler.node("applications.held").value)


def test_the_element_declares_every_option_of_a_pool() -> None:
    declared = set(inspect.signature(PoolGrammar.pool._func).parameters)
    assert declared - {"self", "options"} == {
        "code",
        "executor_type",
        *(field.name for field in fields(PoolOptions) if field.name != "own"),
    }


def test_what_is_written_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv("WORKERS", "3")
    monkeypatch.delenv("NOT_SET", raising=False)
    (tmp_path / "limit").write_text("2.5\n")

    def write(holder: Any) -> None:
        holder.pool(
            code="pdf", max_workers=EnvResolver("WORKERS"), initializer=len, initargs=("x",)
        )
        holder.parameters(colour="blue")
        holder.pool(
            code="db",
            executor_type="thread",
            queue_timeout=FileResolver(str(tmp_path / "limit")),
            max_workers=EnvResolver("NOT_SET"),
        )

    pdf, db = _pools(write)
    assert (pdf.code, pdf.executor_type) == ("pdf", "local")
    assert pdf.options == {"max_workers": 3, "initializer": len, "initargs": ("x",)}
    assert (db.code, db.executor_type, db.options) == ("db", "thread", {"queue_timeout": 2.5})
    assert mistakes_in([pdf, db]) == []


@pytest.mark.parametrize(
    ("option", "text", "value"),
    [
        ("max_workers", "4", 4),
        ("timeout", "0.5", 0.5),
        ("warm", "yes", True),
        ("warm", "Off", False),
        ("bypass", "fast", "fast"),
        ("bypass", "1", True),
        ("max_memory_per_child", "512MB", "512MB"),
        ("max_memory_per_child", "1000", 1000),
        ("preload", "json, os", ["json", "os"]),
        ("cpu_affinity", "0,1", [0, 1]),
        ("on_overload", "fail", "fail"),
        ("max_workers", "many", "many"),
    ],
)
def test_a_text_from_outside_is_read_as_the_options_type(
    monkeypatch: pytest.MonkeyPatch, option: str, text: str, value: Any
) -> None:
    monkeypatch.setenv("OPTION", text)
    (pool,) = _pools(lambda holder: holder.pool(code="p", **{option: EnvResolver("OPTION")}))
    assert pool.options == {option: value}


def test_a_site_overrides_a_machines_defaults_option_by_option() -> None:
    def machine(holder: Any) -> None:
        holder.pool(code="pdf", max_workers=8, timeout=60.0)
        holder.pool(code="db", executor_type="thread")

    def site(holder: Any) -> None:
        holder.pool(code="ml", max_workers=1)
        holder.pool(code="pdf", max_workers=2)

    found = {pool.code: pool for pool in _pools(site, machine)}
    assert found["pdf"].options == {"max_workers": 2, "timeout": 60.0}
    assert found["ml"].options == {"max_workers": 1}
    assert found["db"].executor_type == "thread"


def test_every_mistake_is_told_with_its_place_and_what_is_allowed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WORKERS", "many")

    def write(holder: Any) -> None:
        holder.pool(code="one", max_workers=0, timeout=-1, speed=3)
        holder.pool(code="two", executor_type="fibre")
        holder.pool(code="two", max_workers=EnvResolver("WORKERS"))
        holder.pool(code="a.b")
        holder.pool(max_workers=1)
        holder.pool(code="three", executor_type="thread", timeout=3)
        holder.pool(code="four", preload=FileResolver("/no/such/file"))

    mistakes = mistakes_in(_pools(write))
    expected = [
        "pool 'one': max_workers=0 is not a whole number of at least 1",
        "pool 'one': timeout=-1 is not a number of seconds above 0",
        "pool 'one': unknown option 'speed'; a process pool takes bypass, context, cpu_affinity",
        "pool 'two': executor_type='fibre' is not a kind of pool; use one of 'inline'",
        f"pool 'two' is written twice, here and at {HERE}:",
        "pool 'two': max_workers='many' is not a whole number",
        "pool 'a.b': code='a.b' is not a name",
        "pool None: code=None is not a name",
        "pool 'three': timeout=3.0 is not for a thread pool: a thread cannot be killed",
        "pool 'four': preload cannot be read:",
    ]
    for text in expected:
        assert any(text in mistake for mistake in mistakes), (text, mistakes)
    assert len(mistakes) == len(expected)
    assert all(mistake.startswith(f"{HERE}:") for mistake in mistakes)


def test_a_kind_from_outside_checks_its_own_options() -> None:
    pools = _pools(lambda holder: holder.pool(code="far", executor_type="cluster", nodes=7))
    assert pools[0].options == {"nodes": 7}
    kinds = Kinds(BUILT_IN)
    kinds.add("cluster", ThreadExecutor)
    assert mistakes_in(pools, kinds) == []
    assert "is not a kind of pool" in mistakes_in(pools)[0]
