# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A program with a pool whose worker has started processes: ``starting_server.py <folder>``."""

from __future__ import annotations

import asyncio
import signal
import sys

from apps.starting_programs import start_each
from genro_executor_plugin import ProcessExecutor


async def main(folder: str) -> None:
    told_to_end = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told_to_end.set)
    pool = ProcessExecutor("p", max_workers=1)
    await pool.submit(start_each, folder)
    print("started", flush=True)
    await told_to_end.wait()
    await pool.shutdown()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
