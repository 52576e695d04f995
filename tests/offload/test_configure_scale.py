# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What binding and ``router.configure`` do grows with the number of routes, and no faster."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

import pytest
from genro_routes import route
from pydantic import validate_call
from servers import built

from genro_executor_plugin import ExecutorApplication, ExecutorPlugin

FEW, MANY = 30, 120
POOLS: dict[str, Any] = {"a": {"executor_type": "thread"}, "b": {"executor_type": "thread"}}


def app_of(number: int) -> Any:
    """An application of ``number`` routes."""

    def handler() -> Callable[..., int]:
        def gen(self, x: int = 0) -> int:  # type: ignore[no-untyped-def]
            return x

        return gen

    routes = {f"gen_{i}": route(executor="a", name=f"gen_{i}")(handler()) for i in range(number)}
    return type("Wide", (ExecutorApplication,), {"code": "wide", "mount": "wide", **routes})


def calls_of(work: Callable[[], Any]) -> Counter[CodeType]:
    """How often ``work`` calls each Python function."""
    calls: Counter[CodeType] = Counter()

    def count(frame: FrameType, event: str, _argument: Any) -> None:
        if event == "call":
            calls[frame.f_code] += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls


ON_DECORE = ExecutorPlugin.on_decore.__code__
VALIDATOR = validate_call.__code__


@pytest.mark.parametrize(
    "options",
    [{"executor_timeout": None, "executor_disabled": True}, {"executor_pool": "b"}],
    ids=["options", "pool"],
)
async def test_a_glob_over_many_routes_does_no_more_for_each_of_them(
    options: dict[str, Any],
) -> None:
    calls = {}
    for number in (FEW, MANY):
        async with built(app_of(number), executors=POOLS) as server:
            app = server.applications["wide"]
            app.route.nodes()
            app.router.configure("gen_0", **options)  # what is kept for the next time, is kept now
            calls[number] = calls_of(lambda app=app: app.router.configure("gen_*", **options))  # type: ignore[misc]
            shown = app.route.nodes()["entries"]
            for option, value in options.items():
                for entry in shown.values():
                    config = entry["plugins"]["executor"]["config"]
                    assert config[option.removeprefix("executor_")] == value
    assert calls[MANY].total() <= calls[FEW].total() * MANY / FEW
    for number, counted in calls.items():
        assert counted[ON_DECORE] <= number
        assert counted[VALIDATOR] == 0


async def test_a_plugins_options_are_checked_by_one_validator_for_its_class() -> None:
    async with built(app_of(3), executors=POOLS) as server:
        app = server.applications["wide"]
        app.route.plug("logging")
        app.router.configure("gen_0", logging_before=True, executor_disabled=True)
        again = calls_of(lambda: app.router.configure("gen_*", logging_before=False, executor="b"))
        assert again[VALIDATOR] == 0


async def test_the_plugin_looks_at_each_route_a_few_times_when_its_router_is_bound() -> None:
    for number in (FEW, MANY):
        async with built(app_of(number), executors=POOLS) as server:
            app = server.applications["wide"]
            calls = calls_of(app.route.nodes)
            assert calls[ON_DECORE] <= 2 * number


async def test_a_new_pool_for_the_whole_router_offloads_each_route_once() -> None:
    for number in (FEW, MANY):
        async with built(app_of(number), executors=POOLS) as server:
            app = server.applications["wide"]
            app.route.nodes()
            calls = calls_of(lambda app=app: app.router.configure(executor_pool="b"))  # type: ignore[misc]
            assert calls[ON_DECORE] <= number
