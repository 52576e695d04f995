# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Functions that do not come to an end, each in another way. Workers import this module."""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import signal
import subprocess
import threading
import time
from typing import Any

from worker_functions import hold


def comes_back() -> None:
    """Has this module imported, which would count as a part of the first run."""


def sleeps() -> None:
    time.sleep(60)


def computes() -> None:
    number = 0
    while True:
        number += 1


def matches() -> None:
    re.match(r"(a+)+$", "a" * 40 + "b")


def computes_in_c() -> int:
    return 3 ** (3**19)


def holds_the_gil() -> None:
    ctypes.PyDLL(None).sleep(60)


def waits_for_a_lock() -> None:
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()


def waits_for_a_program() -> None:
    subprocess.run(["sleep", "60"], check=False)


async def _inner() -> None:
    await asyncio.sleep(60)


async def awaits() -> None:
    await asyncio.gather(_inner(), asyncio.create_task(_inner(), name="by name"))


async def computes_on_the_loop() -> None:
    computes()


async def holds_the_gil_on_the_loop() -> None:
    holds_the_gil()


def goes_deep(levels: int = 500) -> None:
    if levels:
        goes_deep(levels - 1)
    else:
        time.sleep(60)


def replaces_handlers(path: str) -> None:
    for number in range(signal.SIGRTMIN, signal.SIGRTMAX):
        signal.signal(number, signal.SIG_DFL)
    hold(path)


def holds_back_signals(path: str) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    hold(path)


def fills_memory(path: str) -> None:
    kept = bytearray(300 * 2**20)
    hold(path, kept)


def counts_interruptions(path: str) -> tuple[int, Any]:
    """How often a read from a pipe that a thread writes to was interrupted, and what it read."""
    reading, writing = os.pipe()
    threading.Thread(target=lambda: (hold(path), os.write(writing, b"done"))).start()
    return 0, os.read(reading, 10)
