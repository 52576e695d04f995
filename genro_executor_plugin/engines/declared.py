# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a class of engines declares, checked against the contract in ``base.py``."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ..errors import ExecutorConfigError
from ..options.capabilities import Capability
from ..options.kinds import EngineOption, Kind
from ..options.pool import PoolOptions
from ..options.share import cpu_share
from .base import Engine

__all__ = ["kind_of"]

_TAKEN = ("engine", "executor_type", "kind", "name", "options", "self")
"""Names that stand for something else where a pool is declared."""

_COROUTINES = ("run", "close", "start", "restart", "stacks", "profile")
_FUNCTIONS = (
    *("pack", "discard", "tell", "commit", "load", "workers", "trouble"),
    *("set_paused", "resize", "kill_worker", "end_agent"),
)

_NEEDS_METHODS: Mapping[Capability, tuple[str, ...]] = {
    Capability.AGENTS: ("workers", "end_agent"),
    Capability.CONNECTS: ("start",),
    Capability.PAUSES: ("set_paused",),
    Capability.PORTABLE: ("pack",),
    Capability.PROFILES: ("profile",),
    Capability.RESIZES: ("resize",),
    Capability.WORKERS: ("start", "workers", "restart", "kill_worker"),
}
"""The methods that an engine with a capability has to write itself."""


def kind_of(engine: type[Engine], name: str | None = None) -> Kind:
    """Return the kind of pools that ``engine`` makes, under ``name`` or its own one.

    Raises:
        ExecutorConfigError: the class breaks the contract of an engine: a method is missing, or
            what it declares is not what it has to be.
    """
    where = f"the engine {engine.__module__}.{engine.__qualname__}"
    capabilities = _capabilities_of(engine, where)
    _check_methods(engine, capabilities, where)
    own = _own_options_of(engine, where)
    workers: Any = engine.default_workers
    if workers is not None and (type(workers) is not int or workers < 1):
        raise ExecutorConfigError(
            f"{where}: default_workers={workers!r}; give a whole number of at least 1, or None"
        )
    name = name or engine.name or engine.__name__
    return Kind(name, capabilities, cpu_share if workers is None else lambda: workers, own)


def _capabilities_of(engine: type[Engine], where: str) -> frozenset[Capability]:
    declared: Any = engine.capabilities
    known = ", ".join(sorted(Capability))
    if not isinstance(declared, frozenset | set | tuple | list):
        raise ExecutorConfigError(f"{where}: capabilities={declared!r}; give a set out of {known}")
    for item in declared:
        if item not in list(Capability):
            raise ExecutorConfigError(
                f"{where} declares the unknown capability {item!r}; there are {known}"
            )
    return frozenset(Capability(item) for item in declared)


def _check_methods(engine: type[Engine], capabilities: frozenset[Capability], where: str) -> None:
    if missing := sorted(getattr(engine, "__abstractmethods__", ())):
        raise ExecutorConfigError(f"{where} lacks {', '.join(missing)}; every engine has them")
    for names, is_async in ((_COROUTINES, True), (_FUNCTIONS, False)):
        for name in names:
            if inspect.iscoroutinefunction(getattr(engine, name)) is not is_async:
                kind = "a coroutine function (async def)" if is_async else "a plain function"
                raise ExecutorConfigError(f"{where}: {name} has to be {kind}")
    for capability in sorted(capabilities):
        for name in _NEEDS_METHODS.get(capability, ()):
            if getattr(engine, name) is getattr(Engine, name):
                raise ExecutorConfigError(
                    f"{where} declares {capability.name} and lacks {name}, which keeps it"
                )


def _own_options_of(engine: type[Engine], where: str) -> Mapping[str, EngineOption]:
    own: Any = engine.own_options
    if not isinstance(own, Mapping):
        raise ExecutorConfigError(f"{where}: own_options={own!r}; give a dict of EngineOptions")
    for option, what in own.items():
        if isinstance(option, str) and (not option.isidentifier() or option in _TAKEN):
            raise ExecutorConfigError(f"{where}: {option!r} cannot be the name of an option")
        if not isinstance(option, str) or not isinstance(what, EngineOption):
            raise ExecutorConfigError(
                f"{where}: own_options has {option!r}: {what!r}; give a name and an EngineOption"
            )
        if option in PoolOptions.__dataclass_fields__:
            raise ExecutorConfigError(f"{where}: {option!r} is an option of every pool already")
    return own
