# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Routes whose clients leave before they are answered."""

from __future__ import annotations

import os
from typing import Any

from genro_routes import route
from host import RoutedApplication
from worker_functions import hold, hold_async, record

from genro_executor_plugin import SentFile


def _file(gate: str, name: str) -> SentFile:
    """A file of this run's own, which ``name`` and ``.made`` says to be there."""
    hold(gate)
    for path in (name, f"{name}.made"):
        with open(path, "w") as file:
            file.write("content")
    return SentFile(name, delete=True)


class Left(RoutedApplication):
    mount = "left"

    @route(executor="p")
    def held(self, gate: str, trace: str = "") -> str:
        hold(gate)
        if trace:
            record(trace)
        return "held"

    @route(executor="p")
    async def held_async(self, gate: str) -> str:
        return str(await hold_async(gate))

    @route(executor="p")
    def streamed(self, gate: str) -> Any:
        hold(gate)
        yield b"first"

    @route(executor="abandoning")
    def abandoned(self, gate: str, trace: str) -> None:
        hold(gate)
        record(trace)

    @route(executor="p")
    def file_of_a_worker(self, gate: str, name: str) -> SentFile:
        return _file(gate, name)

    @route(executor="abandoning")
    def file_of_an_abandoned_run(self, gate: str, name: str) -> SentFile:
        return _file(gate, name)

    @route(executor="threads")
    def file_of_a_thread(self, gate: str, name: str) -> SentFile:
        return _file(gate, name)

    @route(executor="threads")
    def in_a_thread(self, gate: str) -> str:
        return str(hold(gate))

    @route(executor="p", executor_disabled=True)
    def in_the_server(self, gate: str, trace: str) -> None:
        hold(gate)
        record(trace)

    @route(executor="p")
    def upload(self, gate: str, body_data: Any = None) -> int:
        hold(gate)
        return len(body_data["text"])

    @route(executor="p")
    def pid(self) -> int:
        return os.getpid()
