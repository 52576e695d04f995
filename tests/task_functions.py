# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Functions that tests submit as long jobs."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path
from typing import Any

from worker_functions import hold

from genro_executor_plugin import cancelled, progress


def add(one: int, other: int) -> int:
    return one + other


async def add_async(one: int, other: int) -> int:
    await asyncio.sleep(0)
    progress(0.5, "halfway")
    return one + other


def note(file: str, text: str) -> str:
    """Append ``text`` to ``file``: who ran, in which order, how often."""
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{text}\n".encode())
    finally:
        os.close(descriptor)
    return text


def note_and_hold(file: str, text: str, gate: str) -> str:
    note(file, text)
    hold(gate)
    return text


def fail(text: str) -> None:
    raise LookupError(text)


def fail_until(file: str, attempts: int) -> int:
    """Fail until it is called for the ``attempts``-th time."""
    note(file, "attempt")
    begun = len(Path(file).read_text().split())
    if begun < attempts:
        raise ConnectionError(f"attempt {begun}")
    return begun


def tell(steps: int, gate: str = "") -> int:
    """Say every step, deep inside; at the end wait at ``gate``."""
    for step in range(steps):
        _deeper(step, steps)
    if gate:
        hold(gate)
    return steps


def hold_then_tell(gate: str, steps: int) -> int:
    hold(gate)
    return tell(steps)


def _deeper(step: int, steps: int) -> None:
    progress((step + 1) / steps, f"step {step + 1}", row=step)


def stop_when_asked(file: str, gate: str) -> str:
    """Hold, then go on until somebody asks it to end; what it cleaned up is in ``file``."""
    hold(gate)
    while not cancelled():
        time.sleep(0.005)
    note(file, "cleaned up")
    return "stopped"


async def stop_when_asked_async(gate: str) -> str:
    await asyncio.to_thread(hold, gate)
    while True:
        if cancelled():
            return "stopped"
        await asyncio.sleep(0.005)


def never_listen(gate: str) -> None:
    hold(gate)
    while True:
        time.sleep(60)


def tell_late(gate: str, file: str) -> None:
    """Report progress when the gate is open, and note in ``file`` that it was reported."""
    hold(gate)
    progress(1.0, "too late")
    note(file, "told")


def log_lines(count: int, gate: str = "") -> None:
    """Log a warning, an error with its traceback and ``count`` lines; then wait at ``gate``."""
    logger = logging.getLogger("task_functions.lines")
    logger.debug("too fine for the server")
    logger.warning("%s of %s sheets", 3, 7)
    try:
        {}["ink"]
    except KeyError:
        logger.exception("no ink")
    for number in range(count):
        logger.info("line %d", number)
    if gate:
        hold(gate)


async def log_in_a_coroutine(text: str) -> None:
    await asyncio.sleep(0)
    logging.getLogger("task_functions.lines").warning(text)


def exit_hard() -> None:
    os._exit(7)


def many_bytes(count: int) -> bytes:
    return os.urandom(count)


def length(value: Any) -> int:
    return len(value)


def unpicklable() -> Any:
    return (number for number in range(3))


def tell_slowly(steps: int, seconds: float) -> int:
    """Say every step, ``seconds`` apart."""
    for step in range(steps):
        progress((step + 1) / steps)
        time.sleep(seconds)
    return steps
