# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``server.configure_route``: options of a route of any application, changed while it serves."""

from __future__ import annotations

import os
from typing import Any

import pytest
from genro_routes import RoutingClass, route
from host import AsgiServer, RoutedApplication
from servers import serving

from genro_executor_plugin import (
    ExecutorConfigError,
    ExecutorConsole,
    ExecutorServer,
    UnknownExecutorError,
)

POOLS: dict[str, Any] = {"pdf": {"max_workers": 1}}


class Billing(RoutingClass):
    @route(executor="pdf")
    def total(self) -> int:
        return os.getpid()


class Reports(RoutedApplication):
    mount = "reports"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_branches({"name": "billing", "instance": Billing()})

    @route(executor="pdf")
    def report(self) -> int:
        return os.getpid()


def on_server_with_pools() -> Any:
    return ExecutorServer(applications=[Reports], executors=POOLS, tasks=False)


def on_stock_server() -> Any:
    return AsgiServer(applications=[(ExecutorConsole, {"executors": POOLS}), Reports], tasks=False)


@pytest.mark.parametrize("make", [on_server_with_pools, on_stock_server])
async def test_a_route_of_any_application_is_taken_back_and_given_away_again(make: Any) -> None:
    server = make()
    async with serving(server=server) as site:
        assert await site.json("/reports/report") != os.getpid()
        done = server.configure_route("reports/report", executor_disabled=True)
        assert done["updated"] == ["report"]
        assert await site.json("/reports/report") == os.getpid()
        assert await site.json("/reports/billing/total") != os.getpid()
        server.configure_route("/reports/billing/*", executor_disabled=True)
        assert await site.json("/reports/billing/total") == os.getpid()
        server.configure_route("reports/report", executor_disabled=False)
        assert await site.json("/reports/report") != os.getpid()


async def test_what_is_wrong_is_named_and_changes_nothing() -> None:
    server = on_server_with_pools()
    async with serving(server=server) as site:
        for route_, options, words in (
            (
                "report",
                {"executor_disabled": True},
                "no application .report.*shop/report",
            ),
            ("reports/rapport", {"executor_disabled": True}, "'rapport'.*report"),
            ("reports/report", {"executor_disabeld": True}, "disabeld"),
            ("reports/report", {}, "nothing to configure"),
        ):
            with pytest.raises(ExecutorConfigError, match=words):
                server.configure_route(route_, **options)
        with pytest.raises(UnknownExecutorError):
            server.configure_route("reports", executor_pool="dpf")
        assert await site.json("/reports/report") != os.getpid()
