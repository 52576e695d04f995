# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a profile of a route consists of: plain values, and what is allowed to ask for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import ExecutorConfigError

__all__ = [
    "MOST_RATE",
    "MOST_SECONDS",
    "Frame",
    "ProfileTarget",
    "WorkerProfile",
    "check_profile",
]

LEAST_SECONDS, MOST_SECONDS = 0.1, 60.0
"""How long samples are taken at least, and at most."""

MOST_RATE = 250
"""How many samples are taken in a second, at most."""


class Frame(NamedTuple):
    """Where a function was: its file, the line in it (0 for none), and its qualified name."""

    file: str
    line: int
    function: str


@dataclass(frozen=True, slots=True)
class ProfileTarget:
    """Whose calls samples are taken of.

    Attributes:
        path: the route's, as ``CallOptions.path`` has it.
        func: its handler, as calls have it.
    """

    path: str
    func: Callable[..., Any]


@dataclass(slots=True)
class WorkerProfile:
    """Where the calls of a route were in one process, while samples were taken.

    A sample stands for the time between two looks. A look that comes late, because native code has
    kept the interpreter for itself, stands for the time that it is late as well.

    Attributes:
        pid: the process.
        rate: how many looks in a second were wanted.
        looks: how often it was looked.
        missed: how many looks were left out: native code had the interpreter, or looking took
            too much of the processor.
        stacks: how many samples found a call in that place, by its frames, the outermost first.
        dropped: how many samples are in no stack, because there were too many different ones.
        why_not: why there are no samples, empty where there could be.
    """

    pid: int | None
    rate: int
    looks: int = 0
    missed: int = 0
    stacks: Counter[tuple[Frame, ...]] = field(default_factory=Counter)
    dropped: int = 0
    why_not: str = ""

    def add(self, told: Mapping[str, Any]) -> None:
        """Count what ``Sampler.told`` has told of this process.

        Raises:
            LookupError, TypeError, ValueError: it makes no sense.
        """
        frames = [Frame(str(file), int(line), str(name)) for file, line, name in told["frames"]]
        stacks = [(tuple(frames[at] for at in places), count) for count, places in told["stacks"]]
        self.looks += int(told["looks"])
        self.missed += int(told["missed"])
        self.dropped += int(told["dropped"])
        for stack, count in stacks:
            self.stacks[stack] += int(count)


def check_profile(seconds: Any, rate: Any) -> None:
    """Refuse a profile that takes too long or looks too often.

    Raises:
        ExecutorConfigError: naming what is wrong, and what is allowed.
    """
    if (
        isinstance(seconds, bool)
        or not isinstance(seconds, int | float)
        or not LEAST_SECONDS <= seconds <= MOST_SECONDS
    ):
        raise ExecutorConfigError(
            f"seconds={seconds!r}: a profile takes from {LEAST_SECONDS:g} to {MOST_SECONDS:g} s"
        )
    if isinstance(rate, bool) or not isinstance(rate, int) or not 1 <= rate <= MOST_RATE:
        raise ExecutorConfigError(
            f"rate={rate!r}: give a whole number of samples in a second, from 1 to {MOST_RATE}"
        )
