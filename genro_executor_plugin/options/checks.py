# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What each option of a pool may be, and its normal form.

A mistake names the pool, the option, the value and what is allowed.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..errors import ExecutorConfigError
from .context_variables import ContextReference, context_reference
from .keys import KeyName, key_of
from .numbers import (
    MAX_COUNT,
    MAX_SECONDS,
    MAX_WORKERS,
    NotAllowedError,
    count_of,
    seconds_of,
    shown,
)
from .worker_checks import (
    SecretNotAllowedError,
    environment,
    gpus,
    score,
    share_of_memory,
    user,
)

__all__ = ["check_option"]


MAX_SOFT_TIMEOUT_SECONDS = 4_000_000.0
"""A worker is told its soft limit in milliseconds, in 32 bits."""


def _count(least: int, most: int = MAX_COUNT, *, optional: bool = False) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        return None if optional and value is None else count_of(value, least, most)

    return check


def _seconds(
    *, optional: bool = True, zero: bool = False, most: float = MAX_SECONDS
) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if optional and value is None:
            return None
        return seconds_of(value, zero=zero, most=most)

    return check


def _one_of(*allowed: Any) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not any(type(value) is type(choice) and value == choice for choice in allowed):
            raise NotAllowedError(f"one of {', '.join(map(repr, allowed))}")
        return value

    return check


def _function(value: Any) -> Any:
    if value is not None and not callable(value):
        raise NotAllowedError("a callable")
    return value


def _arguments(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list):
        raise NotAllowedError("a tuple of arguments")
    return tuple(value)


def _modules(value: Any) -> tuple[str, ...]:
    if not isinstance(value, tuple | list) or not all(isinstance(name, str) for name in value):
        raise NotAllowedError("a list of module names")
    return tuple(value)


def _context(value: Any) -> tuple[ContextReference, ...]:
    if not isinstance(value, tuple | list):
        raise NotAllowedError("a list of context variables, or of their names")
    try:
        return tuple(context_reference(item) for item in value)
    except (ImportError, LookupError) as error:
        raise NotAllowedError(f"a list of context variables that workers find: {error}") from error


def _memory(value: Any) -> int | None:
    if value is None:
        return None
    allowed = "a number of bytes above 0, or a text such as '512MB', '2GiB' or '25%'"
    if isinstance(value, str) and (share := _SHARE.fullmatch(value)) is not None:
        return share_of_memory(float(share[1]))
    if isinstance(value, str):
        match = _MEMORY.fullmatch(value)
        if match is None:
            raise NotAllowedError(allowed)
        size = float(match[1]) * _UNITS[match[2].upper()]
        value = int(size) if math.isfinite(size) else None
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise NotAllowedError(allowed)
    return value


def _processors(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    granted = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if not isinstance(value, tuple | list | set | range) or not value:
        raise NotAllowedError(f"a list of processors out of {granted}")
    if not all(isinstance(number, int) and number in granted for number in value):
        raise NotAllowedError(f"a list of processors out of {granted}")
    return tuple(value)


def _key(value: Any) -> Any:
    return value if isinstance(value, KeyName) else key_of(value)


_SHARE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*%\s*", re.ASCII)
_MEMORY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?I?B|)\s*", re.IGNORECASE)
_UNITS = {
    "": 1,
    "B": 1,
    **{f"{unit}B": 1000 ** (power + 1) for power, unit in enumerate("KMGT")},
    **{f"{unit}IB": 1024 ** (power + 1) for power, unit in enumerate("KMGT")},
    "IB": 1,
}


_CHECKS: Mapping[str, Callable[[Any], Any]] = {
    "max_workers": _count(1, MAX_WORKERS, optional=True),
    "min_workers": _count(0, MAX_WORKERS),
    "idle_timeout": _seconds(),
    "threads_per_worker": _count(1, MAX_WORKERS),
    "warm": _one_of(True, False),
    "start_timeout": _seconds(optional=False),
    "nice": _count(0, 19),
    "cpu_affinity": _processors,
    "env": environment,
    "gpus": gpus,
    "memory_limit": _memory,
    "oom_score_adj": score,
    "user": user,
    "initializer": _function,
    "finalizer": _function,
    "initargs": _arguments,
    "preload": _modules,
    "start_method": _one_of("forkserver", "spawn"),
    "max_waiting": _count(0, optional=True),
    "max_pending": _count(1),
    "on_overload": _one_of("wait", "fail"),
    "queue_timeout": _seconds(),
    "timeout": _seconds(),
    "soft_timeout": _seconds(most=MAX_SOFT_TIMEOUT_SECONDS),
    "retries": _count(0),
    "on_cancel": _one_of("kill", "abandon"),
    "max_tasks_per_child": _count(1, optional=True),
    "max_memory_per_child": _memory,
    "max_lifetime": _seconds(),
    "shutdown_timeout": _seconds(optional=False, zero=True),
    "abandon_on_timeout": _one_of(True, False),
    "bypass": _one_of(True, False, "fast"),
    "context": _context,
    "idle": _seconds(),
    "send_timeout": _seconds(),
    "key": _key,
    "key_serial": _one_of(True, False),
    "job_arguments": _one_of("drop", "keep", "show"),
    "job_log": _one_of(True, False),
}


def check_option(where: str, option: str, value: Any, pool: str | None = None) -> Any:
    """The value of ``option`` in its normal form (seconds as floats, arguments as a tuple).

    Raises:
        ExecutorConfigError: naming ``where``, the option, the value and what is allowed.
    """
    try:
        return _CHECKS[option](value)
    except NotAllowedError as wrong:
        seen = "..." if isinstance(wrong, SecretNotAllowedError) else shown(value)
        raise ExecutorConfigError(f"{where}: {option}={seen} is not {wrong}", pool=pool) from None
