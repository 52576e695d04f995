# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Which attributes of an application or section travel, and which of them can never change.

A class may say so itself::

    class Shop(RoutedApplication):
        executor_state = ("prices",)         # travels; other attributes stay in the server
        executor_constants = ("catalogue",)  # travels once, and is not compared again

For a class with ``__getstate__`` or ``__setstate__`` these methods give and take the state, as
with pickle. Classes and instances are only read here.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from ...errors import ExecutorConfigError, SerializationError
from ...hosts.loaded import OWN_ATTRIBUTES
from ..references import describe
from .placeholders import LEFT_BEHIND, Placeholder
from .section_names import CAPABILITIES, CONTEXT

__all__ = ["WHOLE", "attributes", "is_fixed", "is_routing", "slots_of", "state_of_class"]

WHOLE = ""
"""The name under which a state that is not a dict travels; ``__setstate__`` takes it as it is."""


def is_routing(obj: Any) -> bool:
    """Whether ``obj`` is an application or a section (a genro-routes ``RoutingClass``)."""
    routing = sys.modules.get("genro_routes.core.routing")
    return routing is not None and isinstance(obj, routing.RoutingClass)


_FIXED_TYPES = frozenset(
    {type(None), bool, int, float, complex, str, bytes, type(Ellipsis), range, type}
)
_FIXED_LIBRARY_TYPES = frozenset(
    {
        ("datetime", "date"),
        ("datetime", "datetime"),
        ("datetime", "time"),
        ("datetime", "timedelta"),
        ("decimal", "Decimal"),
        ("fractions", "Fraction"),
        ("uuid", "UUID"),
        ("re", "Pattern"),
    }
)
_UNSET = object()
_NOTHING: Mapping[str, Any] = MappingProxyType({})


def is_fixed(value: Any) -> bool:
    """Whether ``value`` can never change in place, so that only another object is a change."""
    cls = type(value)
    if cls in _FIXED_TYPES or isinstance(value, type):
        return True
    if cls is Placeholder:
        return value.__dict__.get("ctx") is None
    if cls is tuple or cls is frozenset:
        return all(map(is_fixed, value))
    return (cls.__module__, cls.__name__) in _FIXED_LIBRARY_TYPES


@dataclass(frozen=True, slots=True)
class StateOfClass:
    """How the state of a class's instances is read and set.

    Attributes:
        chosen: the attributes that travel, ``None`` for all of them.
        constants: those of them that never change, not even inside.
        gets: whether the class has a ``__getstate__`` of its own.
        sets: whether the class has a ``__setstate__``.
    """

    chosen: tuple[str, ...] | None
    constants: frozenset[str]
    gets: bool
    sets: bool


_HOOKS = ("on_worker_startup", "on_worker_shutdown", "route_cleanup")


@cache
def state_of_class(cls: Any) -> StateOfClass:
    """How the state of instances of ``cls`` travels.

    Raises:
        ExecutorConfigError: ``executor_state``, ``executor_constants`` or a hook is written wrong.
    """
    for hook in _HOOKS:
        if inspect.iscoroutinefunction(getattr(cls, hook, None)):
            raise ExecutorConfigError(
                f"{describe(cls)}.{hook} is a coroutine function; a worker runs it without an "
                "event loop. Write it as a plain function"
            )
    chosen = _declared(cls, "executor_state")
    constants = _declared(cls, "executor_constants") or ()
    gets = getattr(cls, "__getstate__", None) is not getattr(object, "__getstate__", None)
    sets = hasattr(cls, "__setstate__")
    if (chosen is not None or constants) and (gets or sets):
        method = "__getstate__" if gets else "__setstate__"
        raise ExecutorConfigError(
            f"{describe(cls)} has {method} and declares its attributes as well; "
            "executor_state and executor_constants are for classes without it: use one of the two"
        )
    if chosen is not None:
        own = (*OWN_ATTRIBUTES, *LEFT_BEHIND, CONTEXT, CAPABILITIES)
        chosen = tuple(dict.fromkeys((*own, *chosen, *constants)))
    return StateOfClass(chosen, frozenset(constants), gets, sets)


def _declared(cls: type, option: str) -> tuple[str, ...] | None:
    """The names that ``cls`` and its bases list under ``option``, ``None`` if none of them does."""
    found: dict[str, None] = {}
    said = False
    for base in reversed(cls.__mro__):
        names = vars(base).get(option)
        if names is None:
            continue
        said = True
        if not isinstance(names, tuple | list | set | frozenset) or not all(
            isinstance(name, str) for name in names
        ):
            raise ExecutorConfigError(
                f"{describe(base)}.{option} is {names!r}; it is a tuple of attribute names"
            )
        for name in names:
            if isinstance(getattr(cls, name, None), property):
                raise ExecutorConfigError(
                    f"{describe(base)}.{option} names {name!r}, a property: it is computed in the "
                    "worker, too. Name the attributes that it reads"
                )
            if name in LEFT_BEHIND:
                raise ExecutorConfigError(f"{describe(base)}.{option}: {LEFT_BEHIND[name]}")
            found[_mangled(base, name)] = None
    return tuple(found) if said else None


def _mangled(cls: type, name: str) -> str:
    private = name.startswith("__") and not name.endswith("__")
    return f"_{cls.__name__.lstrip('_')}{name}" if private else name


def attributes(instance: Any) -> Iterator[tuple[str, Any]]:
    """The attributes of ``instance`` by name: those that travel, and those of ``LEFT_BEHIND``.

    Raises:
        SerializationError: its ``__getstate__`` gives no attributes, and nothing would take
            what it gives instead.
    """
    owner: Any = type(instance)
    how = state_of_class(owner)
    if how.chosen is not None:
        yield from _chosen(instance, how.chosen)
    elif how.gets:
        yield from _as_the_class_says(instance, how)
    else:
        yield from _all(instance)


def _chosen(instance: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    own = getattr(instance, "__dict__", _NOTHING)
    owner: Any = type(instance)
    slots = slots_of(owner)
    for name in names:
        value = own.get(name, _UNSET)
        if value is _UNSET and name in slots:
            value = getattr(instance, name, _UNSET)
        if value is not _UNSET:
            yield name, value


def _all(instance: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(instance, "__dict__", _NOTHING).items()
    owner: Any = type(instance)
    for name in slots_of(owner):
        value = getattr(instance, name, _UNSET)
        if value is not _UNSET:
            yield name, value


def _as_the_class_says(instance: Any, how: StateOfClass) -> Iterator[tuple[str, Any]]:
    cls = type(instance)
    try:
        state = instance.__getstate__()
    except Exception as error:
        raise SerializationError(
            f"{describe(cls)}.__getstate__ failed, so that its state cannot travel to a worker: "
            f"{type(error).__name__}: {error}"
        ) from error
    parts = state if isinstance(state, tuple) and len(state) == 2 else (state,)
    if all(part is None or isinstance(part, dict) for part in parts):
        for part in parts:
            for name, value in (part or {}).items():
                if name not in LEFT_BEHIND or value is None:
                    yield name, value
    elif how.sets:
        yield WHOLE, state
    else:
        raise SerializationError(
            f"{describe(cls)}.__getstate__ gives {describe(type(state))}, and the class has no "
            "__setstate__ to take it in a worker; give a dict, or write __setstate__"
        )


@cache
def slots_of(owner: Any) -> tuple[str, ...]:
    """The names of the slots that instances of ``owner`` have."""
    names = []
    for cls in owner.__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__"):
                names.append(_mangled(cls, slot))
    return tuple(names)
