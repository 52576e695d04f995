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
from .environment import NO_VARIABLES, WorkerEnvironment
from .granted import granted_memory

__all__ = ["check_option"]


class _NotAllowedError(Exception):
    """Carries what would have been allowed, and whether the value may be a secret."""

    def __init__(self, allowed: str, *, hide: bool = False) -> None:
        super().__init__(allowed)
        self.hide = hide


def _count(least: int, *, optional: bool = False) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if optional and value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise _NotAllowedError(f"a whole number of at least {least}")
        return value

    return check


def _seconds(*, optional: bool = True, zero: bool = False) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if optional and value is None:
            return None
        number = not isinstance(value, bool) and isinstance(value, int | float)
        try:
            seconds = float(value) if number else math.nan
        except OverflowError:
            seconds = math.inf
        if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not zero):
            raise _NotAllowedError(f"a number of seconds {'from' if zero else 'above'} 0")
        return seconds

    return check


def _one_of(*allowed: Any) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        if not any(type(value) is type(choice) and value == choice for choice in allowed):
            raise _NotAllowedError(f"one of {', '.join(map(repr, allowed))}")
        return value

    return check


def _function(value: Any) -> Any:
    if value is not None and not callable(value):
        raise _NotAllowedError("a callable")
    return value


def _arguments(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, tuple | list):
        raise _NotAllowedError("a tuple of arguments")
    return tuple(value)


def _modules(value: Any) -> tuple[str, ...]:
    if not isinstance(value, tuple | list) or not all(isinstance(name, str) for name in value):
        raise _NotAllowedError("a list of module names")
    return tuple(value)


def _context(value: Any) -> tuple[ContextReference, ...]:
    if not isinstance(value, tuple | list):
        raise _NotAllowedError("a list of context variables, or of their names")
    try:
        return tuple(context_reference(item) for item in value)
    except (ImportError, LookupError) as error:
        raise _NotAllowedError(f"a list of context variables that workers find: {error}") from error


def _memory(value: Any) -> int | None:
    if value is None:
        return None
    allowed = "a number of bytes above 0, or a text such as '512MB', '2GiB' or '25%'"
    if isinstance(value, str) and (share := _SHARE.fullmatch(value)) is not None:
        return _share_of_memory(float(share[1]))
    if isinstance(value, str):
        match = _MEMORY.fullmatch(value)
        if match is None:
            raise _NotAllowedError(allowed)
        size = float(match[1]) * _UNITS[match[2].upper()]
        value = int(size) if math.isfinite(size) else None
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise _NotAllowedError(allowed)
    return value


def _share_of_memory(percent: float) -> int:
    granted = granted_memory()
    if not 0 < percent <= 100:
        raise _NotAllowedError("above 0 % and at most 100 % of the memory that is granted")
    if granted is None:
        raise _NotAllowedError("a number of bytes: how much memory is granted cannot be read here")
    return max(1, int(granted * percent / 100))


def _environment(value: Any) -> WorkerEnvironment:
    if isinstance(value, WorkerEnvironment):
        return value
    if value is None:
        return NO_VARIABLES
    if not isinstance(value, Mapping):
        raise _NotAllowedError("a dict of names and texts", hide=True)
    for name, text in value.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise _NotAllowedError(
                f"a dict of names and texts: {name!r} cannot be the name of a variable", hide=True
            )
        if not isinstance(text, str) or "\0" in text:
            raise _NotAllowedError(
                f"a dict of names and texts: the value of {name!r} is no text that can be one",
                hide=True,
            )
    return WorkerEnvironment.of(value)


def _gpus(value: Any) -> tuple[str, ...]:
    allowed = "a list of GPUs: numbers from 0, or their names such as 'GPU-8f2b'"
    if value is None:
        return ()
    if not isinstance(value, tuple | list | range):
        raise _NotAllowedError(allowed)
    for gpu in value:
        number = isinstance(gpu, int) and not isinstance(gpu, bool) and gpu >= 0
        if not number and not (isinstance(gpu, str) and _GPU.fullmatch(gpu)):
            raise _NotAllowedError(allowed)
    return tuple(map(str, value))


def _score(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= 1000:
        raise _NotAllowedError("a whole number from 0 to 1000; a lower score needs privileges")
    return value


def _user(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not value:
        raise _NotAllowedError("the name of a user")
    try:
        import pwd

        wanted = pwd.getpwnam(value).pw_uid
    except ImportError:
        raise _NotAllowedError("possible on this system: it has no such users") from None
    except KeyError:
        raise _NotAllowedError("the name of a user of this system") from None
    if os.geteuid() not in (0, wanted):
        raise _NotAllowedError(
            "possible: only a server that runs as root can have workers of another user; start it "
            "as root, or as that user and leave user= out"
        )
    return value


def _processors(value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    granted = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if not isinstance(value, tuple | list | set | range) or not value:
        raise _NotAllowedError(f"a list of processors out of {granted}")
    if not all(isinstance(number, int) and number in granted for number in value):
        raise _NotAllowedError(f"a list of processors out of {granted}")
    return tuple(value)


_GPU = re.compile(r"[A-Za-z0-9][\w:/.-]*(,[A-Za-z0-9][\w:/.-]*)*", re.ASCII)
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
    "max_workers": _count(1, optional=True),
    "min_workers": _count(0),
    "idle_timeout": _seconds(),
    "threads_per_worker": _count(1),
    "warm": _one_of(True, False),
    "start_timeout": _seconds(optional=False),
    "nice": _count(0),
    "cpu_affinity": _processors,
    "env": _environment,
    "gpus": _gpus,
    "memory_limit": _memory,
    "oom_score_adj": _score,
    "user": _user,
    "initializer": _function,
    "finalizer": _function,
    "initargs": _arguments,
    "preload": _modules,
    "start_method": _one_of("forkserver", "spawn"),
    "max_pending": _count(1),
    "on_overload": _one_of("wait", "fail"),
    "queue_timeout": _seconds(),
    "timeout": _seconds(),
    "soft_timeout": _seconds(),
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
}


def check_option(where: str, option: str, value: Any, pool: str | None = None) -> Any:
    """The value of ``option`` in its normal form (seconds as floats, arguments as a tuple).

    Raises:
        ExecutorConfigError: naming ``where``, the option, the value and what is allowed.
    """
    try:
        return _CHECKS[option](value)
    except _NotAllowedError as wrong:
        shown = "..." if wrong.hide else repr(value)
        raise ExecutorConfigError(f"{where}: {option}={shown} is not {wrong}", pool=pool) from None
