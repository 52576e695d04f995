# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The options of a pool, complete and checked.

A pool's options are checked once, when the pool is declared, and never change shape afterwards.
A mistake names the pool, the option, the value and what is allowed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from ..errors import ExecutorConfigError
from .checks import check_option
from .context_variables import ContextReference
from .environment import NO_VARIABLES, WorkerEnvironment
from .kinds import Kind

__all__ = ["BYPASS_VARIABLE", "GPU_VARIABLE", "PoolOptions"]

BYPASS_VARIABLE = "GENRO_EXECUTOR_BYPASS"
"""The environment variable that runs every pool inline: ``1``, or ``fast`` (no serialization)."""

GPU_VARIABLE = "CUDA_VISIBLE_DEVICES"
"""The environment variable that says which GPUs a process sees."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """What a pool was declared with, checked and complete.

    Times are seconds as floats. ``None`` means no limit, but for ``max_workers``: there it has
    been replaced by the kind's default. ``own`` holds the options that only this kind has.
    """

    max_workers: int
    min_workers: int = 0
    idle_timeout: float | None = None
    threads_per_worker: int = 1
    warm: bool = False
    start_timeout: float = 120.0
    nice: int = 0
    cpu_affinity: tuple[int, ...] | None = None
    env: WorkerEnvironment = NO_VARIABLES
    gpus: tuple[str, ...] = ()
    memory_limit: int | None = None
    oom_score_adj: int = 500
    user: str | None = None
    initializer: Callable[..., Any] | None = None
    initargs: tuple[Any, ...] = ()
    finalizer: Callable[[], Any] | None = None
    preload: tuple[str, ...] = ()
    start_method: str = "forkserver"
    max_pending: int = 100
    max_waiting: int | None = None
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
    send_timeout: float | None = 15.0
    job_arguments: str = "keep"
    job_log: bool = True
    own: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @classmethod
    def declare(cls, pool: str, kind: Kind, given: Mapping[str, Any]) -> PoolOptions:
        """Check ``given`` for a pool of ``kind`` and complete it with the defaults.

        Raises:
            ExecutorConfigError: an option is unknown, missing, has a wrong type or an impossible
                value, or is one that this kind of pool cannot keep.
        """
        options = cls._checked(pool, kind, given)
        if isinstance(options, list):
            raise ExecutorConfigError.of((text for _, text in options), pool=pool)
        return options

    @classmethod
    def mistakes(cls, pool: str, kind: Kind, given: Mapping[str, Any]) -> list[tuple[str, str]]:
        """Return everything that is wrong with ``given``: the option, and what is wrong in words.

        It is empty when ``declare`` takes ``given``.
        """
        options = cls._checked(pool, kind, given)
        return options if isinstance(options, list) else []

    @classmethod
    def _checked(
        cls, pool: str, kind: Kind, given: Mapping[str, Any]
    ) -> PoolOptions | list[tuple[str, str]]:
        """Return the complete options, or every mistake in ``given``."""
        wrong: list[tuple[str, str]] = []
        own = _own_options(pool, kind, given, wrong)
        values: dict[str, Any] = {"own": own}
        for option, value in given.items():
            if option in kind.own_options:
                continue
            if option not in _DEFAULTS:
                taken = {name for name in _DEFAULTS if kind.why_not(name) is None}
                allowed = ", ".join(sorted(taken | kind.own_options.keys()))
                text = f"unknown option {option!r}; a {kind.name} pool takes {allowed}"
                wrong.append((option, f"pool {pool!r}: {text}"))
            elif (reason := kind.why_not(option)) is not None and value != _DEFAULTS[option]:
                text = f"{option}={value!r} is not for a {kind.name} pool: {reason}"
                wrong.append((option, f"pool {pool!r}: {text}"))
            else:
                try:
                    values[option] = check_option(f"pool {pool!r}", option, value, pool)
                except ExecutorConfigError as error:
                    wrong.append((option, str(error)))
        if wrong:
            return wrong
        if values.get("max_workers") is None:
            values["max_workers"] = kind.default_workers()
        options = cls(**values)
        return list(_contradictions(pool, kind, options)) or options

    def as_dict(self) -> dict[str, Any]:
        """Return every option by name, those that only this kind of pool has among them."""
        return {**{name: getattr(self, name) for name in _DEFAULTS}, **self.own}

    def changed(self) -> dict[str, Any]:
        """Return the options that differ from their defaults, and the kind's own ones."""
        common = {name: getattr(self, name) for name in _DEFAULTS}
        return {
            **{name: value for name, value in common.items() if value != _DEFAULTS[name]},
            **self.own,
        }

    def with_preload(self, modules: tuple[str, ...]) -> PoolOptions:
        """These options, with ``modules`` imported ahead as well."""
        return replace(self, preload=tuple(dict.fromkeys((*self.preload, *modules))))

    def resized(self, pool: str, kind: Kind, max_workers: int) -> PoolOptions:
        """Return these options with another ``max_workers``.

        Raises:
            ExecutorConfigError: not a whole number of at least 1, or below ``min_workers``.
        """
        checked = check_option(f"pool {pool!r}", "max_workers", max_workers)
        options = replace(self, max_workers=checked or kind.default_workers())
        if options.min_workers > options.max_workers:
            raise ExecutorConfigError(_too_few_workers(pool, options), pool=pool)
        return options

    @property
    def places_to_wait(self) -> int:
        """How many calls may wait for a place: ``max_waiting``, or ten times ``max_pending``."""
        return 10 * self.max_pending if self.max_waiting is None else self.max_waiting

    @property
    def is_ranked(self) -> bool:
        """Whether each worker has something of its own by its index, which no two may share."""
        return bool(self.gpus) or self.env.is_indexed

    @property
    def effective_bypass(self) -> bool | str:
        """``bypass`` as the environment has it: ``False``, ``True`` or ``"fast"``."""
        wanted = os.environ.get(BYPASS_VARIABLE, "").strip().lower()
        if wanted == "fast":
            return "fast"
        if wanted not in ("", "0", "false", "no", "off"):
            return self.bypass or True
        return self.bypass


_DEFAULTS = {item.name: item.default for item in fields(PoolOptions) if item.name != "own"}


def _own_options(
    pool: str, kind: Kind, given: Mapping[str, Any], wrong: list[tuple[str, str]]
) -> dict[str, Any]:
    """Return the options that only ``kind`` has; mistakes in them go to ``wrong``."""
    own: dict[str, Any] = {}
    for name, option in kind.own_options.items():
        if name not in given:
            if option.required:
                text = f"a {kind.name} pool needs {name}=..."
                wrong.append((name, f"pool {pool!r}: {text}"))
            else:
                own[name] = option.default
            continue
        try:
            own[name] = option.check(given[name])
        except (TypeError, ValueError) as error:
            text = f"{name}={given[name]!r} is not allowed; {error}"
            wrong.append((name, f"pool {pool!r}: {text}"))
    return own


def _contradictions(pool: str, kind: Kind, options: PoolOptions) -> Iterator[tuple[str, str]]:
    """What does not go together in ``options``: an option concerned, and what is wrong."""
    if options.timeout is not None:
        reason = kind.why_no_timeout(options.abandon_on_timeout)
        if reason is not None:
            text = f"timeout={options.timeout!r} is not for a {kind.name} pool: {reason}"
            yield "timeout", f"pool {pool!r}: {text}"
    if options.min_workers > options.max_workers:
        yield "min_workers", _too_few_workers(pool, options)
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
    if options.gpus and GPU_VARIABLE in options.env.names:
        yield (
            "gpus",
            f"pool {pool!r}: gpus={list(options.gpus)!r} sets {GPU_VARIABLE} in each worker, and "
            "env sets it, too; use one of them",
        )
    if options.initargs and options.initializer is None:
        yield (
            "initargs",
            f"pool {pool!r}: initargs={options.initargs!r} without an initializer; "
            "give initializer= too",
        )


def _too_few_workers(pool: str, options: PoolOptions) -> str:
    return (
        f"pool {pool!r}: min_workers={options.min_workers} is more than "
        f"max_workers={options.max_workers}"
    )
