# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a faulthandler has written, taken apart into the stacks of calls."""

from __future__ import annotations

import re

from ...worker.stacks import MOST_CHARACTERS, Place, text_of, users_places

__all__ = ["stack_in", "stacks_in"]

_FRAME = re.compile(r'^  File (?:"(.*)"|\?\?\?), line (\d+|\?\?\?) in (.*)$')
_HEAD = re.compile(r"^(Thread|Current thread|Stack)\b")
_CUT = ("  ...", "...")

_MOST_FRAMES = 100
"""How many frames of a thread a faulthandler writes, the most recent ones."""


def stack_in(text: str) -> str:
    """The stack of the call on the main thread, of which alone ``text`` tells."""
    threads = _threads_in(text)
    return _written(*threads[-1]) if threads else ""


def stacks_in(text: str) -> tuple[str, str]:
    """The stacks of the threads that run a worker's coroutines, and of those that run its calls.

    Which call a thread runs cannot be told: there are those of all threads that run one.
    """
    coroutines, calls = [], []
    for places, is_cut in _threads_in(text):
        if any(place.own == "worker/coroutines.py" for place in places):
            coroutines.append(_written(places, is_cut))
        elif any(place.own == "worker/thread_runs.py" and place.is_door for place in places):
            calls.append(_written(places, is_cut))
    return _joined(coroutines), _joined(calls)


def _joined(stacks: list[str]) -> str:
    found = [stack for stack in stacks if stack]
    if len(found) < 2:
        return "".join(found)
    lines = [f"  one of {len(found)} threads that run calls here:\n{stack}" for stack in found]
    return "\n".join(lines)[:MOST_CHARACTERS]


def _written(places: list[Place], is_cut: bool) -> str:
    is_cut = is_cut or len(places) >= _MOST_FRAMES  # not every version of Python says so
    found = users_places(places)
    if not any(place.is_door for place in places) and not is_cut:
        return ""  # it runs no call
    return text_of(found, is_cut=is_cut and len(found) == len(places))


def _threads_in(text: str) -> list[tuple[list[Place], bool]]:
    """The frames of each thread, the most recent one last, and whether some are missing."""
    threads: list[tuple[list[Place], bool]] = []
    places: list[Place] = []
    for line in text.splitlines():
        if _HEAD.match(line):
            places = []
            threads.append((places, False))
        elif threads and line in _CUT:
            threads[-1] = places, True
        elif threads and (found := _FRAME.match(line)):
            filename, number, function = found.groups()
            places.insert(0, Place(filename or "???", number.replace("???", "?"), function))
    return threads
