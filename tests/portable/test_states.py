# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What of ``self`` travels by a class's own word, what stays, and how refusals name the place."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from apps import replicated, stateful
from apps.stateful import (
    Chosen,
    Database,
    Getting,
    Lazy,
    LyingReduce,
    MoreChosen,
    NobodyTakes,
    NonsenseReduce,
    RaisingReduce,
    Setting,
    Troubled,
    Whole,
)
from servers import boot_message, built

from genro_executor_plugin import ExecutorServer, ProcessExecutor, SerializationError
from genro_executor_plugin.portable.culprit import find_unpicklable
from genro_executor_plugin.portable.packing import CallPacker
from genro_executor_plugin.portable.pickling import dumps


@pytest.fixture
async def pool() -> AsyncIterator[ProcessExecutor]:
    pool = ProcessExecutor("pool", max_workers=1)
    yield pool
    await pool.shutdown()


# -- what a handler loads for itself --------------------------------------------------------------


async def test_what_a_handler_has_loaded_stays_loaded(pool: ProcessExecutor) -> None:
    """Whatever else changes in the server: by assignment, and inside a container."""
    app = Lazy()
    assert await pool.submit(app.load) == [True, 1, 1, {"a": 1}]
    app.version = 2
    assert await pool.submit(app.load) == [False, 1, 2, {"a": 1}]
    app.settings["a"] = 2
    assert await pool.submit(app.load) == [False, 1, 2, {"a": 2}]
    app.other = {"new": []}
    assert await pool.submit(app.load) == [False, 1, 2, {"a": 2}]
    app.model = None  # the same value as before: nothing that a worker would have to take over
    assert await pool.submit(app.load) == [False, 1, 2, {"a": 2}]
    app.loaded["more"] = 1
    assert await pool.submit(app.load) == [False, 2, 2, {"a": 2}]


async def test_what_two_attributes_share_they_go_on_sharing(pool: ProcessExecutor) -> None:
    """Also when only one of them has changed."""
    app = Lazy()
    assert await pool.submit(app.shared) == [True, 0]
    app.view["more"] = 1
    assert await pool.submit(app.shared) == [True, 0]
    app.table.append(1)
    assert await pool.submit(app.shared) == [True, 1]
    app.settings["b"] = 1
    assert await pool.submit(app.shared) == [True, 1]


async def test_private_attributes_of_every_base_and_properties(pool: ProcessExecutor) -> None:
    assert await pool.submit(Lazy().secrets) == ["base", "derived"]


def test_state_that_a_thread_changes_is_read_in_one_piece() -> None:
    """Either as it was before the change or after it, and never not at all."""
    app, packer, refusals = Lazy(), CallPacker(), []
    app.settings = {str(number): Database.__new__(Database) for number in range(200)}
    ends = threading.Event()

    def change() -> None:
        number = 0
        while not ends.is_set():
            app.settings[f"more {number % 50}"] = 1
            app.settings.pop(f"more {(number + 25) % 50}", None)
            number += 1

    thread = threading.Thread(target=change)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    thread.start()
    try:
        for _ in range(20):
            try:
                packer.pack(app.load, (), {})
            except SerializationError as error:
                refusals.append(str(error))
    finally:
        sys.setswitchinterval(interval)
        ends.set()
        thread.join()
    assert all("another thread changes it" in refusal for refusal in refusals)
    packer.pack(app.load, (), {})
    source = packer._replicas.source_of(app)
    assert not source._unpicklable  # a change is no reason to leave the attribute behind


async def test_nested_sections_and_lazy_branches_have_their_state() -> None:
    """As it is at the call, whichever part of the tree has changed."""
    async with built(stateful.Tree, executors={"p": {"max_workers": 1}}) as server:
        tree = server.applications["tree"]
        assert await tree.route.node("middle/leaf/look")() == ["tree", ["shared"], "middle"]
        tree.name, tree.middle.name = "oak", "centre"
        tree.shared.append(1)
        assert await tree.route.node("middle/leaf/look")() == ["oak", ["shared", 1], "centre"]
        assert await tree.route.node("middle/look")() == [True, "centre"]
        assert await tree.route.node("attic/look")() == 3
        tree.route.node("attic/look")
        server_side = tree.route.router_at_path("attic").instance
        server_side.size = 4
        assert await tree.route.node("attic/look")() == 4


# -- what a class declares ------------------------------------------------------------------------


async def test_a_class_may_say_what_travels(
    pool: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replicated, "PICKLED", [])
    app = Chosen()
    for _ in range(3):
        assert await pool.submit(app.look) == [{"tea": 1}, 2, "mine", "chosen"]
    assert set(replicated.PICKLED) == {"catalogue"}  # and never what was not declared
    once = len(replicated.PICKLED)
    app.prices["milk"] = 2
    app.catalogue.append("unseen: it was declared constant")
    assert await pool.submit(app.look) == [{"tea": 1, "milk": 2}, 2, "mine", "chosen"]
    assert len(replicated.PICKLED) == once
    app.catalogue = ["another one"]
    assert await pool.submit(app.look) == [{"tea": 1, "milk": 2}, 1, "mine", "chosen"]


async def test_what_was_not_declared_explains_itself(pool: ProcessExecutor) -> None:
    app = Chosen()
    with pytest.raises(SerializationError, match=r"Chosen\.big is not in the worker.*executor_st"):
        await pool.submit(app.look_at_big)
    app.later = 1
    with pytest.raises(SerializationError, match=r"Chosen\.later is not in the worker"):
        await pool.submit(app.look_at, "later")
    with pytest.raises(AttributeError, match="never_set"):
        await pool.submit(app.look_at, "never_set")


async def test_a_derived_class_adds_to_what_its_bases_declare(pool: ProcessExecutor) -> None:
    app = MoreChosen()
    assert await pool.submit(app.both) == [{"tea": 1}, [1]]
    app.more.append(2)
    assert await pool.submit(app.both) == [{"tea": 1}, [1, 2]]


async def test_a_class_with_getstate_is_asked(pool: ProcessExecutor) -> None:
    app = Getting()
    assert await pool.submit(app.look) == [[1, 2], 3, False]
    app.numbers.append(4)
    assert await pool.submit(app.look) == [[1, 2, 4], 7, False]


async def test_a_class_with_setstate_is_told(pool: ProcessExecutor) -> None:
    app = Setting()
    assert await pool.submit(app.look) == [[1, 2], 3, True]
    assert await pool.submit(app.locked) is True
    app.numbers.append(4)
    assert await pool.submit(app.look) == [[1, 2, 4], 7, True]
    whole = Whole("a")
    assert await pool.submit(whole.look) == "A!"
    whole.text = "b"
    assert await pool.submit(whole.look) == "B!"


async def test_a_state_that_nobody_takes_is_refused(pool: ProcessExecutor) -> None:
    with pytest.raises(SerializationError, match="write __setstate__"):
        await pool.submit(NobodyTakes().look)


# -- how refusals name the place ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "place"),
    [
        (Database(), "self.db.connection"),
        ({"main": Database()}, "self.db['main'].connection"),
        ([1, (2, threading.Condition())], "self.db[1][1]"),
        ({"x": RaisingReduce()}, "self.db['x']"),
        ({"x": [NonsenseReduce()]}, "self.db['x'][0]"),
    ],
)
async def test_an_attribute_is_refused_by_its_path(
    pool: ProcessExecutor, value: Any, place: str
) -> None:
    """And only when it is used."""
    app = Troubled()
    app.db = value
    assert await pool.submit(app.harmless) == "fine"
    with pytest.raises(SerializationError) as caught:
        await pool.submit(app.use)
    assert f"Troubled.db ({place}) cannot travel" in str(caught.value)
    assert "on_worker_startup" in str(caught.value)


async def test_an_attribute_that_lies_is_refused_by_its_path(pool: ProcessExecutor) -> None:
    """It packs, and does not unpack: the worker says where, and lives."""
    app = Troubled()
    app.db = Database.__new__(Database)
    app.db.connection = {"x": LyingReduce()}
    assert await pool.submit(app.harmless) == "fine"
    with pytest.raises(SerializationError, match=r"self\.db\.connection\['x'\].*not a number"):
        await pool.submit(app.use)
    app.db = "mended"
    assert await pool.submit(app.harmless) == "fine"
    assert pool.metrics["restarts"] == 0


async def test_what_refers_to_itself_travels(pool: ProcessExecutor) -> None:
    app = Troubled()
    app.db = {"app": app, "chain": []}
    app.db["self"] = app.db
    assert await pool.submit(app.ring) == [True, True, 0]
    app.db["lock"] = threading.Condition()
    with pytest.raises(SerializationError, match=r"self\.db\['lock'\]"):
        await pool.submit(app.ring)


def test_the_way_back_is_not_the_way() -> None:
    """A part that refers to the whole fails as well, and is not what is wrong."""
    whole: dict[str, Any] = {"part": {}, "lock": threading.Condition()}
    whole["part"]["whole"] = whole
    found = find_unpicklable(whole, dumps)
    assert found is not None
    assert found[0] == "['lock']"


async def test_what_nests_too_deeply_is_refused_and_quickly(pool: ProcessExecutor) -> None:
    app = Troubled()
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    app.db = deep
    assert await pool.submit(app.harmless) == "fine"
    with pytest.raises(SerializationError, match="nests too deeply"):
        await pool.submit(app.use)
    while deep:
        deep = deep.pop()  # the interpreter may not survive to take it down by itself


async def test_arguments_and_results_are_refused_by_their_path(pool: ProcessExecutor) -> None:
    with pytest.raises(SerializationError, match=r"argument 'obj' \(obj\.pool\['spare'\]\[1\]\)"):
        await pool.submit(takes, database())
    with pytest.raises(SerializationError, match=r"\(result\['db'\]\[0\]\.connection\)"):
        await pool.submit(gives)
    with pytest.raises(SerializationError, match=r"its variable lock"):
        await pool.submit(closure())


def takes(obj: Any) -> None:
    """Never called: its argument cannot travel."""


def database() -> Database:
    made = Database()
    made.connection = None  # type: ignore[assignment]
    return made


def gives() -> Any:
    return {"db": [Database()]}


def closure() -> Any:
    lock = threading.Condition()
    return lambda: lock.locked()


def test_one_in_a_million_is_found_without_trying_them_one_by_one() -> None:
    attempts = 0

    def attempt(value: Any) -> None:
        nonlocal attempts
        attempts += 1
        dumps(value)

    many: list[Any] = [0] * 1_000_000
    many[765_432] = threading.Condition()
    found = find_unpicklable(many, attempt)
    assert found is not None
    assert found[0] == "[765432]"
    assert attempts < 50


# -- what is known when the server starts ---------------------------------------------------------


@pytest.mark.parametrize(
    ("app", "words"),
    [
        (stateful.Misdeclared, ["Misdeclared.executor_state", "'prices'", "tuple"]),
        (stateful.NamesProperty, ["executor_constants", "'total'", "property"]),
        (stateful.AsyncHook, ["on_worker_startup", "coroutine"]),
        (stateful.with_a_lock(), ["job", "its variable lock", "cannot travel", "top level"]),
    ],
)
async def test_what_can_never_travel_stops_the_boot(app: Any, words: list[str]) -> None:
    message = await boot_message(ExecutorServer(applications=[app], tasks=False))
    assert message["type"] == "lifespan.startup.failed"
    for word in words:
        assert word in message["message"]


async def test_every_refusal_leaves_the_pool_as_it_was(pool: ProcessExecutor) -> None:
    app = Troubled()
    app.db = Database()
    results = await asyncio.gather(
        *(pool.submit(app.use) for _ in range(5)),
        *(pool.submit(app.harmless) for _ in range(5)),
        return_exceptions=True,
    )
    assert [type(result).__name__ for result in results[:5]] == ["SerializationError"] * 5
    assert results[5:] == ["fine"] * 5
    assert pool.metrics["restarts"] == 0
