# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The servers under load: ``python -m benchmarks.servers KIND LOOP`` prints its port and serves.

It ends by SIGTERM, or when its standard input closes because the run is gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import uvicorn
from genro_asgi import AsgiServer, RoutedApplication
from genro_asgi.server import UvicornServer
from genro_routes import route

from benchmarks.functions import answer, burn, wait_while
from genro_executor_plugin import ExecutorServer

__all__ = ["POOL_SIZE", "SERVERS"]

POOL_SIZE = 2
_MAX_PENDING = 1000


class Stock(RoutedApplication):
    """What a stock server offers a handler: its event loop and its threads."""

    mount = "bench"

    @route()
    async def awaited(self) -> dict[str, int]:
        return {"answer": answer()}

    @route()
    def plain(self) -> dict[str, int]:
        return {"answer": answer()}

    @route()
    async def ping(self) -> dict[str, bool]:
        return {"ok": True}

    @route()
    def burn(self, milliseconds: float) -> dict[str, float]:
        burn(milliseconds)
        return {"milliseconds": milliseconds}


class Naive(RoutedApplication):
    """Offloading as one would write it by hand."""

    mount = "bench"

    def on_startup(self) -> None:
        self._processes = ProcessPoolExecutor(POOL_SIZE)

    def on_shutdown(self) -> None:
        self._processes.shutdown(cancel_futures=True)

    @route()
    async def naive(self) -> dict[str, int]:
        loop = asyncio.get_running_loop()
        return {"answer": await loop.run_in_executor(self._processes, answer)}


class Offloaded(RoutedApplication):
    """The same routes with one annotation more."""

    mount = "bench"

    @route(executor="calls")
    def offloaded(self) -> dict[str, int]:
        return {"answer": answer()}

    @route()
    def plain(self) -> dict[str, int]:
        return {"answer": answer()}

    @route()
    async def ping(self) -> dict[str, bool]:
        return {"ok": True}

    @route(executor="calls")
    def burn(self, milliseconds: float) -> dict[str, float]:
        burn(milliseconds)
        return {"milliseconds": milliseconds}

    @route(executor="calls")
    def hold(self, path: str) -> dict[str, str]:
        wait_while(path)
        return {"path": path}

    @route()
    async def metrics(self) -> dict[str, Any]:
        server = self.server
        return {
            "pools": {pool["name"]: pool for pool in server.get_executor_metrics()}
            if isinstance(server, ExecutorServer)
            else {}
        }


def _stock() -> AsgiServer:
    return AsgiServer(applications=[Stock])


def _naive() -> AsgiServer:
    return AsgiServer(applications=[Naive])


def _offloaded() -> AsgiServer:
    pool = {"max_workers": POOL_SIZE, "max_pending": _MAX_PENDING}
    return ExecutorServer(applications=[Offloaded], executors={"calls": pool})


SERVERS = {"stock": _stock, "naive": _naive, "offloaded": _offloaded}
"""By the name that the command line takes."""


def serve(kind: str, loop: str) -> None:
    """Serve on a free port until a signal comes; the port is the first line of the output."""
    server = SERVERS[kind]()
    # asyncio switches Nagle's delay off only where the protocol is given, as uvicorn gives it.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.bind(("127.0.0.1", 0))
    listener.listen(1024)
    # A line of access log for every request costs the same everywhere, and would only bring
    # the variants closer to each other.
    config = uvicorn.Config(server, loop=loop, log_level="warning", access_log=False)
    print(listener.getsockname()[1], flush=True)
    UvicornServer(server, config).run(sockets=[listener])


def _end_with_the_run() -> None:
    # Not through sys.stdin: a worker forked while a thread holds its lock waits for it forever.
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    threading.Thread(target=_end_with_the_run, daemon=True).start()
    serve(sys.argv[1], sys.argv[2])
