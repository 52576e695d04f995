# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The options of a pool: what they are, what they may be, and which kind keeps which.

A pool's options are checked once, when the pool is declared, and never change shape afterwards.
A mistake names the pool, the option, the value and what is allowed.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from ..errors import ExecutorConfigError
from .context_variables import ContextReference, context_reference

__all__ = [
    "BYPASS_VARIABLE",
    "CALL_OPTIONS",
    "KINDS",
    "CallOptions",
    "PoolOptions",
    "check_option",
    "granted_cpus",
    "kind_of",
]

BYPASS_VARIABLE = "GENRO_EXECUTOR_BYPASS"
"""The environment variable that runs every pool inline: ``1``, or ``fast`` (no serialization)."""

CALL_OPTIONS = ("timeout", "soft_timeout", "queue_timeout", "on_overload", "retries", "idle")
"""The options of a pool that a route or a call may set for itself."""

KINDS = {"inline": "inline", "thread": "thread", "local": "process", "process": "process"}
"""The accepted spellings of ``executor_type``, and the kind each one means."""


def granted_cpus() -> int:
    """How many CPUs this process may use: what the scheduler grants, not what the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0)) or 1
    return os.cpu_count() or 1


def kind_of(executor_type: object, pool: str, others: Sequence[str] = ()) -> str:
    """The kind that ``executor_type`` names: ``inline``, ``thread`` or ``process``."""
    kind = KINDS.get(executor_type) if isinstance(executor_type, str) else None
    if kind is None:
        raise ExecutorConfigError(
            f"pool {pool!r}: executor_type={executor_type!r} is not a kind of pool; "
            f"use one of {', '.join(map(repr, (*KINDS, *others)))}",
            pool=pool,
        )
    return kind


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How one call is run. ``None`` means: as the pool says.

    Attributes:
        timeout: seconds the run may take, counted from its start.
        soft_timeout: seconds after which ``SoftTimeoutError`` is raised in the run.
        queue_timeout: seconds the call may wait before its run starts.
        on_overload: ``"wait"`` or ``"fail"`` when the pool has ``max_pending`` calls.
        retries: how often the call is sent again after its worker crashed.
        idle: seconds that may pass before the next chunk of a stream is there.
        route: the route the call came from, for errors.
        path: that route with its application and sections, for metrics; empty without one.
    """

    timeout: float | None = None
    soft_timeout: float | None = None
    queue_timeout: float | None = None
    on_overload: str | None = None
    retries: int | None = None
    idle: float | None = None
    route: str | None = None
    path: str = ""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """What a pool was declared with, checked and complete.

    Times are seconds as floats. ``None`` means no limit, but for ``max_workers``: there it has
    been replaced by the kind's default.
    """

    max_workers: int
    min_workers: int = 0
    idle_timeout: float | None = None
    threads_per_worker: int = 1
    warm: bool = False
    start_timeout: float = 120.0
    nice: int = 0
    cpu_affinity: tuple[int, ...] | None = None
    initializer: Callable[..., Any] | None = None
    initargs: tuple[Any, ...] = ()
    finalizer: Callable[[], Any] | None = None
    preload: tuple[str, ...] = ()
    start_method: str = "forkserver"
    max_pending: int = 100
    on_overload: str = "wait"
    queue_timeout: float | None = None
    timeout: float | None = None
    soft_timeout: float | None = None
    retries: int = 0
    on_cancel: str = "kill"
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None
    max_lifetime: float | None = None
    shutdown_timeout: float = 10.0
    abandon_on_timeout: bool = False
    bypass: bool | str = False
    context: tuple[ContextReference, ...] = ()
    idle: float | None = None

    @classmethod
    def declare(cls, pool: str, kind: str, given: Mapping[str, Any]) -> PoolOptions:
        """Check ``given`` for a pool of ``kind`` and complete it with the defaults.

        Raises:
            ExecutorConfigError: an option is unknown, has a wrong type or an impossible value,
                or is one that this kind of pool cannot keep.
        """
        options = cls._checked(pool, kind, given)
        if isinstance(options, list):
            raise ExecutorConfigError.of((text for _, text in options), pool=pool)
        return options

    @classmethod
    def mistakes(cls, pool: str, kind: str, given: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Everything that is wrong with ``given``: the option, and what is wrong, in words.

        It is empty when ``declare`` takes ``given``.
        """
        options = cls._checked(pool, kind, given)
        return options if isinstance(options, list) else []

    @classmethod
    def _checked(
        cls, pool: str, kind: str, given: Mapping[str, Any]
    ) -> PoolOptions | list[tuple[str, str]]:
        """The complete options, or every mistake in ``given``."""
        known = {field.name for field in fields(cls)}
        refused = _REFUSED[kind]
        values: dict[str, Any] = {}
        wrong: list[tuple[str, str]] = []
        for option, value in given.items():
            if option not in known:
                allowed = ", ".join(sorted(known - refused.keys()))
                text = f"unknown option {option!r}; a {kind} pool takes {allowed}"
                wrong.append((option, f"pool {pool!r}: {text}"))
            elif option in refused and value != _DEFAULTS[option]:
                text = f"{option}={value!r} is not for a {kind} pool: {refused[option]}"
                wrong.append((option, f"pool {pool!r}: {text}"))
            else:
                try:
                    values[option] = check_option(f"pool {pool!r}", option, value, pool)
                except ExecutorConfigError as error:
                    wrong.append((option, str(error)))
        if wrong:
            return wrong
        if values.get("max_workers") is None:
            values["max_workers"] = granted_cpus() if kind == "process" else 40
        options = cls(**values)
        return list(_contradictions(pool, kind, options)) or options

    def with_preload(self, modules: tuple[str, ...]) -> PoolOptions:
        """These options, with ``modules`` imported ahead as well."""
        return replace(self, preload=tuple(dict.fromkeys((*self.preload, *modules))))

    def resized(self, pool: str, max_workers: int) -> PoolOptions:
        """These options with another ``max_workers``.

        Raises:
            ExecutorConfigError: not a whole number of at least 1, or below ``min_workers``.
        """
        checked = check_option(f"pool {pool!r}", "max_workers", max_workers)
        options = replace(self, max_workers=checked or granted_cpus())
        wrong = list(_contradictions(pool, "process", options))
        if wrong:
            raise ExecutorConfigError.of((text for _, text in wrong), pool=pool)
        return options

    @property
    def effective_bypass(self) -> bool | str:
        """``bypass`` as the environment has it: ``False``, ``True`` or ``"fast"``."""
        wanted = os.environ.get(BYPASS_VARIABLE, "").strip().lower()
        if wanted == "fast":
            return "fast"
        if wanted not in ("", "0", "false", "no", "off"):
            return self.bypass or True
        return self.bypass


def _contradictions(pool: str, kind: str, options: PoolOptions) -> Iterator[tuple[str, str]]:
    """What does not go together in ``options``: an option concerned, and what is wrong."""
    if kind != "process" and options.timeout is not None and not options.abandon_on_timeout:
        yield (
            "timeout",
            f"pool {pool!r}: timeout={options.timeout!r} is not for a {kind} pool: a thread "
            "cannot be killed. Use a process pool, or add abandon_on_timeout=True: the caller "
            "then gets its error in time, and the slot stays taken until the thread is done",
        )
    if options.min_workers > options.max_workers:
        yield (
            "min_workers",
            f"pool {pool!r}: min_workers={options.min_workers} is more than "
            f"max_workers={options.max_workers}",
        )
    soft, hard = options.soft_timeout, options.timeout
    if soft is not None and hard is not None and soft >= hard:
        yield (
            "soft_timeout",
            f"pool {pool!r}: soft_timeout={soft:g} is not below timeout={hard:g}; the function "
            "needs time to clean up in between",
        )
    if soft is not None and options.threads_per_worker > 1:
        yield (
            "soft_timeout",
            f"pool {pool!r}: soft_timeout={soft:g} does not go with threads_per_worker="
            f"{options.threads_per_worker}: it interrupts a worker's main thread only",
        )
    if options.initargs and options.initializer is None:
        yield (
            "initargs",
            f"pool {pool!r}: initargs={options.initargs!r} without an initializer; "
            "give initializer= too",
        )


class _NotAllowedError(Exception):
    """Carries what would have been allowed."""


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
    allowed = "a number of bytes above 0, or a text such as '512MB' or '2GiB'"
    if isinstance(value, str):
        match = _MEMORY.fullmatch(value)
        if match is None:
            raise _NotAllowedError(allowed)
        size = float(match[1]) * _UNITS[match[2].upper()]
        value = int(size) if math.isfinite(size) else None
    if isinstance(value, bool) or not isinstance(value, int) or value <= 0:
        raise _NotAllowedError(allowed)
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

_DEFAULTS = {field.name: field.default for field in fields(PoolOptions)}

_NO_PROCESS = "it has no worker process"
_NOT_KILLED = "it runs in the server's process, where nothing can be killed"
_ONLY_PROCESSES: Mapping[str, str] = {
    "preload": _NO_PROCESS,
    "start_method": _NO_PROCESS,
    "min_workers": _NO_PROCESS,
    "idle_timeout": _NO_PROCESS,
    "threads_per_worker": _NO_PROCESS,
    "warm": _NO_PROCESS,
    "start_timeout": _NO_PROCESS,
    "nice": _NO_PROCESS,
    "cpu_affinity": _NO_PROCESS,
    "max_tasks_per_child": _NO_PROCESS,
    "max_memory_per_child": _NO_PROCESS,
    "max_lifetime": _NO_PROCESS,
    "retries": "it runs in the server's process, and does not crash alone",
    "on_cancel": _NOT_KILLED,
    "soft_timeout": _NOT_KILLED,
}
_REFUSED: Mapping[str, Mapping[str, str]] = {
    "process": {"abandon_on_timeout": "a process that is over its timeout is killed"},
    "thread": _ONLY_PROCESSES,
    "inline": _ONLY_PROCESSES,
}
"""What a kind of pool cannot keep, and why."""


def check_option(where: str, option: str, value: Any, pool: str | None = None) -> Any:
    """The value of ``option`` in its normal form (seconds as floats, arguments as a tuple).

    Raises:
        ExecutorConfigError: naming ``where``, the option, the value and what is allowed.
    """
    try:
        return _CHECKS[option](value)
    except _NotAllowedError as wrong:
        raise ExecutorConfigError(
            f"{where}: {option}={value!r} is not {wrong}", pool=pool
        ) from None
