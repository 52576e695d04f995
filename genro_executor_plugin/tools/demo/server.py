# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The demo's server: ``python -m genro_executor_plugin.tools.demo.server`` is its process.

It serves until SIGTERM or SIGINT, or until its standard input ends: it never outlives whoever
started it and holds the other end, however that one ended.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading

from ...serving.server import ExecutorServer
from .application import Reports
from .monitor import Monitor
from .settings import POOLS

__all__ = ["main"]


def main() -> None:
    """Serve the example."""
    parser = argparse.ArgumentParser(prog="genro_executor_plugin.tools.demo.server")
    parser.add_argument("--port", type=int, default=0)
    arguments = parser.parse_args()
    server = ExecutorServer(applications=[Reports, Monitor], executors=POOLS)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    server.serve(port=arguments.port)


def _end_with_stdin() -> None:
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
