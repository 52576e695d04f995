# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``executor_key=``: where a route finds the key of its calls, and what a call without it gets."""

from __future__ import annotations

import asyncio
import os
from typing import Any

import pytest
from genro_routes import route
from host import RoutedApplication
from servers import boot_message, built, serving

from genro_executor_plugin import (
    ExecutorApplication,
    ExecutorConsole,
    ExecutorKeyError,
)
from genro_executor_plugin.options.call import CallOptions
from genro_executor_plugin.options.keys import KeyName, key_of
from genro_executor_plugin.routing.caller import Caller
from genro_executor_plugin.routing.keys import keyed_options

POOLS: dict[str, Any] = {"shop": {"max_workers": 2}, "db": {"executor_type": "thread"}}


class Baskets(ExecutorApplication):
    """A basket for each user, in the memory of a worker."""

    mount = "baskets"

    def on_worker_startup(self) -> None:
        self.baskets: dict[str, list[str]] = {}

    @route(executor="shop", executor_key="user", executor_key_serial=True)
    def add(self, item: str, user: str | None = None) -> list[Any]:
        basket = self.baskets.setdefault(str(user), [])
        basket.append(item)
        return [os.getpid(), basket]

    @route(executor="shop", executor_key="user")
    def watch(self, user: str) -> Any:
        yield f"{os.getpid()}"

    @route(executor="shop", executor_key="caller.identity")
    def mine(self) -> int:
        return os.getpid()

    @route(executor="shop", executor_key="user", executor_background=True)
    def later(self, user: str = "ann") -> int:
        return os.getpid()

    @route(executor="shop")
    def plain(self, number: int = 0) -> int:
        return os.getpid()


async def test_a_route_meets_the_worker_of_its_key() -> None:
    """Also as a stream, as a long job, and when the key comes while the server runs."""
    async with serving(Baskets, ExecutorConsole, executors=POOLS, long_tasks={}) as site:
        await asyncio.gather(*(site.json("/baskets/plain") for _ in range(8)))
        pid, _ = await site.json("/baskets/add", item="pear", user="ann")
        for item in "fig", "nut":
            assert (await site.json("/baskets/add", item=item, user="ann"))[0] == pid
        assert (await site.json("/baskets/add", item="egg", user="ann"))[1] == [
            *("pear", "fig", "nut", "egg")
        ]
        assert (await site.get("/baskets/watch", user="ann")).text == f"{pid}"
        app = site.app("baskets")
        job = await app.tasks.submit("later")
        assert await app.tasks.result(job) == pid

        for path in "add?item=egg", "mine":
            answer = await site.get(f"/baskets/{path}")
            assert answer.status_code == 400, answer.text
            assert "which worker" in answer.text
        change = {"route": "baskets/plain", "key": "number", "key_serial": True}
        assert (await site.post("/_executors/change/route", change)).status_code == 200
        pids = {await site.json("/baskets/plain", number=7) for _ in range(4)}
        assert len(pids) == 1
        wrong = await site.post(
            "/_executors/change/route", {"route": "baskets/plain", "key": "name"}
        )
        assert wrong.status_code == 400
        assert "takes number" in wrong.text
        snapshot = await site.json("/_executors/snapshot")
    options = {one["path"]: one["options"] for one in snapshot["routes"]}
    assert options["baskets/add"]["key"] == "user"
    assert options["baskets/plain"]["key_serial"] is True


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"executor_key": "name"}, ["wrong/act", "'name'", "number, user", "caller.session"]),
        ({"executor_key": "user", "executor": "db"}, ["wrong/act", "'db'", "process pool"]),
        ({"executor_key_serial": True}, ["wrong/act", "without a key"]),
    ],
)
async def test_a_route_that_can_have_no_key_stops_the_start(
    options: dict[str, Any], words: list[str]
) -> None:
    class Wrong(RoutedApplication):
        mount = "wrong"

        @route(**{"executor": "shop", **options})
        def act(self, number: int, user: str = "") -> None:
            return

    async with built(Wrong, executors=POOLS) as server:
        said = await boot_message(server)
    assert said["type"] == "lifespan.startup.failed"
    assert all(word in said["message"] for word in words), said


def handler(number: int, user: str = "nobody", *rest: str, more: object = None) -> None:
    """A handler."""


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "key"),
    [
        ("user", (1, "ann"), {}, "ann"),
        ("user", (1,), {"user": "bob"}, "bob"),
        ("user", (1,), {}, "nobody"),
        ("number", (7,), {}, "7"),
        ("more", (7, "ann", "rest"), {"more": b"bytes"}, "bytes"),
        ("caller.identity", (7,), {}, "ida"),
        ("caller.session", (7,), {}, "s1"),
    ],
)
def test_the_key_is_found(name: str, args: Any, kwargs: Any, key: str) -> None:
    options = CallOptions(timeout=3.0, key=KeyName(name), route="act")
    found = keyed_options(options, handler, args, kwargs, Caller(identity="ida", session="s1"))
    assert (found.key, found.timeout, found.route) == (key_of(key), 3.0, "act")


@pytest.mark.parametrize(
    ("name", "kwargs", "words"),
    [
        ("more", {}, "route 'act': this call has no more"),
        ("more", {"more": ["a", "list"]}, "is of type list"),
        ("more", {"more": "x" * 100_000}, "at most 4096"),
        ("caller.identity", {}, "auth_rule"),
        ("caller.session", {}, "sessions"),
    ],
)
def test_a_call_without_its_key_is_told_so(name: str, kwargs: Any, words: str) -> None:
    options = CallOptions(key=KeyName(name), route="act")
    with pytest.raises(ExecutorKeyError, match=words) as caught:
        keyed_options(options, handler, (1,), kwargs, Caller())
    assert name in str(caught.value)
    assert len(str(caught.value)) < 400
    assert caught.value.route == "act"
