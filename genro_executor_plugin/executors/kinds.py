# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The kinds of pools by name: those of this package, and those that were added.

A kind is added with an engine (``engines/base.py``), whose options are checked like those of
every other kind, or with a function that makes pools, which checks its options by itself.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from ..engines.base import Engine
from ..engines.declared import kind_of
from ..engines.inline import InlineEngine
from ..engines.process.engine import ProcessEngine
from ..engines.thread import ThreadEngine
from ..errors import ExecutorConfigError
from ..options.kinds import Kind
from ..options.pool import PoolOptions
from .base import BaseExecutor
from .builtin import InlineExecutor, ProcessExecutor, ThreadExecutor

__all__ = ["BUILT_IN", "Factory", "Kinds", "KnownKind", "register_factory"]

Factory = type[Engine] | Callable[..., BaseExecutor]
"""What makes pools of one kind: an engine, or ``factory(name, **options)``."""


@dataclass(frozen=True, slots=True)
class KnownKind:
    """A kind of pool that can be declared.

    Attributes:
        name: its name in messages; ``local`` and ``process`` are one.
        kind: what its options are checked against, ``None`` where its factory checks them.
        make: makes a pool: ``make(name, options)`` with a kind, ``make(name, **given)`` without.
    """

    name: str
    kind: Kind | None
    make: Callable[..., Any]

    def pool(self, name: str, options: PoolOptions | None, given: Mapping[str, Any]) -> Any:
        """Return a new pool.

        Raises:
            ExecutorConfigError: the factory refuses the options, or makes something else.
        """
        if options is not None:
            return self.make(name, options)
        try:
            pool = self.make(name, **given)
        except TypeError as error:
            raise ExecutorConfigError(
                f"pool {name!r}: the factory of executor_type {self.name!r} refuses its options: "
                f"{error}",
                pool=name,
            ) from error
        if not isinstance(pool, BaseExecutor):
            raise ExecutorConfigError(
                f"pool {name!r}: the factory of executor_type {self.name!r} returned {pool!r}, "
                "which is no pool; return a BaseExecutor, or register an Engine",
                pool=name,
            )
        return pool


def _built_in(cls: type[BaseExecutor], engine: type[Engine]) -> KnownKind:
    kind = kind_of(engine)
    return KnownKind(kind.name, kind, cls)


def _built_in_later(name: str) -> KnownKind:
    """A kind whose modules nobody needs who has no pool of it."""
    module = import_module(f".{name}", __package__)
    return _built_in(module.POOL, module.ENGINE)


_MADE: Mapping[str, Callable[[], KnownKind]] = {
    "inline": lambda: _built_in(InlineExecutor, InlineEngine),
    "thread": lambda: _built_in(ThreadExecutor, ThreadEngine),
    "local": lambda: _built_in(ProcessExecutor, ProcessEngine),
    "process": lambda: _built_in(ProcessExecutor, ProcessEngine),
    "nats": lambda: _built_in_later("nats"),
    "ray": lambda: _built_in_later("ray"),
}


class _BuiltIn(Mapping[str, KnownKind]):
    """The kinds of this package, each made when it is first asked for."""

    def __init__(self) -> None:
        self._kinds: dict[str, KnownKind] = {}

    def __getitem__(self, executor_type: str) -> KnownKind:
        known = self._kinds.get(executor_type)
        if known is None:
            known = self._kinds[executor_type] = _MADE[executor_type]()
        return known

    def __iter__(self) -> Iterator[str]:
        return iter(_MADE)

    def __len__(self) -> int:
        return len(_MADE)

    def __contains__(self, executor_type: object) -> bool:
        return executor_type in _MADE


BUILT_IN: Mapping[str, KnownKind] = _BuiltIn()
"""The kinds of this package, by each accepted spelling of ``executor_type``."""


class Kinds(Mapping[str, KnownKind]):
    """Kinds by ``executor_type``: those of ``below``, and those that are added here."""

    def __init__(self, below: Mapping[str, KnownKind]) -> None:
        self._below = below
        self._added: dict[str, KnownKind] = {}

    def __getitem__(self, executor_type: str) -> KnownKind:
        known = self._added.get(executor_type)
        return self._below[executor_type] if known is None else known

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys((*self._below, *self._added)))

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, executor_type: object) -> bool:
        return executor_type in self._added or executor_type in self._below

    def add(self, executor_type: str, factory: Factory) -> None:
        """Add a kind.

        Raises:
            ExecutorConfigError: the name is taken, the factory cannot be called, or the engine
                breaks its contract.
        """
        wanted: object = executor_type
        if not isinstance(wanted, str) or not wanted:
            raise ExecutorConfigError(
                f"a kind's name is a text that is not empty, not {executor_type!r}"
            )
        if executor_type in self:
            raise ExecutorConfigError(
                f"executor_type {executor_type!r} exists already; give the new kind another name"
            )
        if not callable(factory):
            raise ExecutorConfigError(
                f"the factory of executor_type {executor_type!r} is {factory!r}, not a callable"
            )
        if inspect.isclass(factory) and issubclass(factory, Engine):
            kind = kind_of(factory, executor_type)
            make = functools.partial(BaseExecutor, engine=factory, kind=kind)
            self._added[executor_type] = KnownKind(executor_type, kind, make)
        else:
            self._added[executor_type] = KnownKind(executor_type, None, factory)

    def find(self, executor_type: object, pool: str) -> KnownKind:
        """Return the kind that ``executor_type`` names.

        Raises:
            ExecutorConfigError: there is none; the message names ``pool`` and those there are.
        """
        known = self.get(executor_type) if isinstance(executor_type, str) else None
        if known is None:
            raise ExecutorConfigError(
                f"pool {pool!r}: executor_type={executor_type!r} is not a kind of pool; "
                f"use one of {', '.join(map(repr, self))}",
                pool=pool,
            )
        return known


EVERYWHERE = Kinds(BUILT_IN)
"""The kinds of every registry of this process. A kind is a type, and types belong to the process;
genro-routes keeps its plugins in the same way (``Router.register_plugin``)."""


def register_factory(executor_type: str, factory: Factory) -> None:
    """Add a kind of pool for every server and registry of this process, also for those to come.

    Args:
        executor_type: the name of the new kind.
        factory: an engine (a subclass of ``Engine``), whose options are checked when a pool is
            declared; or a callable, which is given ``(name, **options)`` and returns a pool.

    Raises:
        ExecutorConfigError: the name is taken, what is given cannot be called, or the engine
            breaks its contract; the message says what is missing.
    """
    EVERYWHERE.add(executor_type, factory)
