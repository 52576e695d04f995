# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``self`` in a worker: what it has of the application in the server, and what it costs."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import host
import pytest
import worker_functions as wf
from apps import replicated
from apps.luggage import Section
from apps.replicated import (
    AsyncHooked,
    FailsToStart,
    Hooked,
    Locked,
    Shop,
    Slotted,
    Unweakable,
    Watched,
)
from genro_routes import RoutingContext
from grace import give_workers_time_to_end
from programs import started
from servers import built, serving

from genro_executor_plugin import (
    ExecutorError,
    ExecutorServer,
    ProcessExecutor,
    SerializationError,
)
from genro_executor_plugin.portable.packing import CallPacker

P = {"p": {"max_workers": 1}}


@pytest.fixture
async def pool() -> AsyncIterator[ProcessExecutor]:
    pool = ProcessExecutor("pool", max_workers=1)
    yield pool
    await pool.shutdown()


# -- the attributes -------------------------------------------------------------------------------


async def test_a_handler_sees_the_attributes_as_they_were_at_its_call() -> None:
    """Over HTTP: rebound, changed inside, added, deleted; sync and async alike."""
    async with serving(Shop, executors=P) as site:
        shop = site.app("shop")
        worker = None
        for name in ("state", "state_async"):
            shop.name, shop.prices = "corner", {"tea": [1, 2]}
            said = await site.json(f"/shop/{name}")
            worker = worker or said["pid"]
            assert said == {"name": "corner", "prices": {"tea": [1, 2]}, "pid": worker}
            shop.name = "market"
            assert (await site.json(f"/shop/{name}"))["name"] == "market"
            shop.prices["tea"].append(3)
            assert (await site.json(f"/shop/{name}"))["prices"] == {"tea": [1, 2, 3]}
            shop.prices = {}
            assert (await site.json(f"/shop/{name}"))["prices"] == {}
        shop.added, shop.listed = 1, [1]
        assert await site.json("/shop/names") == ["added", "listed", "name", "prices", "till"]
        del shop.added
        assert await site.json("/shop/names") == ["listed", "name", "prices", "till"]
        del shop.listed
        assert await site.json("/shop/names") == ["name", "prices", "till"]


async def test_an_attribute_may_change_its_sort(pool: ProcessExecutor) -> None:
    """From what never changes in place to what does, and back."""
    shop = Shop()
    for value in (1, [1], "one", ["one"], None, {"a": 1}, 1):
        shop.thing = value
        assert await pool.submit(shop.has, "thing") == value
    del shop.thing
    assert await pool.submit(shop.has, "thing") == "absent"


async def test_what_a_handler_sets_stays_in_its_worker(pool: ProcessExecutor) -> None:
    """The server does not see it; the next call in that worker does."""
    shop = Shop()
    await pool.submit(shop.mark, "cache", [1, 2])
    assert not hasattr(shop, "cache")
    assert await pool.submit(shop.has, "cache") == [1, 2]
    await pool.submit(shop.mark, "name", "changed there")
    assert shop.name == "corner"
    shop.prices["milk"] = [3]
    assert await pool.submit(shop.has, "cache") == [1, 2]
    await pool.submit(shop.till.mark, 7)
    assert shop.till.total == 0
    assert await pool.submit(shop.till.same) == [True, "changed there", 7]


async def test_every_worker_has_the_state() -> None:
    """Also those that were started, or restarted, after a change."""
    shop = Shop()
    pool = ProcessExecutor("pool", max_workers=1, max_tasks_per_child=1)
    pids = set()
    for name in ("one", "two", "three"):
        shop.name = name
        said = await pool.submit(shop.state)
        pids.add(said["pid"])
        assert said["name"] == name
    assert len(pids) == 3
    await pool.shutdown()


async def test_sections_and_applications_that_refer_to_each_other_stay_one() -> None:
    """Called from either side, and whichever was called first."""
    async with built(Shop, executors=P) as server:
        shop = server.applications["shop"]
        assert await shop.route.node("till/same")() == [True, "corner", 0]
        assert await shop.route.node("same")() == [True, True]
        shop.name, shop.till.total = "market", 3
        assert await shop.route.node("till/same")() == [True, "market", 3]


async def test_an_application_as_an_argument_is_its_replica(pool: ProcessExecutor) -> None:
    shop, other = Shop(), Shop(code="other", mount="other")
    other.name = "other"
    assert await pool.submit(shop.takes, shop) == [True, "Shop", "corner"]
    assert await pool.submit(shop.takes, other) == [False, "Shop", "other"]
    assert await pool.submit(shop.takes, shop.till) == [False, "Till", None]
    other.name = "changed"
    assert await pool.submit(shop.takes, other) == [False, "Shop", "changed"]
    other.prices["lock"] = [threading.Condition()]
    assert await pool.submit(shop.takes, other) == [False, "Shop", "changed"]
    assert await pool.submit(wf.echo, [1, {"two": 2}]) == [1, {"two": 2}]


async def test_what_serves_is_refused_by_its_name(pool: ProcessExecutor) -> None:
    """Where it pickles, too: a copy would be of no use, and an error deep inside says little."""
    async with built(Shop, executors=P) as server:
        shop = server.applications["shop"]
        for thing in (server, shop.route, shop.route.node("state"), server.executors):
            with pytest.raises(SerializationError, match=r"'value' .*\b(server|process)\b"):
                await pool.submit(wf.echo, {"deep": [thing]})
        with pytest.raises(SerializationError, match="Section is served by one process"):
            await pool.submit(Section)


async def test_what_is_left_behind_explains_itself() -> None:
    """Server, router and parent: the error says what to do instead."""
    async with built(Shop, executors=P) as server:
        said = await server.applications["shop"].route.node("left_behind")()
        for name, text in said.items():
            assert text.startswith("SerializationError: "), (name, text)
            assert "Shop" in text or "Till" in text
            assert "not in the worker" in text
        assert "server" in said["server"]
        assert "parent" in said["parent"]


async def test_what_genro_keeps_in_an_application_is_as_in_the_server() -> None:
    """What was None stays None, and plain data travels, in a section too."""
    async with built(Shop, executors=P) as server:
        shop = server.applications["shop"]
        here = shop.own_things()
        assert await shop.route.node("own_things")() == here
        assert here == {"ctx": None, "config": "none", "capabilities": []}
        assert await shop.route.node("till/context")() is None
        shop.ctx = RoutingContext()
        shop.ctx.user = "ada"
        assert (await shop.route.node("own_things")())["ctx"] == "ada"
        assert await shop.route.node("till/context")() == "ada"


async def test_a_placeholder_cannot_be_hidden(
    pool: ProcessExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    """A handler that catches everything hides the exception, and not the record."""
    shop = Shop()
    shop.prices["lock"] = [threading.Condition()]
    assert await pool.submit(shop.hides, "text") == "hidden"
    assert await pool.submit(shop.hides, "class") == "hidden"
    assert await pool.submit(shop.hides, "text") == "hidden"
    said = [r for r in caplog.records if "uses what is not in its worker" in r.getMessage()]
    assert len(said) == 1
    assert said[0].levelname == "WARNING"
    assert "Shop.prices (self.prices['lock'][0])" in said[0].getMessage()


async def test_locks_and_thread_locals_arrive_fresh_and_say_so_once(
    pool: ProcessExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    shop = Shop()
    shop.guard, shop.other, shop.local = threading.Lock(), threading.RLock(), threading.local()
    shop.pair = [shop.guard]
    shop.local.value = 1
    with shop.guard:  # held in the server, which says nothing of a worker
        for _ in range(2):
            assert await pool.submit(shop.locks) == [True, True, True, None]
    said = [
        r.getMessage() for r in caplog.records if "fresh ones in every worker" in r.getMessage()
    ]
    assert len(said) == 1
    assert "self.guard, self.other, self.pair" in said[0]


async def test_an_application_that_has_no_parent_has_none_in_a_worker(
    pool: ProcessExecutor,
) -> None:
    shop = Shop()
    assert shop._routing_parent is None
    assert await pool.submit(shop.is_top) is True


async def test_slots_travel(pool: ProcessExecutor) -> None:
    slotted = Slotted()
    assert not hasattr(slotted, "__dict__")
    assert await pool.submit(slotted.state) == [1, ["a"], "p", False]
    slotted.label.append("b")
    slotted.number = 2
    slotted.unset = None
    assert await pool.submit(slotted.state) == [2, ["a", "b"], "p", True]


async def test_slots_without_weak_references_travel(pool: ProcessExecutor) -> None:
    section = Unweakable()
    assert await pool.submit(section.state) == 1
    section.number = 2
    assert await pool.submit(section.state) == 2


async def test_an_application_that_is_gone_is_not_kept() -> None:
    """A pool remembers nothing of an application that nobody else holds."""
    import gc
    import weakref

    packer = CallPacker()
    shop = Shop()
    packer.pack(shop.till.same, (), {})
    gone = weakref.ref(shop)
    del shop
    gc.collect()
    assert gone() is None


# -- what cannot travel ---------------------------------------------------------------------------


USES = {
    "attribute": "lock",
    "with": "lock",
    "call": "lock",
    "set": "lock",
    "return": "lock",
    "item": "pair",
    "iterate": "pair",
    "length": "pair",
    "truth": "pair",
    "unpack": "pair",
    "in": "pair",
    "compare": "pair",
    "order": "pair",
    "add": "pair",
    "number": "pair",
}
"""Ways to use an attribute, and the attribute that ``Locked.use`` uses in that way."""


async def test_an_attribute_that_cannot_travel_is_harmless_until_it_is_used(
    pool: ProcessExecutor,
) -> None:
    """Using it explains the class, the attribute, the reason and the cure."""
    app = Locked()
    assert await pool.submit(app.harmless) == ["locked", []]
    said: dict[str, Any] = {}
    for how in USES:
        (said[how],) = await asyncio.gather(pool.submit(app.use, how), return_exceptions=True)
    silent = {how: word for how, word in said.items() if not isinstance(word, SerializationError)}
    assert not silent
    for how, attribute in USES.items():
        for word in (f"Locked.{attribute}", "Condition", "on_worker_startup"):
            assert word in str(said[how]), how
    assert await pool.submit(app.replace) == "locked"
    assert pool.metrics["restarts"] == 0


async def test_an_attribute_that_cannot_travel_any_more_and_one_that_can_again(
    pool: ProcessExecutor,
) -> None:
    """Rebinding it is enough; so is changing what is inside."""
    app = Locked()
    app.jobs.append(1)
    assert await pool.submit(app.harmless) == ["locked", [1]]
    app.jobs.append(threading.Condition())
    with pytest.raises(SerializationError, match=r"Locked\.jobs"):
        await pool.submit(app.harmless)  # its result would be the attribute
    app.jobs = [2]
    assert await pool.submit(app.harmless) == ["locked", [2]]
    app.lock = "travels"
    app.name = "renamed"
    assert await pool.submit(app.harmless) == ["renamed", [2]]


async def test_a_container_travels_again_when_what_cannot_has_left_it(
    pool: ProcessExecutor,
) -> None:
    app = Locked()
    app.jobs.append(threading.Condition())
    with pytest.raises(SerializationError):
        await pool.submit(app.harmless)
    app.jobs[:] = [3]
    assert await pool.submit(app.harmless) == ["locked", [3]]


# -- hooks ----------------------------------------------------------------------------------------


async def test_hooks_run_once_in_each_worker_for_each_replica(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the first call in that worker, and at the worker's end."""
    give_workers_time_to_end(monkeypatch.setattr)
    log = tmp_path / "log"
    pool = ProcessExecutor("pool", max_workers=1, max_tasks_per_child=3)
    app = Hooked(str(log))
    pids = []
    for version in (1, 2, 3, 4):
        app.version = version
        pid, seen = (await pool.submit(app.use)).split()
        assert int(seen) == version
        pids.append(pid)
    await pool.submit(app.part.use)
    await pool.shutdown()
    first, second = pids[0], pids[3]
    assert pids == [first, first, first, second]
    lines = log.read_text().splitlines()
    for pid in (first, second):
        of_pid = [line.removesuffix(f" {pid}") for line in lines if line.endswith(f" {pid}")]
        assert sorted(of_pid) == ["end app", "end part", "start app", "start part"]
        assert {line.partition(" ")[0] for line in of_pid[:2]} == {"start"}


async def test_a_hook_that_fails_is_told_and_tried_again(tmp_path: Path) -> None:
    app = FailsToStart(str(tmp_path / "model"))
    pool = ProcessExecutor("pool", max_workers=1)
    for _ in range(2):
        with pytest.raises(LookupError, match="no model yet"):
            await pool.submit(app.use)
    (tmp_path / "model").touch()
    pid = await pool.submit(app.use)
    assert pool.pids == [pid]
    assert pool.metrics["restarts"] == 0
    await pool.shutdown()


async def test_a_hook_that_fails_breaks_only_the_calls_that_need_its_replica(
    pool: ProcessExecutor, tmp_path: Path
) -> None:
    failing, other = FailsToStart(str(tmp_path / "model")), Hooked(str(tmp_path / "log"))
    with pytest.raises(LookupError, match="no model yet"):
        await pool.submit(failing.use)
    assert await pool.submit(wf.answer) == 42
    assert await pool.submit(other.use)
    assert await pool.submit(wf.class_name, other) == "Hooked"
    with pytest.raises(LookupError, match="no model yet"):
        await pool.submit(failing.use)
    (tmp_path / "model").touch()
    assert await pool.submit(failing.use) in pool.pids


async def test_a_replica_that_another_one_leads_to_is_started_with_it(
    pool: ProcessExecutor, tmp_path: Path
) -> None:
    failing, shop = FailsToStart(str(tmp_path / "model")), Shop()
    shop.prices["helper"] = failing
    with pytest.raises(LookupError, match="no model yet"):
        await pool.submit(shop.names)
    del shop.prices["helper"]
    assert await pool.submit(shop.names)


async def test_a_hook_that_is_a_coroutine_runs_or_is_refused(pool: ProcessExecutor) -> None:
    """It is never quietly left out."""
    (said,) = await asyncio.gather(pool.submit(AsyncHooked().use), return_exceptions=True)
    assert said is True or (isinstance(said, ExecutorError) and "on_worker_startup" in str(said))


# -- what it costs --------------------------------------------------------------------------------


def sent_by(packer: CallPacker, known: dict[int, int], method: Any) -> int:
    """The bytes of state and functions that a worker is sent that has ``known`` already."""
    size = 0
    for definition in packer.pack(method, (), {}).definitions:
        if known.get(definition.key) != definition.version:
            known[definition.key] = definition.version
            size += len(definition.payload)
    return size


def test_state_is_sent_when_it_has_changed_and_not_otherwise() -> None:
    shop, packer, known = Shop(), CallPacker(), {}
    shop.big = "x" * 1_000_000
    assert sent_by(packer, known, shop.state) > 1_000_000
    for _ in range(3):
        assert sent_by(packer, known, shop.state) == 0
    shop.prices["milk"] = [3]
    assert 0 < sent_by(packer, known, shop.state) < 1000
    shop.prices["milk"] = [3]  # another list that says the same
    assert sent_by(packer, known, shop.state) == 0
    shop.name = "market"
    assert sent_by(packer, known, shop.state) > 1_000_000  # it travels with its like
    assert sent_by(packer, known, shop.state) == 0
    shop.till.total = 4
    assert 0 < sent_by(packer, known, shop.state) < 1000
    assert len(packer.pack(shop.state, (), {}).payload) < 200


def test_state_that_cannot_change_in_place_is_pickled_once() -> None:
    """A megabyte of it costs a call nothing: the very same bytes are offered again."""
    shop, packer = Shop(), CallPacker()
    shop.blob = b"x" * 1_000_000
    shop.table = tuple((number, str(number)) for number in range(1000))

    def big() -> list[int]:
        definitions = packer.pack(shop.state, (), {}).definitions
        return [id(item.payload) for item in definitions if len(item.payload) > 1_000_000]

    first = big()
    assert len(first) == 1
    for number in range(5):
        shop.prices = {"tea": [number]}
        assert big() == first


def test_only_what_may_change_in_place_is_pickled_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replicated, "PICKLED", [])
    shop, packer = Shop(), CallPacker()
    shop.watched = Watched("seen")
    del shop.till  # a reference to a section is looked for with more care
    for _ in range(2):
        packer.pack(shop.state, (), {})
    before = len(replicated.PICKLED)  # to get to know new values takes some more
    for count in (1, 2, 3):
        packer.pack(shop.state, (), {})
        assert len(replicated.PICKLED) == before + count
    del shop.watched
    packer.pack(shop.state, (), {})
    assert len(replicated.PICKLED) == before + 3


# -- classes that are not in a module of their own ------------------------------------------------

HELLO = host.written("""\
import os
from host import RoutedApplication
from genro_routes import RoutingClass, route

LOADED = os.getpid()

class Part(RoutingClass):
    def __init__(self, app):
        self.app = app
    @route(executor="p")
    def same(self):
        return [self.app.part is self, isinstance(self.app, Hello), self.app.word]

class Hello(RoutedApplication):
    mount = "hello"
    def __init__(self, **options):
        super().__init__(**options)
        self.word = "hello"
        self.part = Part(self)
        self.add_branches({"name": "part", "instance": self.part})
    @route(executor="p")
    def say(self):
        return {"word": self.word, "pid": os.getpid(), "module": LOADED, "own": type(self) is Hello}
    @route(executor="p")
    async def say_async(self):
        return {"word": self.word, "pid": os.getpid()}
""")


def load_file(path: Path) -> Any:
    """As the host's ``serve application=./hello.py:Hello`` loads an application."""
    spec = importlib.util.spec_from_file_location(f"{host.PACKAGE}_target_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


async def test_an_application_of_a_file_that_was_loaded_by_its_path(tmp_path: Path) -> None:
    file = tmp_path / "hello.py"
    file.write_text(HELLO)
    module = load_file(file)
    try:
        server = ExecutorServer(applications=[module.Hello], executors=P, tasks=False)
        async with serving(server=server) as site:
            said = await site.json("/hello/say")
            (worker,) = server.get_executor("p").pids
            assert (said["word"], said["pid"], said["own"]) == ("hello", worker, True)
            assert (await site.json("/hello/say_async"))["pid"] == worker
            assert await site.json("/hello/part/same") == [True, True, "hello"]
            site.app("hello").word = "bye"
            assert (await site.json("/hello/say"))["word"] == "bye"
    finally:
        del sys.modules[module.__name__]


@pytest.mark.parametrize("guarded", [True, False], ids=["guarded", "unguarded"])
async def test_an_application_of_the_main_module(tmp_path: Path, guarded: bool) -> None:
    """With and without ``if __name__ == "__main__":`` around what starts the server."""
    program = tmp_path / "site.py"
    serve = "ExecutorServer(applications=[Hello], executors={'p': {}}, tasks=False).serve()\n"
    program.write_text(
        f"{HELLO}\nfrom genro_executor_plugin import ExecutorServer\n"
        + (f"if __name__ == '__main__':\n    {serve}" if guarded else serve)
    )
    with started(program, cwd=tmp_path) as process:
        process.until_it_serves()
        async with process.client() as client:
            said = (await client.get("/hello/say")).json()
            assert said["word"] == "hello"
            assert said["own"] is True
            assert said["pid"] in {child.pid for child in process.descendants()}
            assert (await client.get("/hello/say_async")).json()["word"] == "hello"
            assert (await client.get("/hello/part/same")).json() == [True, True, "hello"]
        assert not re.search("Traceback|Error", process.log)
