# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Handlers with a ``breakpoint()`` in them, and a server for them."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator

from genro_routes import route
from host import RoutedApplication

from genro_executor_plugin import ExecutorServer

POOLS = {
    "pdf": {"max_workers": 2, "timeout": 1.0, "shutdown_timeout": 1.0},
    "soft": {"max_workers": 1, "soft_timeout": 1.0},
    "lines": {"max_workers": 1, "threads_per_worker": 2, "timeout": 1.0},
    "db": {"executor_type": "thread"},
}


class Desk(RoutedApplication):
    mount = "desk"

    @route(executor="pdf")
    def total(self, number: int) -> dict:
        total = number * 2
        breakpoint()
        total += 1
        return {"total": total, "pid": os.getpid()}

    @route(executor="pdf")
    def by_pdb(self, number: int) -> dict:
        import pdb

        total = number * 2
        pdb.set_trace()
        return {"total": total, "pid": os.getpid()}

    @route(executor="pdf")
    async def coroutine(self, number: int) -> dict:
        total = number * 2
        await asyncio.sleep(0)
        breakpoint()
        total += 1
        await asyncio.sleep(0.01)
        return {"total": total, "pid": os.getpid()}

    @route(executor="soft")
    async def soft_coroutine(self, number: int) -> dict:
        return await self.coroutine(number)

    @route(executor="soft")
    def soft(self, number: int) -> dict:
        return self.total(number)

    @route(executor="lines")
    def on_a_line(self, number: int) -> dict:
        return self.total(number)

    @route(executor="pdf", executor_idle=0.5, executor_timeout=None)
    def chunks(self, number: int) -> Iterator[str]:
        yield "a"
        breakpoint()
        yield str(number)

    @route(executor="pdf")
    def twice(self, number: int) -> dict:
        for _ in range(2):
            breakpoint()
            number += 1
        return {"total": number, "pid": os.getpid()}

    @route(executor="pdf")
    def plain(self) -> dict:
        return {"pid": os.getpid()}

    @route(executor="db")
    def on_a_thread(self, number: int) -> dict:
        return self.total(number)

    @route()
    def here(self) -> dict:
        return {"pid": os.getpid()}


def noticed() -> None:
    """What a user's own PYTHONBREAKPOINT names."""
    sys.stderr.write(f"noticed in {os.getpid()}\n")


if __name__ == "__main__":
    ExecutorServer(applications=[Desk], executors=POOLS, tasks=False).serve(port=0)
