# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where code is, as text: the stack of a thread, and what a coroutine awaits.

A stack is written as tracebacks are, the most recent call last. It has names of files and
functions and line numbers, and no values. The frames of this package around the function that was
called are left out. Nothing here takes a lock or waits, because a signal handler uses it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from itertools import groupby
from types import FrameType
from typing import TYPE_CHECKING, Any, NamedTuple

from ..metrics.error_text import shortened
from .running import RunningCall, running_in

if TYPE_CHECKING:
    import asyncio

__all__ = [
    "MOST_CHARACTERS",
    "Place",
    "call_of_task",
    "stack_of_frame",
    "stack_of_task",
    "text_of",
    "users_places",
]

MOST_CHARACTERS = 16_000
"""The longest stack; of a longer one there are the beginning and the end."""

_MOST_FRAMES = 100
_MOST_STEPS = 5_000
_MOST_TASKS = 10
_SHOWN_REPEATS = 3
_NAME_CHARACTERS = 300

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_ROOMS = ("engines", "executors", "metrics", "offload", "portable", "worker")
"""The packages of this one that lie between a worker's begin and the function that it calls."""

_DOORS = {
    ("engines/process/child.py", "_run"),
    ("engines/thread.py", "_serve"),
    ("engines/thread_loop.py", "_run"),
    ("engines/thread_loop.py", "work"),
    ("worker/coroutines.py", "__await__"),
    ("worker/forks.py", "called"),
    ("worker/reading.py", "called"),
    ("worker/reading.py", "define"),
    ("worker/reading.py", "read"),
    ("worker/thread_runs.py", "run"),
}
"""The functions of this package that call the function, or read what it needs, by file and name."""


class Place(NamedTuple):
    """Where a frame is; ``line`` is a text, because native code may not know it."""

    filename: str
    line: str
    function: str

    @property
    def own(self) -> str:
        """The file within this package, if it is one that calls users' functions; else empty."""
        if not self.filename.startswith(_PACKAGE):
            return ""
        inside = self.filename[len(_PACKAGE) :].replace(os.sep, "/")
        return inside if inside.partition("/")[0] in _ROOMS else ""

    @property
    def is_door(self) -> bool:
        """Whether it calls a user's function."""
        return (self.own, self.function.rpartition(".")[2]) in _DOORS


def users_places(places: Sequence[Place]) -> list[Place]:
    """``places``, the most recent one last, without those of this package that lead to the rest."""
    begin = 0
    for number, place in enumerate(places):
        if place.is_door:
            begin = number + 1
    while begin < len(places) and places[begin].own:
        begin += 1
    return list(places[begin:])


def text_of(places: Sequence[Place], *, is_cut: bool = False) -> str:
    """``places``, the most recent one last, as a traceback has them; at most so many characters."""
    lines: list[str] = []
    for place, same in groupby(places):
        line = f'  File "{place.filename}", line {place.line}, in {place.function}'
        count = sum(1 for _ in same)
        if count <= _SHOWN_REPEATS:
            lines += [line] * count
        else:
            more = f"  [Previous line repeated {count - _SHOWN_REPEATS} more times]"
            lines += [*[line] * _SHOWN_REPEATS, more]
    return shortened("\n".join(["  [...]", *lines] if is_cut else lines), MOST_CHARACTERS)


def stack_of_frame(frame: FrameType | None) -> str:
    """The stack of the call whose most recent frame is ``frame``; empty where it has no frame."""
    places: list[Place] = []
    doors = 0
    for _ in range(_MOST_STEPS):
        if frame is None:
            break
        place = _place_of(frame)
        if len(places) < _MOST_FRAMES or place.own:
            places.append(place)
        if place.is_door:
            # From here on there is this package, or, where that is imported, the main module.
            doors = len(places)
            break
        frame = frame.f_back
    else:
        doors = -1
    if not doors:
        return ""
    found = users_places(places[::-1])
    return text_of(found, is_cut=doors < 0 or len(found) >= _MOST_FRAMES)


def stack_of_task(task: asyncio.Task[Any], awaitable: Any = None) -> str:
    """Where ``task`` is: the coroutines that await each other, and the tasks that they wait for.

    Args:
        task: it must not be the one that its event loop runs now; that one has a thread's stack.
        awaitable: what it awaits at first, its own coroutine if there is none.
    """
    parts: list[str] = []
    seen: set[int] = set()
    waiting: list[tuple[asyncio.Task[Any], Any, str]] = [(task, awaitable, "")]
    for other in _tasks_of_the_same_call(task):
        waiting.append((other, None, "which the call has started:"))
    while waiting and len(seen) < _MOST_TASKS:
        one, begun, title = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        if title:
            parts.append(f"  task {one.get_name()[:_NAME_CHARACTERS]!r}, {title}")
        places = users_places(list(_chain(begun or one.get_coro())))
        parts.append(text_of(places))
        awaited = _awaited_by(one)
        for number, next_ in enumerate(awaited):
            waiting.insert(number, (next_, None, "which is awaited here:"))
    return shortened("\n".join(filter(None, parts)), MOST_CHARACTERS)


def _place_of(frame: FrameType) -> Place:
    code = frame.f_code
    line = frame.f_lineno
    return Place(
        code.co_filename[:_NAME_CHARACTERS],
        "?" if line is None else str(line),
        code.co_qualname[:_NAME_CHARACTERS],
    )


def _chain(awaitable: Any) -> Iterator[Place]:
    """The frames of ``awaitable`` and of what it awaits, the outermost first."""
    for _ in range(_MOST_FRAMES):
        for kind in ("cr", "gi", "ag"):
            frame = getattr(awaitable, f"{kind}_frame", None)
            if frame is not None:
                place = _place_of(frame)
                yield place
                if place.own == "worker/coroutines.py" and place.is_door:
                    # It sends to the coroutine itself, so that nothing tells of it.
                    awaitable = frame.f_locals["self"].coroutine
                else:
                    next_ = "gi_yieldfrom" if kind == "gi" else f"{kind}_await"
                    awaitable = getattr(awaitable, next_)
                break
        else:
            return


def _awaited_by(task: asyncio.Task[Any]) -> list[asyncio.Task[Any]]:
    """The tasks that ``task`` waits for, directly or by ``asyncio.gather``."""
    waiter = getattr(task, "_fut_waiter", None)
    children = getattr(waiter, "_children", None) or [waiter]
    return [
        child for child in children[:_MOST_TASKS] if hasattr(child, "get_coro") and not child.done()
    ]


def _tasks_of_the_same_call(task: asyncio.Task[Any]) -> list[asyncio.Task[Any]]:
    """The other tasks that the call of ``task`` has started; none on Python 3.11."""
    call = call_of_task(task)
    if call is None:
        return []
    tasks = sys.modules["asyncio"].all_tasks(task.get_loop())
    return [one for one in tasks if one is not task and call_of_task(one) is call]


def call_of_task(task: asyncio.Task[Any]) -> RunningCall | None:
    """The call that ``task`` belongs to, which may have started it; ``None`` on Python 3.11."""
    context = getattr(task, "get_context", None)  # new in Python 3.12
    return running_in(context()) if context is not None else None
