# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""An old driver that blocks, in threads and in threads inside of processes.

Shows the same handler in two pools. In ``threads`` a connection is one thread of the server: cheap,
but a call that hangs cannot be ended. In ``processes`` two workers have four threads each: eight
calls at a time, and one that hangs is ended with its worker by the limit of the pool.

Start it with ``python examples/legacy_driver.py [port]``, then try::

    curl 'http://127.0.0.1:8000/legacy/in_threads?seconds=0.2'
    curl 'http://127.0.0.1:8000/legacy/in_processes?seconds=0.2'
    curl 'http://127.0.0.1:8000/legacy/in_processes?seconds=60'
"""

import os
import sys
import threading
import time

from genro_asgi import RoutedApplication
from genro_routes import route

from genro_executor_plugin import ExecutorServer


class LegacyConnection:
    """A driver's connection, for one thread, whose queries block."""

    def __init__(self) -> None:
        self.queries = 0

    def query(self, seconds: float) -> dict[str, object]:
        self.queries += 1
        time.sleep(seconds)
        return {
            "pid": os.getpid(),
            "thread": threading.current_thread().name,
            "queries_of_this_connection": self.queries,
        }


_of_thread = threading.local()


def connection() -> LegacyConnection:
    """The connection of this thread, opened when it is needed for the first time."""
    if not hasattr(_of_thread, "connection"):
        _of_thread.connection = LegacyConnection()
    return _of_thread.connection


class Legacy(RoutedApplication):
    mount = "legacy"

    @route(executor="threads")
    def in_threads(self, seconds: float = 0.1) -> dict[str, object]:
        return connection().query(float(seconds))

    @route(executor="processes")
    def in_processes(self, seconds: float = 0.1) -> dict[str, object]:
        return connection().query(float(seconds))


if __name__ == "__main__":
    server = ExecutorServer(
        applications=[Legacy],
        executors={
            "threads": {"executor_type": "thread", "max_workers": 8},
            "processes": {"max_workers": 2, "threads_per_worker": 4, "timeout": 5.0},
        },
    )
    server.serve(port=int(sys.argv[1]) if len(sys.argv) > 1 else 8000)
