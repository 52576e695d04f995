# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A server that has forked a child, holds a store, and waits: ``forking_server.py <folder>``."""

from __future__ import annotations

import asyncio
import multiprocessing
import sys
import time
from pathlib import Path

import worker_functions as wf

from genro_executor_plugin import ProcessExecutor
from genro_executor_plugin.tasks.store.members import Membership


async def main(folder: str) -> None:
    pool = ProcessExecutor("p", max_workers=2)
    spinning = asyncio.create_task(pool.submit(wf.spin))
    await pool.submit(wf.pid)
    membership = Membership(Path(folder))
    membership.join(has_store=True)
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    child.start()
    print(f"child {child.pid}", flush=True)
    await spinning


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
