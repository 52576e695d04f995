# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The pools of one server, by name: declared once, made on first use, ended with the server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import ExecutorClosedError, ExecutorConfigError, UnknownExecutorError
from ..options.pool import KINDS, PoolOptions, kind_of
from . import (
    BaseExecutor,
    InlineExecutor,
    ProcessExecutor,
    ThreadExecutor,
)

__all__ = ["BUILT_IN_POOLS", "ExecutorRegistry", "Factory"]

Factory = Callable[..., BaseExecutor]
"""Makes a pool of one kind: ``factory(name, **options)``."""

BUILT_IN_POOLS: Mapping[str, Mapping[str, Any]] = {
    "blocking": {"executor_type": "thread", "max_workers": 40},
    "cpu": {"executor_type": "process"},
}
"""The pools every registry has without being told."""


@dataclass(slots=True)
class _Pool:
    """A declared pool: what it was declared with, and itself once it was used."""

    executor_type: str
    given: dict[str, Any]
    options: PoolOptions | None
    built_in: bool = False
    executor: BaseExecutor | None = None


class ExecutorRegistry:
    """Declares, makes, finds and ends pools.

    It belongs to one server (or one program) and is never shared. A pool is checked when it is
    declared; its workers start when it is first called.
    """

    def __init__(self, executors: Any = None) -> None:
        self._factories: dict[str, Factory] = {
            "inline": InlineExecutor,
            "thread": ThreadExecutor,
            "process": ProcessExecutor,
        }
        self._pools: dict[str, _Pool] = {}
        self._closed = False
        self._preload: tuple[str, ...] = ()
        for name, options in BUILT_IN_POOLS.items():
            self.declare(name, **options)
            self._pools[name].built_in = True
        self.declare_all(executors)

    def register_factory(self, executor_type: str, factory: Factory) -> None:
        """Add a kind of pool; ``factory(name, **options)`` makes one.

        Raises:
            ExecutorConfigError: the name is taken, or what is given cannot be called.
        """
        if executor_type in self._factories or executor_type in KINDS:
            raise ExecutorConfigError(
                f"executor_type {executor_type!r} exists already; give the new kind another name"
            )
        if not callable(factory):
            raise ExecutorConfigError(
                f"the factory of executor_type {executor_type!r} is {factory!r}, not a callable"
            )
        self._factories[executor_type] = factory

    def declare_all(self, executors: Any) -> None:
        """Declare the pools of ``{name: options}``, or of a list of dicts with a ``name`` each.

        Raises:
            ExecutorConfigError: as ``declare``, for every pool that is wrong.
        """
        mistakes: list[str] = []
        pools: set[str | None] = set()
        for name, options in _declared(executors, mistakes):
            try:
                self.declare(name, **options)
            except ExecutorConfigError as error:
                mistakes += error.mistakes
                pools.add(error.pool)
        if mistakes:
            raise ExecutorConfigError.of(mistakes, pool=pools.pop() if len(pools) == 1 else None)

    def declare(self, name: str, *, executor_type: str = "local", **options: Any) -> None:
        """Declare pool ``name``. Nothing is started.

        Declaring it again with the same options is harmless.

        Raises:
            ExecutorConfigError: a name, a kind or an option is wrong, or the pool was declared
                with other options; the message shows both.
        """
        wanted: object = name
        if not isinstance(wanted, str) or not wanted:
            raise ExecutorConfigError(f"a pool's name is a text that is not empty, not {name!r}")
        if self._closed:
            raise ExecutorClosedError(f"pool {name!r}: the registry is shut down", pool=name)
        pool = self._described(name, executor_type, options)
        known = self._pools.get(name)
        if known is None or (known.built_in and known.executor is None):
            self._pools[name] = pool
        elif not _same(known, pool):
            raise ExecutorConfigError(
                f"pool {name!r} is declared already, with {_shown(known)}; it cannot be declared "
                f"again with {_shown(pool)}. Use one declaration, or two names",
                pool=name,
            )

    def _described(self, name: str, executor_type: str, options: dict[str, Any]) -> _Pool:
        custom = self.other_kinds
        wanted: object = executor_type
        if isinstance(wanted, str) and wanted in custom:
            return _Pool(executor_type, options, None)
        kind = kind_of(executor_type, name, custom)
        return _Pool(kind, options, PoolOptions.declare(name, kind, options))

    def get_or_create(
        self, name: str, *, executor_type: str = "local", **options: Any
    ) -> BaseExecutor:
        """Pool ``name``, declared now if it was not before.

        Raises:
            ExecutorConfigError: as ``declare``, and if an option differs from the one in force;
                the message shows both.
        """
        known = self._pools.get(name)
        if known is None or (known.built_in and known.executor is None):
            if known is None or options or executor_type != "local":
                self.declare(name, executor_type=executor_type, **options)
        elif options or executor_type != "local":
            self._check_in_force(name, known, executor_type, options)
        return self.get(name)

    def _check_in_force(
        self, name: str, known: _Pool, executor_type: str, options: dict[str, Any]
    ) -> None:
        """Refuse options that differ from those pool ``name`` has; fewer of them are fine."""
        wanted = self._described(name, executor_type, options)
        if wanted.executor_type == known.executor_type:
            if wanted.options is None or known.options is None:
                different = wanted.given != known.given
            else:
                in_force, asked = known.options, wanted.options
                different = any(getattr(in_force, o) != getattr(asked, o) for o in options)
            if not different:
                return
        raise ExecutorConfigError(
            f"pool {name!r} exists with {_shown(known)}; it cannot be had with {_shown(wanted)}. "
            "Ask for it by its name alone, or use another name",
            pool=name,
        )

    def get(self, name: str) -> BaseExecutor:
        """Pool ``name``, made now if this is its first use.

        Raises:
            UnknownExecutorError: no pool of that name is declared; the message lists those are.
            ExecutorClosedError: the registry is shut down.
        """
        pool = self._pools.get(name)
        if pool is None:
            raise UnknownExecutorError.named(name, self._pools)
        if pool.executor is None:
            if self._closed:
                raise ExecutorClosedError(f"pool {name!r} is shut down", pool=name)
            pool.executor = self._make(name, pool)
        return pool.executor

    def _make(self, name: str, pool: _Pool) -> BaseExecutor:
        if pool.options is None:
            return self._factories[pool.executor_type](name, **pool.given)
        options = pool.options
        if pool.executor_type == "process":
            options = options.with_preload(self._preload)
        return self._factories[pool.executor_type](name, options)

    def preload(self, modules: Iterable[str]) -> None:
        """Have the process pools made from now on import ``modules`` before they fork workers."""
        self._preload = tuple(dict.fromkeys((*self._preload, *modules)))

    @property
    def names(self) -> list[str]:
        """The names of the declared pools, sorted."""
        return sorted(self._pools)

    @property
    def executors(self) -> dict[str, BaseExecutor]:
        """The pools that were used, by name."""
        return {name: pool.executor for name, pool in self._pools.items() if pool.executor}

    @property
    def other_kinds(self) -> list[str]:
        """The kinds of pools that were registered from outside."""
        return sorted(self._factories.keys() - KINDS.keys())

    @property
    def unhealthy(self) -> dict[str, str]:
        """Why a pool cannot serve now, by its name; empty while all of them can."""
        if self._closed:
            return dict.fromkeys(self.executors, "it is shut down")
        reasons = {
            name: getattr(executor, "unhealthy", None) for name, executor in self.executors.items()
        }
        return {name: reason for name, reason in reasons.items() if reason is not None}

    @property
    def healthy(self) -> bool:
        """Whether every pool that was used can serve: not paused, and workers can be started."""
        return not self._closed and not self.unhealthy

    def all_metrics(self) -> dict[str, dict[str, Any]]:
        """``metrics`` of every pool that was used, by name."""
        return {name: executor.metrics for name, executor in self.executors.items()}

    async def warm(self) -> None:
        """Start the workers of every pool with ``warm`` or ``min_workers``, and wait for them.

        Raises:
            WorkerCrashedError: a worker could not be started; the message has the reason.
        """
        wanted = [
            name
            for name, pool in self._pools.items()
            if pool.options is not None and (pool.options.warm or pool.options.min_workers)
        ]
        for name in wanted:
            executor = self.get(name)
            if isinstance(executor, ProcessExecutor):
                await executor.warm()

    async def shutdown_all(self) -> None:
        """Shut every pool down, all at once, and refuse everything from then on."""
        self._closed = True
        outcomes = await asyncio.gather(
            *(executor.shutdown() for executor in self.executors.values()), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    def hurry(self) -> None:
        """End what still runs in the pools at once; ``shutdown_all`` waits for the end."""
        self._closed = True
        for executor in self.executors.values():
            executor.hurry()

    def __len__(self) -> int:
        return len(self._pools)

    def __contains__(self, name: object) -> bool:
        return name in self._pools

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)


def _declared(executors: Any, mistakes: list[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The pools in ``{name: options}`` or ``[{"name": ..., **options}]``.

    What is neither goes to ``mistakes``.
    """
    if executors is None:
        return
    if isinstance(executors, Mapping):
        for name, options in executors.items():
            if isinstance(options, Mapping):
                yield name, _named(name, options, mistakes)
            else:
                mistakes.append(f"pool {name!r}: its options are a dict, not {options!r}")
        return
    if isinstance(executors, str) or not isinstance(executors, Iterable):
        mistakes.append(
            f"executors={executors!r}: give {{name: options}} or a list of dicts with a 'name'"
        )
        return
    seen: set[str] = set()
    for item in executors:
        if not isinstance(item, Mapping) or "name" not in item:
            mistakes.append(
                f"executors: {item!r} is not a dict with a 'name' and the pool's options"
            )
            continue
        name = item["name"]
        if isinstance(name, str) and name in seen:
            mistakes.append(f"executors: pool {name!r} is in the list twice")
            continue
        seen.add(str(name))
        options = {option: value for option, value in item.items() if option != "name"}
        yield name, _named(name, options, mistakes)


def _named(name: object, options: Mapping[Any, Any], mistakes: list[str]) -> dict[str, Any]:
    """``options`` as keyword arguments; what can be none is an unknown option."""
    usable: dict[str, Any] = {}
    for option, value in options.items():
        if isinstance(option, str) and option not in ("name", "self"):
            usable[option] = value
        else:
            mistakes.append(f"pool {name!r}: unknown option {option!r}")
    return usable


def _same(one: _Pool, other: _Pool) -> bool:
    if one.executor_type != other.executor_type:
        return False
    if one.options is None or other.options is None:
        return one.given == other.given
    return one.options == other.options


def _shown(pool: _Pool) -> str:
    options = ", ".join(f"{name}={value!r}" for name, value in pool.given.items())
    return f"executor_type={pool.executor_type!r}" + (f", {options}" if options else "")
