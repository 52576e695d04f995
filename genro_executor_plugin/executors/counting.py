# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How the calls of a pool are counted, and what their outcomes are called."""

from __future__ import annotations

import logging

from ..engines.call import Call
from ..errors import (
    ExecutorClosedError,
    ExecutorOverloadError,
    ExecutorTimeoutError,
    WorkerCrashedError,
)
from ..metrics.counters import PoolMetrics
from ..metrics.incidents import remote_traceback
from ..portable.references import describe
from ..portable.tracebacks import function_frames

__all__ = ["count_error", "tell_of_times"]

_logger = logging.getLogger("genro_executor_plugin")


def count_error(pool: str, counters: PoolMetrics, call: Call, error: BaseException) -> None:
    """Count ``call``, which ended with ``error``; remember and report what is worth looking at."""
    outcome = "failed" if call.raised else _outcome_of(error)
    counters.count(call.options.path, outcome)
    if outcome == "rejected":
        counters.count_rejection(getattr(error, "reason", "full"))
    elif getattr(error, "status", 500) >= 500:  # below, it is an answer and no mistake
        function = describe(call.func)
        counters.incidents.add(outcome, call.options.path, function, error)
        if counters.reports is not None:
            told = {"function": function, "outcome": outcome}
            if text := remote_traceback(error):
                told["worker_traceback"] = text
            if stack := getattr(error, "stack", ""):
                told["stack"] = str(stack)
            frames = function_frames(error.__traceback__)
            if frames is error.__traceback__:
                # They are this package's alone, and their variables are what the call was given.
                frames = None
            counters.reports.add(error, frames, pool, call.options.path or None, told)


def tell_of_times(pool: str, waited: object, ran: object) -> None:
    """Log that an engine has set what is no number of seconds."""
    _logger.error(
        "pool %r: its engine says that a call waited %r and ran %r; give seconds",
        *(pool, waited, ran),
    )


def _outcome_of(error: BaseException) -> str:
    if isinstance(error, ExecutorOverloadError | ExecutorClosedError):
        return "rejected"
    if isinstance(error, ExecutorTimeoutError):
        return "timed_out"
    return "crashed" if isinstance(error, WorkerCrashedError) else "failed"
