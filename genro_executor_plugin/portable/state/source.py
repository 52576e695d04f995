# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The state of ``self`` in the server: what of an application or section is sent, and when.

A replica has the same class and the attributes as they were when the call was sent, without
server, router, context and parent. It is sent in two parts, each only when it has changed:
``fixed`` holds what cannot change in place (numbers, strings, bytes, tuples of such, and what
the class declares constant), for which identity alone tells a change; ``variable`` holds the
rest, pickled again with every call and compared, because a change inside a list is a change, too.
Every attribute has a stamp (``stamps.py``), so that a worker sets those that changed and no other.
Instances are only read here, never changed.
"""

from __future__ import annotations

import io
import itertools
import pickle
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from ...errors import SerializationError
from ..by_type import DISPATCH, fresh_lock
from ..culprit import find_unpicklable
from ..definitions import STATE, Definition
from ..pickling import CarefulPickler, why
from ..references import class_refusal, describe
from .declared import attributes, is_fixed, is_routing, state_of_class
from .format import State, packed_state, replica_of
from .left_behind import LeftBehind, weakly
from .lock_notice import LockNotice
from .placeholders import LEFT_BEHIND, Placeholder
from .section_names import PARENT, ROUTER, is_router
from .stamps import Stamps

__all__ = ["ReplicaCatalog", "replica_reference"]

_UNSET = object()

_ATTEMPTS = 5
"""How often state is read again when another thread changed it while it was read."""


class _Part:
    """One part of a replica's state: its last version, as it was pickled."""

    __slots__ = (
        "definition",
        "key",
        "owner",
        "plain",
        "plain_pickle",
        "references",
        "values",
        "version",
    )

    def __init__(self, key: int, owner: int) -> None:
        self.key = key
        self.owner = owner
        self.version = 0
        self.values = b""
        self.plain = False  # whether the pickler had nothing to replace in it
        self.plain_pickle: bytes | None = None
        self.definition: Definition | None = None
        self.references: tuple[ReplicaSource, ...] = ()

    def update(self, stamps: Mapping[str, int], values: bytes) -> None:
        """Make ``values``, which have changed, the next version."""
        self.version += 1
        self.values = values
        payload = packed_state(stamps, values)
        self.definition = Definition(self.key, self.version, self.owner, STATE, payload)


class ReplicaSource:
    """One application or section, and the last version of its state."""

    def __init__(self, catalog: ReplicaCatalog, instance: Any) -> None:
        self.key: int = next(catalog.keys)
        self._catalog = catalog
        self._instance = weakly(instance)
        owner: Any = type(instance)
        self._how = state_of_class(owner)
        self._fixed: dict[str, Any] = {}
        self._unpicklable: dict[str, tuple[Any, Placeholder]] = {}
        self._undeclared: dict[str, Placeholder] = {}
        self._left_behind = LeftBehind()
        self._left: dict[str, tuple[int, Any]] = {}
        self._size = -1
        self._had_variable = False
        self._met_special = False
        self._stamps = Stamps(catalog.keys)
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

    def placeholders(self) -> dict[str, Placeholder]:
        """What a worker has in place of the attributes that cannot travel, by name."""
        self._refresh()
        own = {name: placeholder for name, (_, placeholder) in self._unpicklable.items()}
        left = {name: v for name, v in self._fixed.items() if type(v) is Placeholder}
        return {**self._undeclared, **left, **own}

    # -- what has changed -------------------------------------------------------------------

    def _refresh(self) -> None:
        """Bring both parts up to date with the instance."""
        instance = self._instance()
        kept, variable = 0, {}
        fixed_changed = self._how.chosen is not None and self._has_other_attributes(instance)
        for name, value in self._attributes(instance):
            same = self._fixed.get(name, _UNSET) is value
            if same and (name not in self._unpicklable or self._is_unpicklable(name, value)):
                kept += 1
            elif self._is_fixed(name, value):
                fixed_changed = True
            else:
                variable[name] = value
        fixed, changing = self._parts
        if fixed_changed or kept != len(self._fixed) or fixed.definition is None:
            now = {n: v for n, v in self._attributes(instance) if self._is_fixed(n, v)}
            for name, value in now.items():
                if self._fixed.get(name, _UNSET) is not value or name in self._unpicklable:
                    self._stamps.renew(name)
            self._fixed = now
            if not self._write_fixed(fixed, instance):
                self._again()
                return
        if variable or self._had_variable or changing.definition is None:
            self._had_variable = bool(variable)
            if not self._write_variable(changing, instance, variable):
                self._again()

    def _attributes(self, instance: Any) -> Iterator[tuple[str, Any]]:
        """The attributes that are sent, placeholders for what is left behind among them."""
        for name, value in attributes(instance):
            if value is not None and name in LEFT_BEHIND:
                known = self._left.get(name)
                if known is None or known[0] != id(value) or name == PARENT:
                    known = id(value), self._left_behind.of(instance, name, value)
                    self._left[name] = known
                value = known[1]
            yield name, value

    def _again(self) -> None:
        """Start over, after an attribute was found that cannot travel."""
        self._fixed = {}  # its placeholder belongs to the fixed part
        self._refresh()

    def _is_fixed(self, name: str, value: Any) -> bool:
        if self._how.sets:
            return False  # __setstate__ is given everything at once
        constant = name in self._how.constants and name not in self._unpicklable
        return constant or is_fixed(value) or self._is_unpicklable(name, value)

    def _is_unpicklable(self, name: str, value: Any) -> bool:
        if name not in self._unpicklable or self._unpicklable[name][0] is not value:
            return False
        # The part that cannot travel may have left a container since; then it travels again.
        if type(value) in (list, dict, set) and self._travels(name, value):
            del self._unpicklable[name]
            return False
        return True

    def _travels(self, name: str, value: Any) -> bool:
        try:
            self._pickle(1, self._instance(), {name: value})
        except BaseException:
            return False
        return True

    def _has_other_attributes(self, instance: Any) -> bool:
        """Whether the number of attributes has changed, which may be undeclared ones."""
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
        values = {**self._undeclared, **self._with_placeholders(self._fixed)}
        pickled = self._pickled(0, instance, values)
        if pickled is None:
            return False
        payload, part.references = pickled
        if payload != part.values:
            part.update(self._stamps.of(values), payload)
        return True

    def _write_variable(self, part: _Part, instance: Any, variable: dict[str, Any]) -> bool:
        values = self._with_placeholders(variable)
        # Plain pickling tells a change as well, and takes less time.
        now = _plainly(values) if part.plain else None
        if now is not None and now == part.plain_pickle:
            return True
        pickled = self._pickled(1, instance, values)
        if pickled is None:
            return False
        payload, part.references = pickled
        part.plain, part.plain_pickle = not self._met_special, now
        if payload != part.values:
            self._catalog.locks.look(instance, values, payload)
            self._stamps.renew_changed(values, self._special(instance, []), is_routing)
            part.update(self._stamps.of(values), payload)
        return True

    def _with_placeholders(self, state: dict[str, Any]) -> dict[str, Any]:
        return {
            name: self._unpicklable[name][1] if self._is_unpicklable(name, value) else value
            for name, value in state.items()
        }

    def _pickled(
        self, number: int, instance: Any, values: dict[str, Any]
    ) -> tuple[bytes, tuple[ReplicaSource, ...]] | None:
        """``values`` as bytes; ``None`` if some cannot travel and have placeholders now."""
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
        """Make placeholders for those of ``values`` that cannot travel."""
        try:
            self._pickle(number, instance, {})
        except BaseException as reason:
            raise SerializationError(class_refusal(type(instance), why(reason))) from reason
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
                self._unpicklable[name] = value, Placeholder(text)
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
        """A hook for the pickler: it replaces routers, applications and sections."""

        def special(obj: Any) -> Any:
            if is_router(obj):
                self._met_special = True
                text = f"{describe(type(instance))}: {LEFT_BEHIND[ROUTER]}"
                return Placeholder, (text,)
            if not is_routing(obj):
                # What the server locks now says nothing of the threads of a worker.
                return fresh_lock(obj)
            self._met_special = True
            source = self._catalog.source_of(obj)
            if source is not self:
                references.append(source)
            return replica_reference(source, obj)

        return special


def _plainly(values: dict[str, Any]) -> bytes | None:
    try:
        buffer = io.BytesIO()
        pickler = pickle.Pickler(buffer, 5)
        pickler.dispatch_table = DISPATCH
        pickler.dump(values)
        return buffer.getvalue()
    except BaseException:
        return None


def _changed_meanwhile(error: BaseException) -> bool:
    return isinstance(error, RuntimeError) and "changed size during iteration" in str(error)


class ReplicaCatalog:
    """Every application and section whose handlers were called through one pool."""

    def __init__(self, keys: Iterator[int] | None = None) -> None:
        self.keys: Iterator[int] = keys if keys is not None else itertools.count(1)
        self._sources: dict[int, ReplicaSource] = {}
        self.locks: LockNotice = LockNotice(lambda obj: is_routing(obj) or is_router(obj))

    def source_of(self, instance: Any) -> ReplicaSource:
        """The source of ``instance``, made on first use and dropped with it."""
        source = self._sources.get(id(instance))
        if source is None:
            # A thread that packs a large call may be faster: there is one source for each.
            source = self._sources.setdefault(id(instance), ReplicaSource(self, instance))
            with suppress(TypeError):  # slots without __weakref__: the source is kept for good
                weakref.finalize(instance, self._sources.pop, id(instance), None).atexit = False
        return source


def replica_reference(source: ReplicaSource, instance: Any) -> tuple[Any, ...]:
    """What ``instance`` is pickled as: the replica that stands for it in the worker."""
    return replica_of, (source.key, type(instance))
