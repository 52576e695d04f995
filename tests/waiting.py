# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Waiting for facts that nobody announces."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil

PATIENCE_SECONDS = 40.0
"""How long a fact may take to become true, on a machine that has other things to do, too."""

_LOOK_EVERY_SECONDS = 0.002


async def until(fact: Callable[[], Any]) -> None:
    """Let the loop go on until ``fact()`` is true."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    await asyncio.sleep(0)  # a fact from outside is true before the loop has read of it
    while not fact():
        assert time.monotonic() < deadline, "the fact did not become true"
        await asyncio.sleep(_LOOK_EVERY_SECONDS)


def block_until(fact: Callable[[], Any]) -> None:
    """Wait for ``fact()`` without letting the loop go on."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not fact():
        assert time.monotonic() < deadline, "the fact did not become true"
        time.sleep(_LOOK_EVERY_SECONDS)


def is_dead(pid: int) -> bool:
    """Whether process ``pid`` has ended, reaped or not."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True
