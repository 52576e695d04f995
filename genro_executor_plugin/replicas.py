# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""``self`` of a handler in a worker: a replica of the application or section.

A replica has the same class and the attributes as they were when the call was sent, without
server, router, context and parent. It is sent in two parts, each only when it has changed:
``fixed`` holds what Python cannot change in place (numbers, strings, bytes, tuples of such),
told apart by identity alone; ``variable`` holds the rest, pickled anew with every call and
compared, because a change inside a list is a change, too.
"""

from __future__ import annotations

import inspect
import io
import itertools
import pickle
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from .definitions import STATE, Definition
from .errors import SerializationError
from .pickling import CarefulPickler, why
from .references import describe

__all__ = [
    "Placeholder",
    "ReplicaCatalog",
    "ReplicaHereError",
    "ReplicaSource",
    "ReplicaStore",
    "is_routing",
    "replica_reference",
]

_LEFT_BEHIND = {
    "_server": "the server is not in the worker; do what needs it before or after the call",
    "_routing_parent": "the parent is not in the worker; give the handler what it needs of it",
    "_ctx": "the request's context is not in the worker; pass what it holds as an argument",
    "_capabilities": "capabilities are judged in the server, before the call",
    "__genro_routes_router__": "the router is not in the worker; routes are called in the server",
    "__routing_proxy__": "the router is not in the worker",
}
"""Attributes that never travel, and what somebody who looks for them in a worker should know."""

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


def is_routing(obj: Any) -> bool:
    """Whether ``obj`` is an application or a section (a genro-routes ``RoutingClass``)."""
    routing = sys.modules.get("genro_routes.core.routing")
    return routing is not None and isinstance(obj, routing.RoutingClass)


def is_router(obj: Any) -> bool:
    """Whether ``obj`` is a genro-routes router, which leads to everything in the server."""
    base = sys.modules.get("genro_routes.core.base_router")
    return base is not None and isinstance(obj, base.BaseRouter)


def _is_fixed(value: Any) -> bool:
    """Whether ``value`` can never change in place, so that identity alone tells a change."""
    cls = type(value)
    if cls in _FIXED_TYPES or isinstance(value, type):
        return True
    if cls is tuple or cls is frozenset:
        return all(map(_is_fixed, value))
    return (cls.__module__, cls.__name__) in _FIXED_LIBRARY_TYPES


class Placeholder:
    """Stands in a worker for an attribute that could not travel; using it explains why."""

    def __init__(self, explanation: str) -> None:
        self.__dict__["explanation"] = explanation

    def _refuse(self, *_args: Any, **_kwargs: Any) -> Any:
        raise SerializationError(self.__dict__["explanation"])

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # a probe of pickle, copy or inspect is no use
        return self._refuse()

    def __reduce__(self) -> tuple[Any, ...]:
        if _current_store.get(None) is not None:
            self._refuse()  # a handler gives it away: as a result, or in one
        return Placeholder, (self.__dict__["explanation"],)

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<not in this worker: {self.__dict__['explanation']}>"

    __setattr__ = __call__ = __getitem__ = __setitem__ = __iter__ = __len__ = __bool__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __or__ = __ror__ = _refuse
    __truediv__ = __floordiv__ = __mod__ = __and__ = __int__ = __float__ = __index__ = _refuse
    __delitem__ = __delattr__ = __reversed__ = __bytes__ = __aiter__ = __anext__ = _refuse
    __contains__ = __enter__ = __exit__ = __aenter__ = __aexit__ = __await__ = __next__ = _refuse


class _Part:
    """One part of a replica's state: the last version of it that was pickled."""

    __slots__ = ("definition", "key", "owner", "references", "version")

    def __init__(self, key: int, owner: int) -> None:
        self.key = key
        self.owner = owner
        self.version = 0
        self.definition: Definition | None = None
        self.references: tuple[ReplicaSource, ...] = ()

    def update(self, payload: bytes, references: tuple[ReplicaSource, ...]) -> None:
        self.references = references
        if self.definition is None or self.definition.payload != payload:
            self.version += 1
            self.definition = Definition(self.key, self.version, self.owner, STATE, payload)


class ReplicaSource:
    """One application or section here, and the versions of its state that were sent."""

    def __init__(self, catalog: ReplicaCatalog, instance: Any) -> None:
        self.key = next(catalog.keys)
        self._catalog = catalog
        self._instance = _reference(instance)
        self._fixed: dict[str, Any] = {}
        self._stuck: dict[str, tuple[Any, Placeholder]] = {}
        self._had_variable = False
        self._parts = _Part(next(catalog.keys), self.key), _Part(next(catalog.keys), self.key)

    def definitions(self, seen: set[int]) -> Iterator[Definition]:
        """The state as it is now, and that of every application or section it refers to."""
        if self.key in seen:
            return
        seen.add(self.key)
        self._refresh()
        for part in self._parts:
            for source in part.references:
                yield from source.definitions(seen)
        for part in self._parts:
            assert part.definition is not None
            yield part.definition

    def _refresh(self) -> None:
        instance = self._instance()
        kept, fixed_changed, variable = 0, False, {}
        for name, value in _attributes(instance):
            same = self._fixed.get(name, _UNSET) is value
            if same and (name not in self._stuck or self._is_stuck(name, value)):
                kept += 1
            elif _is_fixed(value) or self._is_stuck(name, value):
                fixed_changed = True
            else:
                variable[name] = value
        fixed, changing = self._parts
        if fixed_changed or kept != len(self._fixed) or fixed.definition is None:
            self._fixed = {
                name: value
                for name, value in _attributes(instance)
                if _is_fixed(value) or self._is_stuck(name, value)
            }
            self._write(fixed, instance, self._fixed)
        if variable or self._had_variable or changing.definition is None:
            self._had_variable = bool(variable)
            self._write(changing, instance, variable)

    def _is_stuck(self, name: str, value: Any) -> bool:
        if name not in self._stuck or self._stuck[name][0] is not value:
            return False
        # What is in the way may have left a container since: then it can travel again.
        if type(value) in (list, dict, set) and self._travels(name, value):
            del self._stuck[name]
            return False
        return True

    def _travels(self, name: str, value: Any) -> bool:
        try:
            self._pickle(1, self._instance(), {name: value})
        except Exception:
            return False
        return True

    def _write(self, part: _Part, instance: Any, state: dict[str, Any]) -> None:
        number = self._parts.index(part)
        values = {
            name: self._stuck[name][1] if self._is_stuck(name, value) else value
            for name, value in state.items()
        }
        try:
            payload, references = self._pickle(number, instance, values)
        except Exception:
            self._set_aside(number, instance, values)
            self._fixed = {}  # what was set aside belongs to the fixed part from now on
            self._refresh()
            return
        part.update(payload, references)

    def _set_aside(self, number: int, instance: Any, values: dict[str, Any]) -> None:
        found = False
        for name, value in values.items():
            try:
                self._pickle(number, instance, {name: value})
            except Exception as error:
                found = True
                text = (
                    f"{describe(type(instance))}.{name} cannot travel to a worker: {why(error)}. "
                    "Make it where it is used: in on_worker_startup(self), which runs once in "
                    "each worker"
                )
                self._stuck[name] = value, Placeholder(text)
        if not found:
            raise SerializationError(
                f"the state of {describe(type(instance))} cannot travel to a worker, though each "
                "of its attributes can; they nest too deeply together"
            )

    def _pickle(
        self, number: int, instance: Any, values: dict[str, Any]
    ) -> tuple[bytes, tuple[ReplicaSource, ...]]:
        references: list[ReplicaSource] = []

        def special(obj: Any) -> Any:
            if is_router(obj):
                text = f"{describe(type(instance))}: {_LEFT_BEHIND['__genro_routes_router__']}"
                return Placeholder, (text,)
            if not is_routing(obj):
                return NotImplemented
            source = self._catalog.source_of(obj)
            if source is not self:
                references.append(source)
            return replica_reference(source, obj)

        buffer = io.BytesIO()
        CarefulPickler(buffer, special).dump(_State(self.key, type(instance), number, values))
        return buffer.getvalue(), tuple(references)


def _reference(instance: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(instance)
    except TypeError:
        return lambda: instance


def _attributes(instance: Any) -> Iterator[tuple[str, Any]]:
    for name, value in getattr(instance, "__dict__", _NOTHING).items():
        if name not in _LEFT_BEHIND or value is None:
            yield name, value
    owner: Any = type(instance)
    for name in _slots(owner):
        value = getattr(instance, name, _UNSET)
        if value is not _UNSET and (name not in _LEFT_BEHIND or value is None):
            yield name, value


@cache
def _slots(owner: Any) -> tuple[str, ...]:
    """The names of the slots that instances of ``owner`` have."""
    names = []
    for cls in owner.__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            mangled = slot.startswith("__") and not slot.endswith("__")
            name = f"_{cls.__name__.lstrip('_')}{slot}" if mangled else slot
            if name not in ("__dict__", "__weakref__"):
                names.append(name)
    return tuple(names)


class ReplicaCatalog:
    """Every application and section whose handlers were called through one pool."""

    def __init__(self, keys: Iterator[int] | None = None) -> None:
        self.keys = keys if keys is not None else itertools.count(1)
        self._sources: dict[int, ReplicaSource] = {}

    def source_of(self, instance: Any) -> ReplicaSource:
        """The source of ``instance``, made on first use and dropped with it."""
        source = self._sources.get(id(instance))
        if source is None:
            source = self._sources[id(instance)] = ReplicaSource(self, instance)
            with suppress(TypeError):  # slots without __weakref__: it is kept for good
                weakref.finalize(instance, self._sources.pop, id(instance), None).atexit = False
        return source


@dataclass(frozen=True, slots=True)
class _State:
    """A part of a replica's state on its way to a worker."""

    key: int
    cls: type
    part: int
    values: dict[str, Any]


_current_store: ContextVar[ReplicaStore] = ContextVar("_current_store")


def replica_reference(source: ReplicaSource, instance: Any) -> tuple[Any, ...]:
    """What ``instance`` is pickled as: the replica that stands for it in the worker."""
    return _replica, (source.key, type(instance))


class ReplicaHereError(Exception):
    """What stands for an application or section was unpickled outside of a worker."""


def _replica(key: int, cls: type) -> Any:
    store = _current_store.get(None)
    if store is None:
        raise ReplicaHereError(f"the replica of {describe(cls)} is for a worker")
    return store.shell(key, cls)


class ReplicaStore:
    """The replicas of one worker process."""

    def __init__(self) -> None:
        self._replicas: dict[int, Any] = {}
        self._origin: dict[int, dict[str, int]] = {}
        self._not_started: list[Any] = []
        self._started: list[Any] = []

    def activate(self) -> None:
        """Make this the store that references in what is unpickled here lead to."""
        _current_store.set(self)

    def load(self, payload: bytes | memoryview) -> None:
        """Take in one part of a replica's state."""
        self.update(pickle.loads(payload))

    def shell(self, key: int, cls: Any) -> Any:
        """The replica of ``key``; an empty one of ``cls`` if there is none yet."""
        replica = self._replicas.get(key)
        if replica is None:
            replica = self._replicas[key] = cls.__new__(cls)
            for name, text in _LEFT_BEHIND.items():
                if name == "_server" and not hasattr(cls, "server"):
                    continue
                explanation = f"{describe(cls)}: {text}"
                object.__setattr__(replica, name, Placeholder(explanation))
            self._not_started.append(replica)
        return replica

    def update(self, state: _State) -> None:
        """Set the attributes of ``state``; what a handler has set on the replica stays."""
        replica = self.shell(state.key, state.cls)
        origin = self._origin.setdefault(state.key, {})
        for name in [n for n, part in origin.items() if part == state.part]:
            if name not in state.values:
                del origin[name]
                if hasattr(replica, name):
                    object.__delattr__(replica, name)
        for name, value in state.values.items():
            object.__setattr__(replica, name, value)
            origin[name] = state.part

    def ready(self, key: int) -> Any:
        """The replica of ``key``, after ``on_worker_startup`` of every new replica."""
        while self._not_started:
            replica = self._not_started[0]
            startup: Callable[[], Any] | None = getattr(replica, "on_worker_startup", None)
            if inspect.iscoroutinefunction(startup):
                raise SerializationError(
                    f"{describe(type(replica))}.on_worker_startup is a coroutine function; a "
                    "worker runs it without an event loop. Write it as a plain function"
                )
            if startup is not None:
                startup()
            self._started.append(self._not_started.pop(0))
        return self._replicas[key]

    def shutdown_hooks(self) -> Iterator[Callable[[], Any]]:
        """``on_worker_shutdown`` of every started replica, the last one started first."""
        for replica in reversed(self._started):
            hook = getattr(replica, "on_worker_shutdown", None)
            if hook is not None:
                yield hook
