# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Ways to fail, and what makes a call fail at a chosen place. Workers import this module.

Whatever strikes first tells its gate that it is there, and strikes when it is let go: by then a
test has put the neighbours around it into their places.
"""

from __future__ import annotations

import os
import signal
import socket
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from worker_functions import Quit, hold, hold_async

from genro_executor_plugin.engines.process.wire import RESULT, frame
from genro_executor_plugin.worker.running import current

WAYS = (
    "raise",
    "sys.exit",
    "BaseException",
    "CancelledError",
    "os._exit",
    "SIGSEGV",
    "SIGKILL",
    "hang",
)

PARTS = {"os._exit": 10, "SIGSEGV": 40, "SIGKILL": 90_000, "hang": 24}
"""How many bytes of an answer a worker sends before it fails: half a head, half a payload, half
of one that is read in pieces, a head alone."""


class Struck(Exception):
    """What the way ``raise`` raises."""


def fall(way: str, gate: str) -> None:
    """Fail in this way; to hang is to wait at ``gate`` once more."""
    match way:
        case "raise":
            raise Struck("struck")
        case "sys.exit":
            sys.exit("struck")
        case "BaseException":
            raise Quit("struck")
        case "CancelledError":
            import asyncio

            raise asyncio.CancelledError("struck")
        case "os._exit":
            os._exit(3)
        case "SIGSEGV" | "SIGKILL":
            os.kill(os.getpid(), signal.Signals[way])
            signal.pause()
        case "hang":
            hold(gate)
        case _:
            raise AssertionError(f"no such way: {way}")


def strike(gate: str, way: str) -> None:
    hold(gate)
    fall(way, gate)


# -- at each place ----------------------------------------------------------------------------


async def strike_async(gate: str, way: str) -> None:
    """``strike`` as a coroutine; what runs beside it goes on until it falls."""
    await hold_async(gate)
    fall(way, gate)


class StruckWhenUnpickled:
    def __init__(self, gate: str, way: str) -> None:
        self._order = gate, way

    def __reduce__(self) -> Any:
        return strike if self._order[0] else _fall_here, self._order


def _fall_here(_gate: str, way: str) -> None:
    fall(way, "")


class StruckWhenPickled:
    def __init__(self, gate: str, way: str) -> None:
        self._gate, self._way = gate, way
        self._waited = False

    def __reduce__(self) -> Any:
        if not self._waited:  # a pickler that was refused is followed by another one
            self._waited = True
            hold(self._gate)
        fall(self._way, self._gate)
        return str, ("it did not fall",)


def give_struck_when_pickled(gate: str, way: str) -> Any:
    return StruckWhenPickled(gate, way)


async def give_struck_when_pickled_async(gate: str, way: str) -> Any:
    return StruckWhenPickled(gate, way)


def give_struck_when_unpickled(way: str) -> Any:
    return StruckWhenUnpickled("", way)


async def give_struck_when_unpickled_async(way: str) -> Any:
    return StruckWhenUnpickled("", way)


def send_struck_when_unpickled(way: str) -> str:
    call = current()
    assert call is not None
    call.send("struck", StruckWhenUnpickled("", way))
    return "sent"


async def send_struck_when_unpickled_async(way: str) -> str:
    return send_struck_when_unpickled(way)


def send_a_part_and_strike(gate: str, way: str) -> None:
    """Write the begin of an answer into this worker's socket, as one that dies while it sends."""
    hold(gate)
    _send_a_part(PARTS[way])
    fall(way, gate)


async def send_a_part_and_strike_async(gate: str, way: str) -> None:
    await hold_async(gate)
    _send_a_part(PARTS[way])
    fall(way, gate)


def _send_a_part(size: int) -> None:
    answer = frame(RESULT, 1, bytes(2 * size))
    # A worker was given it before it opened any other.
    descriptor = min(int(name) for name in os.listdir("/proc/self/fd") if _is_socket(int(name)))
    with socket.socket(fileno=os.dup(descriptor)) as end:
        end.sendall(answer[:size])


def _is_socket(descriptor: int) -> bool:
    with suppress(OSError):  # it was the listing's own
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    return False


def initialize(orders: str) -> None:
    """Strike as the file at ``orders`` says, if there is one."""
    obey(orders)


def obey(orders: str) -> None:
    if Path(orders).exists():
        gate, way = Path(orders).read_text().split("\n")
        strike(gate, way)


MODULE = """
import os
import strikes

if os.getpid() != {server}:
    strikes.strike({gate!r}, {way!r})

def struck():
    return "imported"

async def struck_async():
    return "imported"
"""
"""A module whose import strikes everywhere but in the server."""

PRELOADED = """
import strikes

strikes.obey({orders!r})
"""
