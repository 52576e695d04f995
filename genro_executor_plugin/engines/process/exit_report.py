# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How a worker ended, in words, with a hint where one can be given."""

from __future__ import annotations

import signal

from .launcher import ExitReport

__all__ = ["exit_words"]

_HINTS = {
    signal.SIGKILL: "the system ends processes this way when memory runs out, and so does kill -9",
    signal.SIGSEGV: "native code touched memory that it must not touch",
    signal.SIGABRT: "native code gave up",
    signal.SIGBUS: "native code touched memory that is not there; is /dev/shm full?",
    signal.SIGTERM: "somebody asked it to end",
}


def exit_words(report: ExitReport, memory: int | None = None) -> str:
    """``exit code 3``, or ``signal SIGKILL (...)``, with the worker's memory.

    Args:
        report: how it ended.
        memory: what it held when it was last looked at, in bytes.
    """
    if report.reason:
        return f"the system refused to start it: {report.reason}"
    code = report.exit_code
    if code is None:
        return "nobody could tell how (the process that would know it is gone, too)"
    if code >= 0:
        words = f"exit code {code}"
        if code == 0:
            words += " (it ended by itself; did the call use os._exit?)"
    else:
        try:
            name = signal.Signals(-code).name
            hint = _HINTS.get(signal.Signals(-code))
        except ValueError:
            name, hint = str(-code), None
        words = f"signal {name}" + (f" ({hint})" if hint else "")
    if report.peak_memory:
        words += f"; its peak memory was {report.peak_memory / 2**20:.0f} MB"
        if memory:
            words += f", {memory / 2**20:.0f} MB when it was last looked at"
    return words
