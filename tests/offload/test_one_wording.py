# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A mistake has one text, and a route one set of options, wherever they are asked for."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from apps.steered import Steered
from servers import built

from genro_executor_plugin import ExecutorConfigError, SerializationError, UnknownExecutorError
from genro_executor_plugin.offload.checks import route_mistakes
from genro_executor_plugin.routing.tree import options_of, routes_of

POOLS: dict[str, Any] = {
    "a": {"executor_type": "thread", "queue_timeout": 7},
    "p": {"max_workers": 1},
}


@pytest.fixture
async def app() -> AsyncIterator[Any]:
    async with built(Steered, executors=POOLS) as server:
        app = server.applications["steered"]
        app.route.nodes()
        yield app


async def test_an_unknown_pool(app: Any) -> None:
    """Of the registry, at run time, at boot."""
    with pytest.raises(UnknownExecutorError) as asked:
        app.server.get_executor("nowhere")
    text = str(asked.value)
    assert "'a', 'blocking', 'cpu', 'p'" in text

    with pytest.raises(UnknownExecutorError) as configured:
        app.router.configure("report", executor_pool="nowhere")
    assert text in str(configured.value)

    app.routing.configure("executor/report", pool="nowhere")
    (mistake,) = route_mistakes(app.server)
    assert mistake.unknown_pool == "nowhere"
    assert text.partition("; ")[2] in mistake.text
    assert mistake.text.startswith("route steered/report (")


async def test_the_live_request(app: Any) -> None:
    """At run time, at boot, at a call, for a long job."""
    with pytest.raises(ExecutorConfigError) as configured:
        app.router.configure("asks", executor_pool="p")
    app.routing.configure("executor/asks", pool="p")
    (mistake,) = route_mistakes(app.server)
    with pytest.raises(SerializationError) as called:
        await app.route.node("asks")(_request=object())
    with pytest.raises(SerializationError) as submitted:
        app.tasks.submit("asks")
    for text, where in (
        (str(configured.value), "pool 'p'"),
        (mistake.text, "pool 'p'"),
        (str(called.value), "pool 'p'"),
        (str(submitted.value), "a long job"),
    ):
        assert f"takes the live _request, which cannot travel to {where}. Pass what it" in text


async def test_the_options_in_force(app: Any) -> None:
    """The route's own above its router's above the pool's; switched off is as disabled."""
    app.router.configure("report", executor_on_overload="fail")
    options = options_of(app.route, "report")
    assert (options.pool, options.offloaded, options.disabled) == ("a", True, False)
    assert options.of_calls == {"on_overload": "fail"}
    effective = options.effective(app.server.get_executor("a"))
    assert (effective["on_overload"], effective["queue_timeout"]) == ("fail", 7.0)

    app.route.set_plugin_enabled("report", "executor", False)
    switched_off = options_of(app.route, "report")
    assert (switched_off.pool, switched_off.offloaded, switched_off.disabled) == ("a", False, True)

    (unbuilt,) = [route for route in routes_of(app.server) if route.entry is None]
    assert unbuilt.path == "steered/archive/find"
    assert (unbuilt.options.pool, unbuilt.options.offloaded) == ("a", True)
