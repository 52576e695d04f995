# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The functions that workers run while they are measured."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

__all__ = ["compute", "nothing", "sleep", "timed"]

SLEEP_SECONDS = 0.02
COMPUTE_ROUNDS = 60_000


def nothing() -> None:
    """Do nothing, so that the cost of the call is all that is measured."""


def compute() -> int:
    """A computation of some milliseconds that waits for nothing."""
    return sum(number * number for number in range(COMPUTE_ROUNDS))


def sleep() -> None:
    """A wait of 20 ms that computes nothing, as for a database or another server."""
    time.sleep(SLEEP_SECONDS)


def timed(func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[float]:
    """Run ``func``; return how many seconds it took and how many of CPU time this process used."""
    wall, cpu = time.perf_counter(), time.process_time()
    func(*args, **kwargs)
    return [time.perf_counter() - wall, time.process_time() - cpu]
