# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The results of measurements, as plain values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Machine", "Measured", "Overhead", "Point", "Subject"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A function to measure, with the arguments it is called with."""

    name: str
    func: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine that was measured.

    Attributes:
        cpus: the CPUs this process may use.
        load: the load average of the last minute before the start, ``None`` where there is none.
        python: the version of Python.
    """

    cpus: int
    load: float | None
    python: str


@dataclass(frozen=True, slots=True)
class Overhead:
    """The cost of a call that does nothing, in one kind of pool.

    Attributes:
        kind: ``process`` or ``thread``.
        p50_us: microseconds of a call, one after the other: the median.
        p99_us: the same, which 99 of 100 calls stay below.
        per_second: calls in a second with 64 callers.
    """

    kind: str
    p50_us: float
    p99_us: float
    per_second: float


@dataclass(frozen=True, slots=True)
class Point:
    """The throughput of one function with a number of workers."""

    workers: int
    calls: int
    per_second: float


@dataclass(frozen=True, slots=True)
class Measured:
    """The results for one function.

    Attributes:
        name: what it was called on the command line.
        run_ms: milliseconds of one run, alone: the median.
        cpu_share: how much of that was spent computing, from 0 to 1.
        worker_mb: memory of one worker after it has run, in MB.
        points: the throughput by number of workers, rising.
    """

    name: str
    run_ms: float
    cpu_share: float
    worker_mb: float
    points: tuple[Point, ...]
