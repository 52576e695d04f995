# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``self`` of a handler as its server sees it: what of an application or section travels, when.

A replica has the same class and the attributes as they were when the call was sent, without
server, router, context and parent. It is sent in two parts, each only when it has changed:
``fixed`` holds what cannot change in place (numbers, strings, bytes, tuples of such, and what
the class declares constant), told apart by identity alone; ``variable`` holds the rest, pickled
anew with every call and compared, because a change inside a list is a change, too. Every
attribute has a stamp that changes with it, so that a worker sets what is new and nothing else.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import pickle
import sys
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from ...errors import SerializationError
from ..culprit import find_unpicklable
from ..definitions import STATE, Definition
from ..pickling import CarefulPickler, why
from ..references import describe
from .declared import attributes, is_fixed, state_of_class
from .format import State, packed_state, replica_of
from .placeholders import LEFT_BEHIND, Placeholder

__all__ = ["ReplicaCatalog", "ReplicaSource", "is_routing", "replica_reference"]

_UNSET = object()

_ATTEMPTS = 5
"""How often state is read again that a thread of the server changed while it was read."""

_SHARED_BY_ALL = (FunctionType, BuiltinFunctionType, ModuleType, type)
"""That two attributes refer to the same one of these does not tie them together."""


def is_routing(obj: Any) -> bool:
    """Whether ``obj`` is an application or a section (a genro-routes ``RoutingClass``)."""
    routing = sys.modules.get("genro_routes.core.routing")
    return routing is not None and isinstance(obj, routing.RoutingClass)


def is_router(obj: Any) -> bool:
    """Whether ``obj`` is a genro-routes router, which leads to everything in the server."""
    base = sys.modules.get("genro_routes.core.base_router")
    return base is not None and isinstance(obj, base.BaseRouter)


class _Part:
    """One part of a replica's state: the last version of it that was pickled."""

    __slots__ = (
        "definition",
        "key",
        "owner",
        "plain",
        "print",
        "references",
        "values",
        "version",
    )

    def __init__(self, key: int, owner: int) -> None:
        self.key = key
        self.owner = owner
        self.version = 0
        self.values = b""
        self.plain = False  # whether nothing in it is treated in a special way
        self.print: bytes | None = None
        self.definition: Definition | None = None
        self.references: tuple[ReplicaSource, ...] = ()

    def update(self, stamps: Mapping[str, int], values: bytes) -> None:
        self.version += 1
        self.values = values
        payload = packed_state(stamps, values)
        self.definition = Definition(self.key, self.version, self.owner, STATE, payload)


class ReplicaSource:
    """One application or section here, and the versions of its state that were sent."""

    def __init__(self, catalog: ReplicaCatalog, instance: Any) -> None:
        self.key = next(catalog.keys)
        self._catalog = catalog
        self._instance = _reference(instance)
        owner: Any = type(instance)
        self._how = state_of_class(owner)
        self._fixed: dict[str, Any] = {}
        self._stuck: dict[str, tuple[Any, Placeholder]] = {}
        self._undeclared: dict[str, Placeholder] = {}
        self._size = -1
        self._had_variable = False
        self._met_special = False
        self._stamps: dict[str, int] = {}
        self._prints: dict[str, bytes] = {}
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

    # -- what has changed -------------------------------------------------------------------

    def _refresh(self) -> None:
        instance = self._instance()
        kept, variable = 0, {}
        fixed_changed = self._how.chosen is not None and self._has_other_attributes(instance)
        for name, value in attributes(instance):
            same = self._fixed.get(name, _UNSET) is value
            if same and (name not in self._stuck or self._is_stuck(name, value)):
                kept += 1
            elif self._is_fixed(name, value):
                fixed_changed = True
            else:
                variable[name] = value
        fixed, changing = self._parts
        if fixed_changed or kept != len(self._fixed) or fixed.definition is None:
            now = {n: v for n, v in attributes(instance) if self._is_fixed(n, v)}
            for name, value in now.items():
                if self._fixed.get(name, _UNSET) is not value or name in self._stuck:
                    self._stamps[name] = next(self._catalog.keys)
            self._fixed = now
            if not self._write_fixed(fixed, instance):
                self._again()
                return
        if variable or self._had_variable or changing.definition is None:
            self._had_variable = bool(variable)
            if not self._write_variable(changing, instance, variable):
                self._again()

    def _again(self) -> None:
        self._fixed = {}  # what was set aside belongs to the fixed part from now on
        self._refresh()

    def _is_fixed(self, name: str, value: Any) -> bool:
        if self._how.sets:
            return False  # __setstate__ is given everything at once
        constant = name in self._how.constants and name not in self._stuck
        return constant or is_fixed(value) or self._is_stuck(name, value)

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
        except BaseException:
            return False
        return True

    def _has_other_attributes(self, instance: Any) -> bool:
        """Whether there are others that were not declared; they are counted, not looked at."""
        own = getattr(instance, "__dict__", {})
        if len(own) == self._size:
            return False
        self._size = len(own)
        names = own.keys() - LEFT_BEHIND.keys() - set(self._how.chosen or ())
        self._undeclared = {
            name: Placeholder(
                f"{describe(type(instance))}.{name} is not in the worker: it is not among the "
                "class's executor_state. Add it there, or pass what the handler needs of it"
            )
            for name in names
        }
        return True

    # -- what is sent -----------------------------------------------------------------------

    def _write_fixed(self, part: _Part, instance: Any) -> bool:
        values = {**self._undeclared, **self._without_stuck(self._fixed)}
        pickled = self._pickled(0, instance, values)
        if pickled is None:
            return False
        payload, part.references = pickled
        if payload != part.values:
            part.update({name: self._stamps.get(name, 0) for name in values}, payload)
        return True

    def _write_variable(self, part: _Part, instance: Any, variable: dict[str, Any]) -> bool:
        values = self._without_stuck(variable)
        # Plain pickling tells as well whether it has changed, and takes less time.
        now = _plainly(values) if part.plain else None
        if now is not None and now == part.print:
            return True
        pickled = self._pickled(1, instance, values)
        if pickled is None:
            return False
        payload, part.references = pickled
        part.plain, part.print = not self._met_special, now
        if payload != part.values:
            self._stamp_what_changed(instance, values)
            part.update({name: self._stamps[name] for name in values}, payload)
        return True

    def _without_stuck(self, state: dict[str, Any]) -> dict[str, Any]:
        return {
            name: self._stuck[name][1] if self._is_stuck(name, value) else value
            for name, value in state.items()
        }

    def _stamp_what_changed(self, instance: Any, values: dict[str, Any]) -> None:
        """A new stamp for every value that changed, and for those it shares objects with.

        Objects that two attributes share stay shared in a worker only if both are set anew.
        """
        prints, shared = {}, {}
        for name, value in values.items():
            buffer = io.BytesIO()
            pickler = CarefulPickler(buffer, self._special(instance, []))
            pickler.dump(value)
            prints[name] = hashlib.blake2b(buffer.getbuffer(), digest_size=16).digest()
            met = pickler.memo.copy()
            shared[name] = {id_ for id_, (_, obj) in met.items() if not _is_common(obj)}
        new = {name for name in values if self._prints.get(name) != prints[name]}
        touched: set[int] = set().union(*(shared[name] for name in new))
        while more := {n for n in values.keys() - new if not touched.isdisjoint(shared[n])}:
            new |= more
            touched = touched.union(*(shared[name] for name in more))
        for name in new:
            self._stamps[name] = next(self._catalog.keys)
        self._prints = prints

    def _pickled(
        self, number: int, instance: Any, values: dict[str, Any]
    ) -> tuple[bytes, tuple[ReplicaSource, ...]] | None:
        """``values`` as bytes; ``None`` if some of them cannot travel, and were set aside."""
        for _ in range(_ATTEMPTS):
            try:
                return self._pickle(number, instance, values)
            except BaseException as error:
                if not _changed_meanwhile(error):
                    self._set_aside(number, instance, values)
                    return None
        raise SerializationError(
            f"the state of {describe(type(instance))} cannot be read: another thread changes it "
            f"all the time ({_ATTEMPTS} attempts). Change a copy, and assign that"
        )

    def _set_aside(self, number: int, instance: Any, values: dict[str, Any]) -> None:
        found = False
        for name, value in values.items():
            culprit = find_unpicklable(
                value, lambda part: self._pickle(number, instance, {"": part})
            )
            if culprit is not None:
                found = True
                path, error = culprit
                where = f"{describe(type(instance))}.{name}"
                if path:
                    where += f" (self.{name}{path})"
                text = (
                    f"{where} cannot travel to a worker: {why(error)}. "
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
        self._met_special = False
        buffer = io.BytesIO()
        state = State(self.key, type(instance), number, values, self._how.sets and number == 1)
        CarefulPickler(buffer, self._special(instance, references)).dump(state)
        return buffer.getvalue(), tuple(references)

    def _special(self, instance: Any, references: list[ReplicaSource]) -> Callable[[Any], Any]:
        def special(obj: Any) -> Any:
            if is_router(obj):
                self._met_special = True
                text = f"{describe(type(instance))}: {LEFT_BEHIND['__genro_routes_router__']}"
                return Placeholder, (text,)
            if not is_routing(obj):
                return NotImplemented
            self._met_special = True
            source = self._catalog.source_of(obj)
            if source is not self:
                references.append(source)
            return replica_reference(source, obj)

        return special


def _plainly(values: dict[str, Any]) -> bytes | None:
    try:
        return pickle.dumps(values, 5)
    except BaseException:
        return None


def _is_common(obj: Any) -> bool:
    return is_fixed(obj) or isinstance(obj, _SHARED_BY_ALL) or is_routing(obj)


def _changed_meanwhile(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and "changed size during iteration" in str(error)


def _reference(instance: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(instance)
    except TypeError:
        return lambda: instance


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


def replica_reference(source: ReplicaSource, instance: Any) -> tuple[Any, ...]:
    """What ``instance`` is pickled as: the replica that stands for it in the worker."""
    return replica_of, (source.key, type(instance))
