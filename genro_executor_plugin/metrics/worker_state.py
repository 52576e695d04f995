# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is known of one worker: plain values for displays, the console and metrics."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RunningStack", "WorkerState"]


@dataclass(frozen=True, slots=True)
class WorkerState:
    """One worker at one moment.

    Attributes:
        pid: its process id, ``None`` while it starts.
        state: ``"starting"``, ``"idle"``, ``"busy"`` or ``"leaving"``.
        route: the route of the call that has run longest in it, ``None`` for none.
        function: the function of that call.
        running_seconds: how long that call has run, 0.0 for none.
        running: how many calls run in it.
        memory_bytes: its resident memory, ``None`` when it cannot be read.
        calls: how many calls it was given.
        host: the machine that it is on, ``None`` for this one.
        agent: the name of the agent that it is, ``None`` for one that is none.
        version: what code it has, ``None`` for that of this process.
        places: how many calls it runs at a time, ``None`` where its pool decides that.
        round_trip: seconds to it and back, ``None`` when that was not measured.
        clock: seconds by which its clock is ahead of this one's, ``None`` when not measured.
        load: the load of each CPU of its machine, 1.0 for one that is busy; ``None`` when not told.
    """

    pid: int | None
    state: str
    route: str | None = None
    function: str | None = None
    running_seconds: float = 0.0
    running: int = 0
    memory_bytes: int | None = None
    calls: int = 0
    host: str | None = None
    agent: str | None = None
    version: str | None = None
    places: int | None = None
    round_trip: float | None = None
    clock: float | None = None
    load: float | None = None


@dataclass(frozen=True, slots=True)
class RunningStack:
    """Where a running call is at one moment.

    Attributes:
        pid: the process that it runs in.
        route: the route that it came from, ``None`` for none.
        function: its function.
        running_seconds: how long it has run.
        stack: its stack as a traceback has it, the most recent call last; in parentheses why it is
            not known, if it is not.
    """

    pid: int | None
    route: str | None
    function: str
    running_seconds: float
    stack: str
