# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The watch of the event loop: it tells what this package does there, and nothing else."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable

import pytest
from loop_watch import MOST_SECONDS, MOST_WAITED_SECONDS, LoopWatch

from genro_executor_plugin.engines.process.template_start import wait_for_end
from genro_executor_plugin.portable.pickling import dumps

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells it on Linux only")


async def found_during(work: Callable[[], object]) -> list[str]:
    """What the watch finds while ``work`` is done in one turn of the event loop."""
    watch = LoopWatch()
    watch.start()
    await asyncio.sleep(0.05)
    work()
    await asyncio.sleep(0.05)
    watch.stop()
    return watch.found


async def test_what_this_package_computes_is_found_with_its_place() -> None:
    value = [str(number) for number in range(300_000)]
    began = time.thread_time()
    dumps(value)
    times = int(4 * MOST_SECONDS / (time.thread_time() - began)) + 1
    (found,) = await found_during(lambda: [dumps(value) for _ in range(times)])
    assert "computed" in found
    assert "pickling.py" in found


async def test_what_it_waits_for_is_found() -> None:
    process = subprocess.Popen(["sleep", str(2 * MOST_WAITED_SECONDS)])
    (found,) = await found_during(lambda: wait_for_end(process))
    assert "template_start.py" in found


async def test_what_the_test_does_itself_is_not_found() -> None:
    assert await found_during(lambda: time.sleep(2 * MOST_SECONDS)) == []
