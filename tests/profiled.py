# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Functions that spend their time in known places. Workers import this module."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from typing import Any


def computes() -> int:
    return hot() + cold()


def hot() -> int:
    number = 0
    for _ in range(300_000):
        number += 1
    return number


def cold() -> int:
    return sum(range(10))


def keeps_the_interpreter() -> Any:
    """For some looks at a time, in native code."""
    return matches(18)


def matches(length: int) -> Any:
    return re.match(r"(a+)+$", "a" * length + "b")


def never_ends() -> Any:
    return matches(40)


def sleeps() -> None:
    time.sleep(0.05)


async def awaits() -> None:
    await asyncio.gather(inner(), inner())


async def inner() -> None:
    await asyncio.sleep(0.001)
    hot()


async def awaits_once() -> None:
    await asyncio.sleep(0.05)


def other() -> int:
    return hot()


def deep(levels: int = 700) -> None:
    if levels:
        deep(levels - 1)
    else:
        time.sleep(0.05)


def dies() -> None:
    computes()
    os.kill(os.getpid(), signal.SIGKILL)
