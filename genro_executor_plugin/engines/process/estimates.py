# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How long the calls of a function are expected to run, from how long they ran."""

from __future__ import annotations

__all__ = ["Estimates"]

SHORT_SECONDS = 0.002
"""Only calls expected to run at most this long are sent ahead: nobody waits long behind them."""

LATE_SECONDS = 0.02
"""Nothing is sent ahead to a worker whose call has run this long by the server's clock, which
also counts how late a busy event loop reads the answer."""

AHEAD_SECONDS = 0.004
"""How much work, at most, is sent ahead to one worker."""

MAX_AHEAD = 8
"""How many calls, at most, are sent ahead to one worker."""

_WEIGHT = 0.2
_BEST_CASE_SECONDS = 0.00005


class Estimates:
    """A moving mean of the run time for each function."""

    __slots__ = ("_means",)

    def __init__(self) -> None:
        self._means: dict[int, float] = {}

    def add(self, key: int, seconds: float) -> None:
        """A call of function ``key`` ran for ``seconds``."""
        if key:
            mean = self._means.get(key, seconds)
            self._means[key] = mean + _WEIGHT * (seconds - mean)

    def depth(self, key: int) -> int:
        """How many calls of function ``key`` may be sent ahead to a worker; often 0."""
        mean = self._means.get(key) if key else None
        if mean is None or mean > SHORT_SECONDS:
            return 0
        return min(MAX_AHEAD, int(AHEAD_SECONDS / max(mean, _BEST_CASE_SECONDS)))
