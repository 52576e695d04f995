# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Functions that hang, each in another way, and some that compute; workers import this module."""

from __future__ import annotations

import asyncio
import re
import subprocess
import threading
import time

__all__ = ["CATALOGUE", "deep", "shallow"]

_LONG = 600


def sleep() -> None:
    time.sleep(_LONG)


def busy_loop() -> None:
    number = 0
    while True:
        number += 1


def regular_expression() -> None:
    re.match(r"(a+)+$", "a" * 40 + "b")


def native_code_with_the_gil() -> None:
    3 ** (3**19)


def lock() -> None:
    held = threading.Lock()
    held.acquire()
    held.acquire()


async def coroutine() -> None:
    await asyncio.sleep(_LONG)


def program() -> None:
    subprocess.run(["sleep", str(_LONG)], check=False)


CATALOGUE = (
    *(sleep, busy_loop, regular_expression, native_code_with_the_gil, lock, coroutine, program),
)
"""What a call may be stuck in."""


def _add(number: int) -> int:
    return number + 1


def shallow(steps: int) -> float:
    """Compute for a fixed number of steps; the CPU time that this process has used by then."""
    number = 0
    for _ in range(steps):
        number = _add(number)
    return time.process_time()


def deep(steps: int, levels: int = 200) -> float:
    """The same below many frames."""
    return deep(steps, levels - 1) if levels else shallow(steps)


async def awaited(seconds: float) -> None:
    """One of many coroutines that wait."""
    await asyncio.sleep(seconds)
