# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Other plugins stand around an offloaded call in the server; disabled, nothing is offloaded."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import logging
import os
import threading
from collections.abc import Callable
from typing import Any

import host
import pytest
from apps.around import REQUEST_ID, Cleaned, Middle, Onion
from servers import built, serving, until

from genro_executor_plugin.offload.bridge import BridgedEntry
from genro_executor_plugin.routing.tree import own_entries

PDF = {"pdf": {"max_workers": 1}}
ORDERS = [
    order
    for index, middle in enumerate(
        itertools.permutations(("executor", "pydantic", "logging", "doubling", "counting"))
    )
    # auth and openapi do not wrap; they stand at either end, and once in the middle
    for order in [
        ("auth", *middle, "openapi") if index % 3 else (*middle[:2], "openapi", *middle[2:], "auth")
    ]
]


class _Lines(logging.Handler):
    """The log records of the routes, as they come."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def route_log() -> Any:
    logger = logging.getLogger("genro_routes")
    handler = _Lines()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    yield handler.records
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.mark.timeout(300)  # 120 requests, one after the other
async def test_in_every_order_each_plugin_runs_here_once_around_the_call(
    route_log: list[logging.LogRecord],
) -> None:
    """120 orders of attachment: the handler in the worker, everything else in the server."""
    async with serving((Onion, {"orders": ORDERS}), executors=PDF) as site:
        sections = site.app("onion").sections
        assert len(sections) == len(ORDERS) == 120
        worker = None
        for order in ORDERS:
            name = "-".join(order)
            route_log.clear()
            said = (await site.post(f"/onion/{name}/sync", {"number": 21})).json()
            (worker,) = site.server.get_executor("pdf").pids
            assert (said["number"], said["pid"]) == (42, worker), order
            assert said["post_pid"] == os.getpid(), order

            (call,) = sections[name].route.counting.calls
            assert call["pid"] == os.getpid(), order
            # What stands inside of the counting plugin has doubled it already, or has not yet.
            inside = order.index("doubling") > order.index("counting")
            assert call["result"]["number"] == (42 if inside else 21), order
            assert call["began"] <= said["at"] <= call["ended"], order

            lines = [record.getMessage() for record in route_log]
            assert len(lines) == 2, (order, lines)
            assert lines[0] == "sync start", order
            assert lines[1].startswith("sync end ("), order
            assert all(record.process == os.getpid() for record in route_log)


async def test_the_log_says_end_when_the_handler_has_ended(
    gate: Any, route_log: list[logging.LogRecord]
) -> None:
    async with serving((Cleaned, {"plugins": ("logging",)}), executors=PDF) as site:
        held = asyncio.create_task(site.json("/cleaned/held", gate=gate.path))
        assert [await gate.entered()] == site.server.get_executor("pdf").pids
        assert [record.getMessage() for record in route_log] == ["held start"]
        gate.release()
        await held
        assert [record.getMessage()[:8] for record in route_log] == ["held sta", "held end"]


@pytest.mark.timeout(300)  # 120 requests, one after the other
async def test_in_every_order_bad_arguments_are_the_callers_mistake() -> None:
    """Values that pydantic refuses are a 400 and reach no worker, whoever else stands around."""
    async with serving((Onion, {"orders": ORDERS}), executors=PDF) as site:
        wrong = []
        for order in ORDERS:
            answer = await site.post(f"/onion/{'-'.join(order)}/sync", {"number": "many"})
            if answer.status_code != 400:
                wrong.append((answer.status_code, order))
        assert not wrong, (len(wrong), wrong[:3])
        assert site.server.get_executor("pdf").metrics["submitted"] == 0


@pytest.mark.parametrize("plugins", [(), ("logging",), ("counting",)])
async def test_arguments_that_do_not_fit_are_a_400(plugins: tuple[str, ...]) -> None:
    order = (*plugins, "executor")
    async with serving((Onion, {"orders": [order]}), executors=PDF) as site:
        path = f"/onion/{'-'.join(order)}"
        for name in ("sync", "coro"):
            statuses = [
                (await site.get(f"{path}/{name}")).status_code,
                (await site.get(f"{path}/{name}", number=1, other=2)).status_code,
                (await site.post(f"{path}/{name}", {"number": [1]})).status_code,
            ]
            assert statuses == [400, 400, 400], (order, name)


async def test_the_body_of_an_async_handler_runs_after_the_plugins_as_ever() -> None:
    """A plugin around an async handler sees its coroutine; it did without pools, too."""
    order = ("counting", "logging", "executor")
    async with serving((Onion, {"orders": [order]}), executors=PDF) as site:
        said = (await site.post(f"/onion/{'-'.join(order)}/coro", {"number": 3})).json()
        assert [said["pid"]] == site.server.get_executor("pdf").pids
        assert said["number"] == 3
        assert len(site.app("onion").sections["-".join(order)].route.counting.calls) == 1


async def test_auth_judges_before_anything_is_sent() -> None:
    order = ("executor", "logging", "auth")
    async with serving((Onion, {"orders": [order]}), executors=PDF) as site:
        answer = await site.get(f"/onion/{'-'.join(order)}/secret", number=1)
        assert answer.status_code == 401
        assert site.server.get_executor("pdf").metrics["submitted"] == 0


async def test_plugins_may_answer_catch_and_repeat() -> None:
    """A wrapper that never calls the handler, one that catches what it raises, one that repeats."""
    orders = [("guarding", "executor"), ("executor", "retrying"), ("reading", "executor")]
    async with serving((Onion, {"orders": orders}), executors=PDF) as site:

        async def post(section: str, name: str, number: int) -> Any:
            return (await site.post(f"/onion/{section}/{name}", {"number": number})).json()

        assert (await post("guarding-executor", "sync", 0))["pid"] == os.getpid()
        assert site.server.get_executor("pdf").metrics["submitted"] == 0
        assert await post("guarding-executor", "lost", 7) == {
            "number": -1,
            "caught": "no number 7",
        }
        said = await post("executor-retrying", "sync", 4)
        (worker,) = site.server.get_executor("pdf").pids
        assert said == {"number": 8, "pid": worker}


async def test_a_plugin_reads_the_handlers_name_and_signature() -> None:
    """What a wrapper stands around looks like the handler, as it does without the plugin."""
    async with built(
        (Onion, {"orders": [("reading",), ("reading", "executor"), ("executor", "reading")]}),
        executors={"pdf": {"executor_type": "thread"}},
    ) as server:
        app = server.applications["onion"]
        seen = []
        for section in app.sections.values():
            said = section.route.node("sync")(number=1)
            if inspect.isawaitable(said):
                await said
            seen.append(section.route.reading.seen)
        assert seen[1] == seen[0] == [("sync", ["number"])]
        assert seen[2] == seen[0]


async def test_plugins_are_switched_and_configured_at_run_time() -> None:
    """Enabled, disabled, configured: it holds at the next call, offloaded or not."""
    order = ("doubling", "counting", "executor")
    name = "-".join(order)
    async with serving((Onion, {"orders": [order]}), executors=PDF) as site:
        router = site.app("onion").sections[name].route

        async def number() -> int:
            said = (await site.post(f"/onion/{name}/sync", {"number": 10})).json()
            return int(said["number"])

        assert await number() == 20
        router.set_plugin_enabled("sync", "doubling", False)
        assert await number() == 10
        router.set_plugin_enabled("sync", "doubling", True)
        router.doubling.configure(_target="sync", by=5)
        assert await number() == 50
        router.set_plugin_enabled("_all_", "counting", False)
        assert await number() == 50
        assert len(router.counting.calls) == 3
        router.plug("guarding")  # attached while it serves
        assert (await site.post(f"/onion/{name}/sync", {"number": 0})).json()["number"] == 0


async def test_a_plugin_attached_to_the_parent_later_reaches_offloaded_sections() -> None:
    async with serving((Onion, {"orders": [("executor",)]}), executors=PDF) as site:
        site.app("onion").route.plug("doubling")
        said = (await site.post("/onion/executor/sync", {"number": 10})).json()
        assert said["number"] == 20
        assert [said["pid"]] == site.server.get_executor("pdf").pids


async def test_context_variables_reach_the_plugins_of_an_offloaded_call() -> None:
    async with built((Onion, {"orders": [("counting", "executor")]}), executors=PDF) as server:
        section = server.applications["onion"].sections["counting-executor"]
        token = REQUEST_ID.set("r-1")
        await section.route.node("sync")(number=1)
        REQUEST_ID.reset(token)
        assert section.route.counting.calls[0]["context"] == "r-1"


# -- disabled: as if the plugin were not there ----------------------------------------------------

SWITCHES: dict[str, Callable[[Any], Any]] = {
    "entry": lambda app: app.router.configure("*", executor_disabled=True),
    "router": lambda app: app.router.configure(executor_disabled=True),
    "stock door": lambda app: app.routing.configure("executor/*", disabled=True),
    "plugin switched off": lambda app: [
        app.route.set_plugin_enabled(name, "executor", False) for name in app.route._entries
    ],
    "plugin switched off for all": lambda app: app.route.set_plugin_enabled(
        "_all_", "executor", False
    ),
    "no pool": lambda app: app.routing.configure("executor/*", pool=None),
}


@pytest.mark.parametrize("plugins", [(), ("counting",)], ids=["alone", "with a plugin"])
async def test_disabled_a_handler_runs_as_without_the_plugin(plugins: tuple[str, ...]) -> None:
    """In the server's own thread pool, in its context, with the cleanup on the same thread."""
    async with built((Cleaned, {"plugins": plugins}), executors=PDF) as server:
        app = server.applications["cleaned"]
        app.route.nodes()
        token = REQUEST_ID.set("r-2")
        for name, switch in SWITCHES.items():
            before = {key: dict(value) for key, value in app.route._plugin_info["executor"].items()}
            app.cleanups.clear()
            switch(app)
            said = await app.route.node("sync")(number=5)
            assert said["pid"] == os.getpid(), name
            assert said["thread"].startswith(host.THREAD_PREFIX), name
            assert said["context"] == "r-2", name
            assert said["cleanups"] == [], name
            assert app.cleanups == [(os.getpid(), said["ident"])], name

            app.cleanups.clear()
            said = await app.route.node("coro")(number=5)
            assert (said["pid"], said["ident"]) == (os.getpid(), threading.get_ident()), name
            assert said["context"] == "r-2", name
            assert app.cleanups == [], name  # an async handler owns its awaits

            with pytest.raises(RuntimeError, match="in vain"):
                await app.route.node("failing")()
            assert len(app.cleanups) == 1, name
            app.route._plugin_info["executor"].clear()
            app.route._plugin_info["executor"].update(
                {
                    key: {
                        "config": {
                            option: value
                            for option, value in slot["config"].items()
                            if option != "disabled"
                        }
                        | ({"pool": "pdf"} if key not in ("_all_", "plain") else {}),
                        "locals": {},
                    }
                    for key, slot in before.items()
                }
            )
        REQUEST_ID.reset(token)
        assert not server.get_executor("pdf").pids


async def test_disabled_at_run_time_and_back_over_http() -> None:
    async with serving(Cleaned, executors=PDF) as site:
        app = site.app("cleaned")
        worker = (await site.json("/cleaned/sync"))["pid"]
        assert worker != os.getpid()
        for name in ("sync", "coro"):
            app.router.configure(name, executor_disabled=True)
            assert (await site.json(f"/cleaned/{name}"))["pid"] == os.getpid()
            app.router.configure(name, executor_disabled=False)
            assert (await site.json(f"/cleaned/{name}"))["pid"] == worker


@pytest.mark.parametrize("plugins", [(), ("counting",)], ids=["alone", "with a plugin"])
async def test_offloaded_the_cleanup_runs_in_the_worker(plugins: tuple[str, ...]) -> None:
    """After every sync handler, failed ones included, on the handler's thread, and not here."""
    async with built((Cleaned, {"plugins": plugins}), executors=PDF) as server:
        app = server.applications["cleaned"]
        app.routing.configure("executor", pool="pdf")
        said = await app.route.node("sync")()
        assert said["cleanups"] == []
        with pytest.raises(RuntimeError, match="in vain"):
            await app.route.node("failing")()
        assert (await app.route.node("coro")())["pid"] == said["pid"]
        again = await app.route.node("sync")()
        here = [tuple(item) for item in again["cleanups"]]
        assert here == [(said["pid"], said["ident"])] * 2
        assert app.cleanups == []


async def test_a_cleanup_of_the_application_follows_the_handlers_of_its_sections() -> None:
    class App(Cleaned):
        code = mount = "app"

    async with built(App, executors={"pdf": {"executor_type": "thread"}}) as server:
        app = server.applications["app"]
        section = Middle(("executor",))
        app.add_branches({"name": "section", "instance": section})
        await app.route.node("section/sync")(number=1)
        assert len(app.cleanups) == 1


# -- 200 calls waiting ----------------------------------------------------------------------------


@pytest.mark.parametrize("plugins", [(), ("counting",)], ids=["alone", "with a plugin"])
async def test_calls_that_wait_for_a_full_pool_hold_no_thread_of_the_server(
    gate: Any, plugins: tuple[str, ...]
) -> None:
    """200 of them wait; a plain sync route answers, though the server has only two threads."""
    async with serving((Cleaned, {"plugins": plugins}), executors=PDF, max_threads=2) as site:
        held = asyncio.create_task(site.json("/cleaned/held", gate=gate.path))
        await gate.entered()
        waiting = [
            asyncio.create_task(site.quick_json(f"/cleaned/sync?number={number}"))
            for number in range(200)
        ]
        pool = site.server.get_executor("pdf")
        await until(lambda: pool.metrics["pending"] == 201)
        assert not any(task.done() for task in waiting)
        assert site.server.pool.metrics["busy"] == 0
        for _ in range(5):
            assert await site.json("/cleaned/plain") == {"pid": os.getpid()}
        assert site.server.pool.metrics["busy"] == 0
        assert pool.metrics["completed"] == 0
        gate.release()
        assert await held == {"number": 1}
        answers = await asyncio.gather(*waiting)
        assert [answer["number"] for answer in answers] == list(range(200))
        assert site.server.pool.metrics["busy"] == 0


async def test_calls_that_wait_for_a_place_have_no_thread_of_their_own(gate: Any) -> None:
    """A plugin that looks at results needs a thread for each call: one for each place, no more."""
    narrow = {"pdf": {"max_workers": 1, "max_pending": 2, "max_waiting": 6}}
    async with built((Cleaned, {"plugins": ("logging",)}), executors=narrow) as server:
        node = server.applications["cleaned"].route.node("held")
        calls = [asyncio.ensure_future(node(gate=gate.path)) for _ in range(10)]
        await gate.entered()
        await until(lambda: sum(call.done() for call in calls) == 2)
        bridged = [t for t in threading.enumerate() if t.name == "genro-executor-held"]
        assert len(bridged) == 2
        pool = server.get_executor("pdf")
        assert (pool.metrics["waiting"], pool.metrics["rejected"]) == (6, 2)
        for _ in range(7):
            gate.release()
            await gate.entered()
        gate.release()
        ended = await asyncio.gather(*calls, return_exceptions=True)
        assert ended[:8] == [{"number": 1}] * 8
        assert [type(error).__name__ for error in ended[8:]] == ["ExecutorOverloadError"] * 2


async def test_the_plugin_takes_no_step_in_the_chain_of_a_call() -> None:
    async with serving(Cleaned, executors=PDF) as site:
        router = site.app("cleaned").route
        names = {plugin.name for plugin in router.iter_plugins()}
        assert names >= {"executor", "auth"}
        entries = [e for e in own_entries(router).values() if not isinstance(e, BridgedEntry)]
        assert entries
        for entry in entries:
            steps, link = 0, entry.handler
            while link is not entry.func:
                steps, link = steps + 1, link.__wrapped__
            assert steps == len(names) - 1, entry.name
