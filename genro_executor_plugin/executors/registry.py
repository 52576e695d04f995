# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The pools of one server, by name: declared once, made on first use, ended with the server."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Unpack

from ..engines.home import Home
from ..errors import ExecutorClosedError, ExecutorConfigError, UnknownExecutorError
from ..options.capabilities import Capability
from ..options.environment import WorkerEnvironment
from ..options.keywords import PoolDeclarations, PoolKeywords
from ..options.pool import PoolOptions
from .base import BaseExecutor
from .declarations import declared
from .kinds import EVERYWHERE, Factory, Kinds, KnownKind
from .steering import Ending

__all__ = ["BUILT_IN_POOLS", "ExecutorRegistry"]

BUILT_IN_POOLS: Mapping[str, Mapping[str, Any]] = {
    "blocking": {"executor_type": "thread", "max_workers": 40},
    "cpu": {"executor_type": "process"},
}
"""The pools every registry has without being told."""


@dataclass(slots=True)
class _Pool:
    """A declared pool: what it was declared with, and itself once it was used."""

    known: KnownKind
    given: dict[str, Any]
    options: PoolOptions | None
    built_in: bool = False
    executor: BaseExecutor | None = None

    @property
    def starts_with_the_server(self) -> bool:
        """Whether it does not wait for its first call."""
        kind = self.known.kind
        if self.options is None or kind is None:
            return False
        connects = Capability.CONNECTS in kind.capabilities
        return connects or self.options.warm or bool(self.options.min_workers)


class ExecutorRegistry:
    """Declares, makes, finds and ends pools.

    It belongs to one server (or one program) and is never shared. A pool is checked when it is
    declared; its workers start when it is first called.
    """

    def __init__(self, executors: PoolDeclarations | None = None) -> None:
        self._kinds = Kinds(EVERYWHERE)
        self._pools: dict[str, _Pool] = {}
        self.home: Home = Home()  # of all its pools: they belong to the server's event loop
        self._closed = False
        self._preload: tuple[str, ...] = ()
        for name, options in BUILT_IN_POOLS.items():
            self.declare(name, **options)
            self._pools[name].built_in = True
        self.declare_all(executors)

    def register_factory(self, executor_type: str, factory: Factory) -> None:
        """Add a kind of pool to this registry; ``genro_executor_plugin.register_factory`` adds one
        to every registry of the process.

        Args:
            executor_type: the name of the new kind.
            factory: an engine (a subclass of ``Engine``), whose options are checked when a pool is
                declared; or a callable, which is given ``(name, **options)`` and returns a pool.

        Raises:
            ExecutorConfigError: the name is taken, what is given cannot be called, or the engine
                breaks its contract; the message says what is missing.
        """
        self._kinds.add(executor_type, factory)

    @property
    def kinds(self) -> Kinds:
        """The kinds of pools that can be declared here, by ``executor_type``."""
        return self._kinds

    def declare_all(self, executors: PoolDeclarations | None) -> None:
        """Declare the pools of ``{name: options}``, or of a list of dicts with a ``name`` each.

        Raises:
            ExecutorConfigError: as ``declare``, for every pool that is wrong.
        """
        mistakes: list[str] = []
        pools: set[str | None] = set()
        for name, options in declared(executors, mistakes):
            try:
                self.declare(name, **options)
            except ExecutorConfigError as error:
                mistakes += error.mistakes
                pools.add(error.pool)
        if mistakes:
            raise ExecutorConfigError.of(mistakes, pool=pools.pop() if len(pools) == 1 else None)

    def declare(
        self, name: str, *, executor_type: str = "local", **options: Unpack[PoolKeywords]
    ) -> None:
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

    def _described(self, name: str, executor_type: str, options: Mapping[str, Any]) -> _Pool:
        known = self._kinds.find(executor_type, name)
        if known.kind is None:
            return _Pool(known, {**options}, None)
        return _Pool(known, {**options}, PoolOptions.declare(name, known.kind, options))

    def get_or_create(
        self, name: str, executor_type: str = "local", **options: Unpack[PoolKeywords]
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
        self, name: str, known: _Pool, executor_type: str, options: Mapping[str, Any]
    ) -> None:
        """Refuse options that differ from those pool ``name`` has; fewer of them are fine."""
        own = known.known.kind.own_options if known.known.kind is not None else {}
        needed = {option: value for option, value in known.given.items() if option in own}
        wanted = self._described(name, executor_type, {**needed, **options})
        if wanted.known == known.known:
            if wanted.options is None or known.options is None:
                different = wanted.given != known.given
            else:
                in_force, asked = known.options.as_dict(), wanted.options.as_dict()
                different = any(in_force[option] != asked[option] for option in options)
            if not different:
                return
        raise ExecutorConfigError(
            f"pool {name!r} exists with {_shown(known)}; it cannot be used with {_shown(wanted)}. "
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
            raise self.unknown(name)
        if pool.executor is None:
            if self._closed:
                raise ExecutorClosedError(f"pool {name!r} is shut down", pool=name)
            pool.executor = self._make(name, pool)
            pool.executor.home = self.home
        return pool.executor

    def unknown(self, name: str, where: str = "") -> UnknownExecutorError:
        """Return the error about ``name``, which no pool has.

        Args:
            where: what asks for it, such as ``"route shop/report"``.
        """
        known = ", ".join(map(repr, self.names))
        fact = f"{where} names the pool {name!r}, which nobody declared"
        return UnknownExecutorError(
            f"{fact if where else f'no pool is named {name!r}'}; the declared pools are {known}. "
            "Declare it, or correct the name",
            pool=name,
        )

    def _make(self, name: str, pool: _Pool) -> BaseExecutor:
        options, kind = pool.options, pool.known.kind
        if options is not None and kind is not None and Capability.PROCESSES in kind.capabilities:
            options = options.with_preload(self._preload)
        executor: BaseExecutor = pool.known.pool(name, options, pool.given)
        return executor

    def preload(self, modules: Iterable[str]) -> None:
        """Have the process pools made from now on import ``modules`` before they fork workers."""
        self._preload = tuple(dict.fromkeys((*self._preload, *modules)))

    @property
    def names(self) -> list[str]:
        """The names of the declared pools, sorted."""
        return sorted(self._pools)

    @property
    def executors(self) -> Mapping[str, BaseExecutor]:
        """The declared pools by name, each made when it is first taken from this mapping."""
        return _Declared(self)

    @property
    def used(self) -> dict[str, BaseExecutor]:
        """The pools that have been made: those that were used, or were taken by their name."""
        return {name: pool.executor for name, pool in self._pools.items() if pool.executor}

    @property
    def unhealthy(self) -> dict[str, str]:
        """Why a pool cannot serve now, by its name; empty while all of them can."""
        if self._closed:
            return dict.fromkeys(self.used, "it is shut down")
        reasons = {name: executor.unhealthy for name, executor in self.used.items()}
        return {name: reason for name, reason in reasons.items() if reason is not None}

    @property
    def healthy(self) -> bool:
        """Whether every pool that was used can serve: not paused, and workers can be started."""
        return not self._closed and not self.unhealthy

    def all_metrics(self) -> list[dict[str, Any]]:
        """``metrics`` of every pool that was used, each with its ``name``."""
        return [executor.metrics for executor in self.used.values()]

    async def warm(self) -> None:
        """Start every pool that connects, or that has ``warm`` or ``min_workers``, and wait.

        Raises:
            WorkerCrashedError: a worker could not be started; the message has the reason.
        """
        wanted = [name for name, pool in self._pools.items() if pool.starts_with_the_server]
        for name in wanted:
            await self.get(name).warm()

    def shutdown_all(self, wait: bool = True) -> Ending:
        """Shut every pool down, all at once, and refuse everything from then on.

        It begins with the call, awaited or not.

        Args:
            wait: whether awaiting takes until everything has ended, or no time.

        Returns:
            The end of the pools, to be awaited.
        """
        self._closed = True
        ends = [
            executor.shutdown() if wait else executor.shutdown(wait=False)
            for executor in self.used.values()
        ]
        return Ending(*(partial(_awaited, end) for end in ends))

    def hurry(self) -> None:
        """End what still runs in the pools at once; ``shutdown_all`` waits for the end."""
        self._closed = True
        for executor in self.used.values():
            executor.hurry()

    def count_down(self) -> float:
        """Have every pool end, after its ``shutdown_timeout``, what it runs then.

        Returns:
            the longest of these times among the pools that have calls now, 0 if none has.
        """
        return max((executor.count_down() for executor in self.used.values()), default=0.0)

    def stop_counting_down(self) -> None:
        """End nothing by itself any more: ``shutdown_all`` is about to come."""
        for executor in self.used.values():
            executor.stop_counting_down()

    def __len__(self) -> int:
        return len(self._pools)

    def __contains__(self, name: object) -> bool:
        return name in self._pools

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __repr__(self) -> str:
        closed = " closed" if self._closed else ""
        return f"<ExecutorRegistry{closed} pools={self.names}>"


class _Declared(Mapping[str, BaseExecutor]):
    """The pools of a registry by name, made when they are taken."""

    def __init__(self, registry: ExecutorRegistry) -> None:
        self._registry = registry

    def __getitem__(self, name: str) -> BaseExecutor:
        if name not in self._registry:
            raise KeyError(name)
        return self._registry.get(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._registry)

    def __len__(self) -> int:
        return len(self._registry)

    def __repr__(self) -> str:
        return f"<pools {self._registry.names}>"


async def _awaited(end: Awaitable[None]) -> None:
    await end


def _same(one: _Pool, other: _Pool) -> bool:
    if one.options is None or other.options is None:
        return one.known == other.known and one.given == other.given
    return one.known == other.known and one.options == other.options


def _shown(pool: _Pool) -> str:
    given = dict(pool.given)
    if isinstance(given.get("env"), Mapping):
        given["env"] = WorkerEnvironment.of(given["env"])  # which shows no values
    options = ", ".join(f"{name}={value!r}" for name, value in given.items())
    return f"executor_type={pool.known.name!r}" + (f", {options}" if options else "")
