# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How a worker ended: exit code or signal, put into words, with a hint where one can be given.

Made by the launcher, told to callers by ``ended`` and ``backoff``. It touches no process.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace

from .oom import why_sigkill

__all__ = ["BROKEN_LOOP", "ExitReport", "is_ending", "starts_too_long"]

BROKEN_LOOP = 71
"""The exit code of a worker whose event loop a coroutine has closed."""

_EXITING = 0x4
"""``PF_EXITING`` of the kernel, among the flags in ``/proc/PID/stat``."""

_HINTS = {
    signal.SIGSEGV: "native code touched memory that it must not touch",
    signal.SIGABRT: "native code aborted the process",
    signal.SIGBUS: "native code touched memory that is not there; is /dev/shm full?",
    signal.SIGTERM: "another process asked it to end",
}


@dataclass(frozen=True, slots=True)
class ExitReport:
    """How a worker ended.

    Attributes:
        exit_code: its exit code, negative for a signal; ``None`` when it is not known.
        peak_memory: the most memory it ever held, in bytes; 0 when it is not known.
        reason: why it could not be started at all, empty for one that was.
        supposed: why it was not, as far as can be said, where nothing else tells.
        again: whether it was never started, for a reason that is no longer there.
        oom_kills_before: ``oom_kills()`` when it was started.
        cut_off: whether it was alive when its connection ended, and was ended for that.
    """

    exit_code: int | None
    peak_memory: int = 0
    reason: str = ""
    supposed: str = ""
    again: bool = False
    oom_kills_before: int | None = None
    cut_off: bool = False

    def of(self, oom_kills_before: int | None, cut_off: bool) -> ExitReport:
        """This report with what its worker's other end knows."""
        return replace(self, oom_kills_before=oom_kills_before, cut_off=cut_off)

    def in_words(self, memory: int | None = None) -> str:
        """``exit code 3``, or ``signal SIGKILL (...)``, with the worker's memory.

        Args:
            memory: how much it held when it was last looked at, in bytes.
        """
        if self.cut_off:
            return (
                "its connection to the server had ended, so the server ended it. Does the call "
                "close files that are not its own?"
            )
        if self.reason:
            return self.reason
        code = self.exit_code
        if code is None:
            return self.supposed or "how is not known (the process that could tell is gone, too)"
        if code >= 0:
            words = f"exit code {code}"
            if code == BROKEN_LOOP:
                words += " (a coroutine closed the worker's event loop, or the loop's descriptors)"
            elif code == 0:
                words += " (it ended by itself; did the call use os._exit?)"
        else:
            try:
                name = signal.Signals(-code).name
                hint = _HINTS.get(signal.Signals(-code))
            except ValueError:
                name, hint = str(-code), None
            if code == -signal.SIGKILL:
                hint = why_sigkill(self.oom_kills_before, self.peak_memory)
            words = f"signal {name}" + (f" ({hint})" if hint else "")
        if self.peak_memory:
            words += f"; its peak memory was {self.peak_memory / 2**20:.0f} MB"
            if memory:
                words += f", {memory / 2**20:.0f} MB when it was last looked at"
        return words


def is_ending(pid: int) -> bool:
    """Whether process ``pid`` has ended or is about to; true also where that cannot be seen."""
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            fields = file.read().rpartition(b")")[2].split()
        return fields[0] in (b"Z", b"X") or bool(int(fields[6]) & _EXITING)
    except (OSError, IndexError, ValueError):
        return True


def starts_too_long(seconds: float) -> TimeoutError:
    """Why a worker is given up that was not ready after ``seconds``."""
    return TimeoutError(
        f"it was not ready after {seconds:g} s, its start_timeout; what its initializer or a "
        "module waits for does not come"
    )
