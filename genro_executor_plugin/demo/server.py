# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The demo's server, in a process of its own: ``python -m genro_executor_plugin.demo.server``.

It serves until SIGTERM or SIGINT, or until its standard input ends: it never outlives whoever
started it and holds the other end, however that one ended.
"""

from __future__ import annotations

import argparse
import os
import signal
import threading

from ..server import ExecutorServer
from .application import Reports
from .monitor import Monitor
from .settings import POOLS

__all__ = ["main"]


def main() -> None:
    """Serve the example."""
    parser = argparse.ArgumentParser(prog="genro_executor_plugin.demo.server")
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
