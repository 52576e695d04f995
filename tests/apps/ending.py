# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A program that serves until it is told to end.

``ending.py <seconds for the shutdown of pools> [<those of the host, the same by default>]``
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import Any

from genro_routes import route
from grace import give_workers_time_to_end
from worker_functions import hold

from genro_executor_plugin import ExecutorApplication, ExecutorServer
from genro_executor_plugin.executors import steering


class Ending(ExecutorApplication):
    mount = "ending"

    def on_worker_shutdown(self) -> None:
        log = os.environ.get("ENDING_LOG")
        if log:
            with open(log, "a") as file:
                file.write(f"{os.getpid()}\n")

    @route(executor="p")
    def pid(self) -> int:
        return os.getpid()

    @route(executor="p")
    def held(self, gate: str) -> int:
        hold(gate)
        return os.getpid()

    @route(executor="p")
    def endless(self, gate: str) -> None:
        """Says that it runs, and hears nothing any more."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        hold(gate)
        while True:
            pass

    @route()
    async def in_the_background(self, gate: str) -> None:
        """A call that no request waits for."""
        pool = self.server.get_executor("p")
        self.background = asyncio.create_task(pool.submit(hold, gate))

    @route(executor="coroutines")
    async def coroutine(self) -> int:
        return os.getpid()

    @route(executor="threads")
    def endless_thread(self, gate: str) -> None:
        hold(gate)
        while True:
            signal.pthread_sigmask(signal.SIG_BLOCK, [])


def finalize() -> None:
    """Never ends where the environment says so: after a second signal the server leaves it."""
    while "ENDING_HANGS" in os.environ:
        time.sleep(0.05)


def pools(seconds: float) -> dict[str, dict[str, Any]]:
    limits: dict[str, Any] = {"shutdown_timeout": seconds}
    return {
        "p": {"max_workers": 3, **limits},
        "threads": {"executor_type": "thread", "max_workers": 2, **limits},
        "coroutines": {"executor_type": "thread", "finalizer": finalize, **limits},
    }


def main(seconds: str, host_seconds: str = "") -> None:
    if "ENDING_LOG" in os.environ:
        give_workers_time_to_end()
    steering.CLOSE_IN_A_HURRY_SECONDS = 1.0
    server = ExecutorServer(
        applications=[Ending],
        executors=pools(float(seconds)),
        shutdown_timeout_seconds=float(host_seconds or seconds),
        tasks=False,
    )
    server.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
