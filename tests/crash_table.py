# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a call ends with, for every way to fail, at every place, in every kind of pool.

A combination that cannot be, or that is tried elsewhere in the table, says why.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from strikes import WAYS, Struck

from genro_executor_plugin import (
    ExecutorTimeoutError,
    RemoteError,
    SerializationError,
    WorkerCrashedError,
)


@dataclass(frozen=True)
class Fails:
    """The guilty call fails with ``error``, which says ``text``; its worker goes on."""

    error: type[BaseException]
    text: str = ""
    exit_code: int | None = None
    counted: str = "failed"
    kills: bool = False
    """Whether the process it ran in is gone, with whatever else ran in it."""


@dataclass(frozen=True)
class Served:
    """Nobody's call fails."""


@dataclass(frozen=True)
class Not:
    """There is nothing to try, because of ``reason``."""

    reason: str


Outcome = Fails | Served | Not

PROCESSES = ("forkserver", "spawn", "threads in workers", "coroutines in workers")
SHARED = ("threads in workers", "coroutines in workers")
HERE = ("thread", "inline", "bypass")
KINDS = (*PROCESSES, *HERE)

RAISED = WAYS[:4]
"""The ways that an ``except`` can see."""


def crashed(exit_code: int, text: str) -> Fails:
    return Fails(WorkerCrashedError, text, exit_code, counted="crashed", kills=True)


DEADLY: dict[str, Outcome] = {
    "os._exit": crashed(3, "exit code 3"),
    "SIGSEGV": crashed(-signal.SIGSEGV, "SIGSEGV"),
    "SIGKILL": crashed(-signal.SIGKILL, "SIGKILL"),
    "hang": Fails(ExecutorTimeoutError, "ran longer than", counted="timed_out", kills=True),
}

_THE_SERVER = Not("this happens in the server's process, which would be what dies or hangs")

HARMLESS_HERE: dict[str, Outcome] = {
    "os._exit": _THE_SERVER,
    "SIGSEGV": _THE_SERVER,
    "SIGKILL": _THE_SERVER,
    "hang": Fails(ExecutorTimeoutError, "ran longer than", counted="timed_out"),
}

FAULTS_OF_THE_SERVER: dict[str, Outcome] = dict.fromkeys(WAYS[4:], _THE_SERVER)


def all_ways(outcome: Outcome) -> dict[str, Outcome]:
    return dict.fromkeys(WAYS, outcome)


def raised(error: type[BaseException], text: str, counted: str = "failed") -> dict[str, Outcome]:
    """Every way that raises ends with ``error``, which says ``text`` and names what was raised."""
    names = ("Struck", "SystemExit", "Quit", "CancelledError")
    return {
        way: Fails(error, f"{text}.*{name}", counted=counted)
        for way, name in zip(RAISED, names, strict=True)
    }


def by_the_function(leaves_as: type[BaseException]) -> dict[str, Outcome]:
    """Raised by the function: an exception as it is, the others as what does no harm here."""
    return {**raised(leaves_as, ""), "raise": Fails(Struck, "struck")}


def each(kinds: tuple[str, ...], *outcomes: dict[str, Outcome]) -> dict[str, dict[str, Outcome]]:
    """The same for all these kinds; later outcomes replace earlier ones."""
    return {
        kind: {way: outcome for ways in outcomes for way, outcome in ways.items()} for kind in kinds
    }


_ONCE = Not("it happens before any call, in the same way as for plain calls and the forkserver")
_NO_PICKLING = Not("a thread is given the objects themselves")
_NO_PROCESS = Not("there is no other process")

_AS_FORKED = Not("once a worker is there, nothing knows any more how it was started")

INITIALIZER: dict[str, Outcome] = {
    **raised(WorkerCrashedError, "cannot start a worker", counted="crashed"),
    "os._exit": crashed(3, "cannot start a worker: exit code 3"),
    "SIGSEGV": crashed(-signal.SIGSEGV, "cannot start a worker: signal SIGSEGV"),
    "SIGKILL": crashed(-signal.SIGKILL, "cannot start a worker: signal SIGKILL"),
    "hang": Fails(WorkerCrashedError, "start_timeout", counted="crashed"),
}

TABLE: dict[str, dict[str, dict[str, Outcome]]] = {
    "preload": {
        "forkserver": {
            **dict.fromkeys(RAISED, Served()),
            **dict.fromkeys(
                ("os._exit", "SIGSEGV", "SIGKILL"),
                Fails(WorkerCrashedError, "cannot start a worker", counted="crashed"),
            ),
            "hang": Fails(WorkerCrashedError, "start_timeout", counted="crashed"),
        },
        **each(PROCESSES[1:], all_ways(_ONCE)),
        **each(HERE, all_ways(_NO_PROCESS)),
    },
    "import": {
        **each(PROCESSES, raised(SerializationError, "the worker does not find"), DEADLY),
        **each(HERE, all_ways(Not("who submits a function has imported it already"))),
    },
    "initializer": {
        "forkserver": INITIALIZER,
        "spawn": {**INITIALIZER, **dict.fromkeys(WAYS[1:4] + WAYS[5:], _AS_FORKED)},
        **each(PROCESSES[2:], all_ways(_ONCE)),
        **each(HERE, by_the_function(RuntimeError), HARMLESS_HERE),
    },
    "unpickling of arguments": {
        **each(PROCESSES, raised(SerializationError, "arguments of .* cannot be rebuilt"), DEADLY),
        "thread": all_ways(_NO_PICKLING),
        **each(
            ("inline", "bypass"),
            raised(SerializationError, "arguments of .* cannot be rebuilt"),
            FAULTS_OF_THE_SERVER,
        ),
    },
    "run": {
        **each(PROCESSES, by_the_function(RemoteError), DEADLY),
        **each(HERE, by_the_function(RuntimeError), HARMLESS_HERE),
        "spawn": all_ways(_AS_FORKED),
    },
    "pickling of the result": {
        **each(PROCESSES, raised(SerializationError, "result of .* cannot travel"), DEADLY),
        "thread": all_ways(_NO_PICKLING),
        **each(
            ("inline", "bypass"),
            raised(SerializationError, "result of .* cannot travel"),
            HARMLESS_HERE,
        ),
        "spawn": all_ways(_AS_FORKED),
    },
    "unpickling of the result": {
        **each(
            (*PROCESSES, "inline", "bypass"),
            raised(SerializationError, "result of .* cannot be rebuilt"),
            FAULTS_OF_THE_SERVER,
        ),
        "thread": all_ways(_NO_PICKLING),
        "spawn": all_ways(_AS_FORKED),
    },
    "unpickling of a message": {
        **each(PROCESSES, all_ways(Served()), FAULTS_OF_THE_SERVER),
        **each(HERE, all_ways(Not("a message is handed over as it is"))),
        "spawn": all_ways(_AS_FORKED),
    },
    "half a frame": {
        **each(
            PROCESSES,
            all_ways(Not("what it sends next is read as the rest; its limit ends it: as hang")),
            DEADLY,
        ),
        **each(
            SHARED,
            all_ways(Not("what it sends next is read as the rest; its limit ends it: as hang")),
            {**DEADLY, "hang": Not("what its neighbours send next is read as the rest")},
        ),
        **each(HERE, all_ways(_NO_PROCESS)),
        "spawn": all_ways(_AS_FORKED),
    },
    "worker shutdown hook": {
        "forkserver": all_ways(Served()),
        "spawn": {**all_ways(_AS_FORKED), "SIGKILL": Served()},
        **each(
            PROCESSES[2:],
            all_ways(Served()),
            {"hang": Not("who kills it does not look at what it served")},
        ),
        **each(HERE, all_ways(Not("self is no replica here, and has no such hook"))),
    },
}


def combinations() -> list[tuple[str, str]]:
    """Every kind and place where there is anything to try."""
    return [
        (kind, place)
        for place, kinds in TABLE.items()
        for kind, ways in kinds.items()
        if not all(isinstance(outcome, Not) for outcome in ways.values())
    ]
