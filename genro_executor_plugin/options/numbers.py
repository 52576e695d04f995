# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The one way in for numbers and times that come from outside: finite, and in a range.

Outside is a request, a configuration, the options of a job, an environment variable. What is not
finite compares with nothing: one NaN among the timers of an event loop makes all of them late, and
an infinite time overflows where it becomes a whole number.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

from ..errors import ExecutorConfigError

__all__ = [
    "MAX_COUNT",
    "MAX_SECONDS",
    "MAX_WORKERS",
    "NotAllowedError",
    "check_seconds",
    "count_of",
    "seconds_of",
    "shown",
]

MAX_SECONDS = 10 * 365 * 86_400.0
"""The longest time that can be given: ten years. Whoever wants no limit gives none."""

MAX_COUNT = 1_000_000_000
"""The largest count that can be given, of calls, jobs or repetitions."""

MAX_WORKERS = 10_000
"""The most workers of a pool. Above it, it is a mistake: no machine has the processes."""


class NotAllowedError(ValueError):
    """A value is not allowed; the message says what would be: ``"a whole number of ..."``."""


def seconds_of(
    value: Any, *, zero: bool = False, most: float = MAX_SECONDS, text: bool = False
) -> float:
    """``value`` as a number of seconds: finite, not negative, and at most ``most``.

    Args:
        value: what came from outside.
        zero: whether 0 is allowed.
        most: the largest number that is allowed.
        text: whether a number that is written as text is taken, too.

    Raises:
        NotAllowedError: it is not; the message says what is.
    """
    seconds = _float_of(value, text)
    if not (0 <= seconds <= most) or (seconds == 0 and not zero):
        limit = "" if most == MAX_SECONDS else f" and at most {most:g}"
        raise NotAllowedError(f"a number of seconds {'from' if zero else 'above'} 0{limit}")
    return seconds


def count_of(value: Any, least: int, most: int = MAX_COUNT, *, text: bool = False) -> int:
    """``value`` as a whole number from ``least`` to ``most``.

    Args:
        value: what came from outside.
        least: the smallest number that is allowed.
        most: the largest one.
        text: whether a number that is written as text, or as ``3.0``, is taken, too.

    Raises:
        NotAllowedError: it is not; the message says what is.
    """
    if text:
        number = _float_of(value, text)
        value = int(number) if math.isfinite(number) and number == int(number) else None
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        limit = "" if most == MAX_COUNT else f" and at most {most}"
        raise NotAllowedError(f"a whole number of at least {least}{limit}")
    return value


def check_seconds(where: str, name: str, value: Any, *, zero: bool = True) -> float | None:
    """``value`` as a number of seconds; ``None`` stays ``None``.

    Raises:
        ExecutorConfigError: naming ``where``, ``name``, the value and what is allowed.
    """
    if value is None:
        return None
    try:
        return seconds_of(value, zero=zero)
    except NotAllowedError as wrong:
        raise ExecutorConfigError(f"{where}: {name}={shown(value)} is not {wrong}") from None


def shown(value: Any) -> str:
    """``value`` for a message, cut: a number may have as many digits as a request can hold."""
    try:
        text = repr(value)
    except ValueError:  # an int with more digits than Python converts
        text = "a number of thousands of digits"
    return text if len(text) <= 100 else f"{text[:100]}..."


def _float_of(value: Any, text: bool) -> float:
    """``value`` as a float, NaN if it is no number."""
    kinds = (int, float, Decimal, str) if text else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds):
        return math.nan
    try:
        return float(value)
    except ValueError:
        return math.nan
    except OverflowError:
        return math.inf
