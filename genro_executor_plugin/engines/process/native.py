# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What Linux says of a process that is to tell where it is: may it be sent a signal, and is it in
native code?

A signal whose handler is gone would end the process, and one that the process holds back would
come when nobody waits for it.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass

__all__ = ["NativeCode", "Status", "status_of"]

_MAIN_SECONDS = 0.001
"""A main thread that has computed for so long since it was asked runs no Python: it would have
answered at one of its next instructions."""

_ALONE_SHARE = 0.1
"""How much the other threads may compute beside the one that is in native code, measured by that
one: those that wait for the interpreter wake up now and then."""

_ALONE_TIMES = 3
"""How often the main thread has to wake up, and find that the same thread has gone on computing.
Each time it asks for the interpreter, and Python would give it to some thread at once."""

_STILL_SECONDS = 0.012
"""How long a process whose threads all wait is looked at, at least."""

_STILL_LOOKS = 4
"""How many times, one behind the other, they were all seen to wait."""

_TICKS = os.sysconf("SC_CLK_TCK")

_WAITING = "SD"


@dataclass(frozen=True, slots=True)
class Status:
    """A process at one moment.

    Attributes:
        state: the letter of its main thread's state; ``"?"`` where it cannot be seen.
        blocked: the signals that its main thread holds back, as bits.
        caught: the signals that it has handlers for.
        pending: the signals that have not reached it.
        waits: how often its main thread has begun to wait.
    """

    state: str
    blocked: int
    caught: int
    pending: int
    waits: int = 0

    def why_not(self, *signals: int) -> str:
        """Why it cannot be asked with ``signals``; empty if it can."""
        if self.state == "?":
            return "its process cannot be looked at"
        if self.state in "Tt":
            return "its process is stopped (SIGSTOP, or a debugger)"
        if self.state in "ZX":
            return "its process has just ended"
        for number in signals:
            if not self.caught & _bit(number):
                return f"code in it has replaced the handler of signal {number}, which is to tell"
            if self.blocked & _bit(number):
                return f"code in it holds signal {number} back, which is to have it tell"
        return ""

    def has_got(self, number: int) -> bool:
        """Whether it has been reached by signal ``number``."""
        return not self.pending & _bit(number)


def _bit(number: int) -> int:
    return 1 << (number - 1)


def status_of(pid: int) -> Status:
    """The status of process ``pid`` as it is now."""
    found = {"State": "?", "SigBlk": "0", "SigCgt": "0", "SigPnd": "0", "ShdPnd": "0"}
    found["voluntary_ctxt_switches"] = "0"
    with suppress(OSError), open(f"/proc/{pid}/status", "rb", buffering=0) as file:
        for line in file.read().decode("ascii", "replace").splitlines():
            name, _, value = line.partition(":")
            if name in found:
                found[name] = value.strip()
    pending = int(found["SigPnd"], 16) | int(found["ShdPnd"], 16)
    blocked, caught = int(found["SigBlk"], 16), int(found["SigCgt"], 16)
    waits = int(found["voluntary_ctxt_switches"])
    return Status(found["State"][:1], blocked, caught, pending, waits)


class NativeCode:
    """Whether a process that was asked, and has not answered, is in native code.

    Only there may the faulthandler look at it: no frame changes meanwhile.

    Args:
        pid: of the process.
        ask: the signal that it was asked with.
        all_threads: whether the calls run on other threads than the main one. They have to be
            still as well, because somebody else's stack is read.
    """

    def __init__(self, pid: int, ask: int, *, all_threads: bool) -> None:
        self._pid = pid
        self._ask = ask
        self._all_threads = all_threads
        self._since: float | None = None
        self._still_since = 0.0
        self._begun: dict[str, float] = {}
        self._still = self._waits = 0
        self._at_wake: dict[str, float] = {}
        self._alone = ""
        self._alone_times = 0

    def sleeps(self, now: float) -> bool:
        """Whether the main thread waits for something in the system, and has since the last look.

        Nothing of Python's changes meanwhile, as in any other native code.
        """
        if self._all_threads or status_of(self._pid).state not in _WAITING:
            return False
        before, self._begun = self._begun, self._seconds()
        return before == self._begun

    def is_sure(self, now: float) -> bool:
        """Whether it is in native code for sure, at the time ``now``, in seconds."""
        status = status_of(self._pid)
        if not status.has_got(self._ask):
            return False
        if self._since is None:
            self._since = self._still_since = now
            self._begun = self._seconds()
            self._waits, self._at_wake = status.waits, self._begun
            return not self._all_threads and status.state in _WAITING
        seconds = self._seconds()
        used = _growth(self._begun, seconds)
        if not self._all_threads:
            return status.state in _WAITING or sum(used.values()) >= _MAIN_SECONDS
        if status.waits > self._waits:
            self._main_woke(seconds)
            self._waits = status.waits
        if self._alone_times >= _ALONE_TIMES:
            return True
        # A thread that sleeps in the system, and holds the interpreter: it computes nothing at all,
        # and no other one can, but for the main thread, which wakes up now and then.
        main = f"/proc/{self._pid}/task/{self._pid}"
        if any(used[thread] > 0.0 for thread in used if thread != main):
            self._begun, self._still_since, self._still = seconds, now, 0
            return False
        self._still = self._still + 1 if self._all_wait() else 0
        return now - self._still_since >= _STILL_SECONDS and self._still >= _STILL_LOOKS

    def _main_woke(self, seconds: dict[str, float]) -> None:
        """Look which thread has computed since the main thread woke up last, if it was one."""
        used = _growth(self._at_wake, seconds)
        if sum(used.values()) < _MAIN_SECONDS:
            return  # on a busy machine it takes several times until one of them has computed
        self._at_wake = seconds
        alone = max(used, key=lambda thread: used[thread], default="")
        most = used.get(alone, 0.0)
        if most < _MAIN_SECONDS or sum(used.values()) - most > most * _ALONE_SHARE:
            self._alone, self._alone_times = "", 0
        elif alone == self._alone:
            self._alone_times += 1
        else:
            self._alone, self._alone_times = alone, 1

    def _threads(self) -> list[str]:
        folder = f"/proc/{self._pid}/task"
        with suppress(OSError):
            return [f"{folder}/{name}" for name in os.listdir(folder)]
        return []

    def _seconds(self) -> dict[str, float]:
        """How much of a processor its main thread, or each of all, has used."""
        main = f"/proc/{self._pid}/task/{self._pid}"
        return {
            thread: _used(thread) for thread in (self._threads() if self._all_threads else [main])
        }

    def _all_wait(self) -> bool:
        return all(_stat(thread)[:1] in (["S"], ["D"]) for thread in self._threads())


def _growth(before: dict[str, float], now: dict[str, float]) -> dict[str, float]:
    return {thread: seconds - before.get(thread, seconds) for thread, seconds in now.items()}


def _used(thread: str) -> float:
    with suppress(OSError, ValueError, IndexError), open(f"{thread}/schedstat", "rb") as file:
        return int(file.read().split()[0]) / 1e9
    with suppress(ValueError, IndexError):
        fields = _stat(thread)
        return (int(fields[11]) + int(fields[12])) / _TICKS
    return 0.0


def _stat(thread: str) -> list[str]:
    """The fields of a thread from its state on; empty if it has ended."""
    with suppress(OSError), open(f"{thread}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].decode("ascii").split()
    return []
