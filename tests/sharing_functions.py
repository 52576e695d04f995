# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Functions for calls that share a worker: some end when they are told to, some do not."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

from worker_functions import hold, hold_async

PAST = "past the gate"


@contextmanager
def noted(path: str) -> Iterator[None]:
    """Write into ``path`` what is raised here."""
    try:
        yield
    except BaseException as error:
        Path(path).write_text(type(error).__name__)
        raise


def _past(note: str) -> None:
    Path(note).write_text(PAST)


async def cancellable(gate: str, note: str) -> None:
    with noted(note):
        await hold_async(gate)
        _past(note)
        await asyncio.sleep(3600)


def interruptible(gate: str, note: str) -> None:
    with noted(note):
        hold(gate)
        _past(note)
        while True:
            time.sleep(0.005)


async def holding_up_the_loop(gate: str, note: str) -> None:
    """It never awaits again, and hears of nothing."""
    with noted(note):
        await hold_async(gate)
        _past(note)
        while True:
            time.sleep(0.005)


async def chunks(gate: str, note: str) -> AsyncIterator[int]:
    with noted(note):
        yield 1
        await hold_async(gate)
        await asyncio.sleep(3600)


def deaf(gate: str, seconds: float) -> int:
    """As native code that does not return: nothing can be raised in it meanwhile."""
    hold(gate)
    time.sleep(seconds)
    return os.getpid()


async def deaf_async(gate: str, seconds: float) -> int:
    """It catches what it is told, and goes on."""
    await hold_async(gate)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            continue
    return os.getpid()


async def held_pid_async(gate: str) -> int:
    pid: int = await hold_async(gate, os.getpid())
    return pid


def held_pid(gate: str) -> int:
    pid: int = hold(gate, os.getpid())
    return pid
