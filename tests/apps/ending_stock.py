# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""As ``ending.py``, on a server that genro-asgi has built, with the pools of the console."""

from __future__ import annotations

import sys

from host import AsgiServer

from apps.ending import Ending, pools
from genro_executor_plugin import ExecutorConsole


def main(seconds: str, host_seconds: str) -> None:
    AsgiServer(
        applications=[(ExecutorConsole, {"executors": pools(float(seconds))}), Ending],
        shutdown_timeout_seconds=float(host_seconds),
    ).serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
