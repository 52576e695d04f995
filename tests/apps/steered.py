# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""An application whose routes are configured while it serves."""

from __future__ import annotations

import os
import threading
from typing import Any

from genro_routes import RoutingClass, route
from worker_functions import hold

from genro_executor_plugin import ExecutorApplication


class Billing(RoutingClass):
    """A section with another one below."""

    def __init__(self) -> None:
        self.route.plug("logging")
        self.year = Year()
        self.add_branches({"name": "year", "instance": self.year})

    @route(executor="a")
    def gen_bill(self) -> str:
        return threading.current_thread().name

    @route(executor="a")
    def gen_note(self) -> str:
        return threading.current_thread().name

    @route(executor="a")
    def send(self) -> str:
        return threading.current_thread().name


class Year(RoutingClass):
    @route(executor="a")
    def gen_total(self) -> str:
        return threading.current_thread().name


class Archive(RoutingClass):
    """A lazy branch."""

    @route(executor="a")
    def find(self) -> str:
        return threading.current_thread().name


class Steered(ExecutorApplication):
    mount = "steered"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.route.plug("logging")
        self.billing = Billing()
        self.add_branches({"name": "billing", "instance": self.billing})
        self.add_branches({"name": "archive", "cls": Archive})
        self.route.include(self.billing.route.node("send"), name="send_now")

    @route(executor="a")
    def report(self) -> str:
        return threading.current_thread().name

    @route(executor="a")
    async def report_async(self) -> str:
        return threading.current_thread().name

    @route(executor="p", executor_timeout=30)
    def limited(self) -> int:
        return os.getpid()

    @route()
    def plain(self) -> str:
        return threading.current_thread().name

    @route()
    def asks(self, _request) -> str:  # type: ignore[no-untyped-def]
        return type(_request).__name__


class Busy(ExecutorApplication):
    """Routes that are held at a gate."""

    mount = "busy"

    @route(executor="p")
    def held(self, gate: str) -> int:
        hold(gate)
        return os.getpid()

    @route(executor="p")
    def pid(self) -> int:
        return os.getpid()
