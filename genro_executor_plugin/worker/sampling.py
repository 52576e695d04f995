# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Samples of where calls are, taken on a thread beside them.

Looking needs the interpreter, as everything in Python does. While native code keeps it, nobody can
look; the next look then finds the call still at the line that has called that code, and counts for
all of the time. The thread takes at most an eightieth of one processor, waking up included: where
stacks are deep or calls are many, there are fewer looks, and each of them counts for more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from time import perf_counter, sleep, thread_time
from types import CodeType, FrameType
from typing import Any, NamedTuple

from .stacks import Place, users_places

__all__ = ["MOST_CALLS", "Point", "Sampler", "Seen", "points_of", "points_of_coroutine"]

_SHARE = 80
"""The thread pauses for so many times as long as it has computed: what it takes of a processor, and
what the others lose because it does, are to be less than a fiftieth."""

_SLICE_SECONDS = 0.1
"""How long it sleeps at a time, at most, until it sees that nobody wants samples any more."""

MOST_CALLS = 100
"""How many calls of one process each look looks at, at most."""

MOST_STACKS = 2_000
"""How many different stacks are kept between two reports."""

_MOST_STEPS = 5_000
_OUTERMOST, _INNERMOST = 50, 150
"""How many frames of a deep stack are kept from either end."""

_FILE_CHARACTERS, _NAME_CHARACTERS = 300, 200

_COROUTINES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "coroutines.py")

Point = tuple[CodeType, int]
"""Where a frame is: its code, and the instruction in it."""


class Seen(NamedTuple):
    """A call at one moment.

    Attributes:
        call: what identifies it, as long as it runs.
        points: its frames, the most recent one first.
        began: when it began, as ``perf_counter`` has it; ``None`` where that is not known.
    """

    call: int
    points: list[Point]
    began: float | None = None


def points_of(
    frame: FrameType | None, doors: frozenset[int]
) -> tuple[list[Point], FrameType | None]:
    """The frames from ``frame`` up to the one that has called the function, and that one.

    Args:
        frame: the most recent one.
        doors: the identities of the codes that call functions.

    Returns:
        The points, the most recent one first, and ``None`` for the door where there is none.
    """
    points: list[Point] = []
    for _ in range(_MOST_STEPS):
        if frame is None:
            break
        code = frame.f_code
        if id(code) in doors:
            return points, frame
        points.append((code, frame.f_lasti))
        frame = frame.f_back
    return points, None


def points_of_coroutine(coroutine: Any) -> list[Point]:
    """The frames of ``coroutine``, which does not run just now, and of what it awaits."""
    points: list[Point] = []
    awaited = coroutine
    for _ in range(_OUTERMOST + _INNERMOST):
        for kind in ("cr", "gi", "ag"):
            frame = getattr(awaited, f"{kind}_frame", None)
            if frame is not None:
                code = frame.f_code
                points.append((code, frame.f_lasti))
                if code.co_name == "__await__" and code.co_filename == _COROUTINES:
                    # It sends to the coroutine itself, so that nothing else tells of it.
                    awaited = frame.f_locals["self"].coroutine
                else:
                    awaited = getattr(awaited, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
                break
        else:
            break
    points.reverse()
    return points


class Sampler:
    """Takes samples at a rate, and counts them.

    Args:
        rate: how many looks in a second.
        begin: when samples were wanted, as ``perf_counter`` has it: looks are due from then on.
        until: when it ends.
        look: where the calls are just now.
        goes_on: whether somebody still wants samples.
    """

    def __init__(
        self,
        rate: int,
        begin: float,
        until: float,
        look: Callable[[], Iterable[Seen]],
        goes_on: Callable[[], bool],
    ) -> None:
        self._interval = 1 / rate
        self._begin = begin
        self._until = until
        self._look = look
        self._goes_on = goes_on
        self._due = 0
        self._seen: set[int] = set()
        # By identity: a code's own hash is computed from all of its instructions each time.
        self._codes: dict[int, CodeType] = {}
        self._counts: dict[tuple[int, ...], int] = {}
        self._looks = self._missed = self._dropped = 0

    def run(self) -> Iterator[None]:
        """Take samples until the end of the time; yields behind each look."""
        at, computed = perf_counter(), thread_time()
        while self._sleep_until(at):
            now = perf_counter()
            self.take(self._look())
            if now >= self._until:
                return
            yield
            before, computed = computed, thread_time()
            pause = (computed - before) * _SHARE
            at = max(self._begin + self._due * self._interval, perf_counter() + pause)

    def _sleep_until(self, moment: float) -> bool:
        moment = min(moment, self._until)
        while self._goes_on():
            left = moment - perf_counter()
            if left <= 0:
                return True
            sleep(min(left, _SLICE_SECONDS))
        return False

    def take(self, seen: Iterable[Seen]) -> None:
        """Count where the calls that were ``seen`` are, for the time since the last look."""
        now = min(perf_counter(), self._until)
        number = max(self._due, int((now - self._begin) / self._interval)) + 1
        due, self._due = number - self._due, number
        before, self._seen = self._seen, set()
        self._looks += 1
        self._missed += due - 1
        for call, points, began in seen:
            self._seen.add(call)
            if began is not None:
                for_it = min(due, int((now - began) / self._interval) + 1)
            else:
                for_it = due if call in before else 1
            self._count(points, for_it)

    def _count(self, points: list[Point], count: int) -> None:
        if len(points) > _OUTERMOST + _INNERMOST:
            points = [*points[:_INNERMOST], *points[-_OUTERMOST:]]
        key: list[int] = []
        for code, instruction in points:
            key += (id(code), instruction)
            self._codes[id(code)] = code
        found = tuple(key)
        if found in self._counts or len(self._counts) < MOST_STACKS:
            self._counts[found] = self._counts.get(found, 0) + count
        else:
            self._dropped += count

    def told(self) -> dict[str, Any]:
        """What was counted since it was told last, as plain values (``WorkerProfile.add``)."""
        counts, self._counts = self._counts, {}
        numbers: dict[Place, int] = {}
        stacks: list[tuple[int, list[int]]] = []
        for key, count in counts.items():
            steps = zip(key[-2::-2], key[-1::-2], strict=True)
            found = [_place(self._codes[code], at) for code, at in steps]
            places = users_places(found)
            if places:  # or the function has not begun, or has just returned
                stacks.append((count, [numbers.setdefault(one, len(numbers)) for one in places]))
        told = {
            "frames": [
                (one.filename[-_FILE_CHARACTERS:], int(one.line), one.function[:_NAME_CHARACTERS])
                for one in numbers
            ],
            "stacks": stacks,
            "looks": self._looks,
            "missed": self._missed,
            "dropped": self._dropped,
        }
        self._looks = self._missed = self._dropped = 0
        return told


def _place(code: CodeType, instruction: int) -> Place:
    found = code.co_firstlineno
    for start, end, line in code.co_lines():
        if start <= instruction < end and line is not None:
            found = line
    return Place(code.co_filename, str(found), code.co_qualname)
