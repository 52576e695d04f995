# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The call made portable: which function, which ``self``, which arguments.

``CallPacker`` turns a function and its arguments into a ``PackedCall``: bytes, and the
definitions (functions, states of replicas) that a worker must have before it reads them with
``worker/reading.py``. A call is packed before it waits for a worker: an argument that cannot
travel is refused at once, and takes no place in a queue. Nothing here knows who runs the call.
"""

from __future__ import annotations

import inspect
import itertools
import pickle
import weakref
from collections.abc import Callable
from types import CodeType, FunctionType, MethodType
from typing import Any

from ..errors import SerializationError
from ..options.context_variables import ContextReference
from .by_type import plain_dumps
from .context_reads import UnsentVariables
from .culprit import find_unpicklable
from .definitions import CALL_HEAD, FUNCTION, Definition
from .function_code import NamedFunction
from .pickling import dumps, why
from .process_settings import ProcessSettingsSource
from .references import Reference, describe, reference_to, warn_of_globals
from .shared_memory.segments import (
    LARGE_BYTES,
    Segment,
    Segments,
    Split,
    looks_large,
    split,
)
from .state.declared import is_routing
from .state.placeholders import Placeholder
from .state.source import ReplicaCatalog, replica_reference

__all__ = ["CallPacker", "PackedCall"]

_GLOBAL = pickle.STACK_GLOBAL
"""The byte without which a pickle holds no class and no instance of one, only plain values."""


class PackedCall:
    """A call as bytes, and what is known of it without reading them.

    Attributes:
        payload: what a worker's ``CallReader`` reads.
        definitions: what the worker must have before it reads the call, in this order.
        title: the function's name, for messages and displays.
        is_async: whether the function makes a coroutine.
        key: identifies the function in this pool if it travels by reference, 0 if it does not.
        segment: where the arguments lie if they are large, ``None`` if they are in ``payload``.
    """

    __slots__ = ("definitions", "is_async", "key", "payload", "segment", "title")

    def __init__(
        self,
        payload: bytes,
        definitions: tuple[Definition, ...],
        title: str,
        is_async: bool,
        key: int,
        segment: Segment | None,
    ) -> None:
        self.payload: bytes = payload
        self.definitions: tuple[Definition, ...] = definitions
        self.title: str = title
        self.is_async: bool = is_async
        self.key: int = key
        self.segment: Segment | None = segment

    def reread_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as a worker would get them.

        Raises:
            ReplicaHereError: an application is among them, and its replica exists in workers only.
            Exception: whatever their unpickling raises.
        """
        args, kwargs, *_ = pickle.loads(self.payload)
        return args, kwargs


class _Function:
    """What a packer knows of a function: the same for all of its calls."""

    __slots__ = (
        "_own",
        "code",
        "definitions",
        "has_objects",
        "is_async",
        "key",
        "large",
        "settings",
        "title",
        "unsent",
    )

    def __init__(self, title: str, is_async: bool, definition: Definition | None = None) -> None:
        self.title = title
        self.code: CodeType | None = None
        self.is_async = is_async
        self._own = () if definition is None else (definition,)
        self.definitions: tuple[Definition, ...] = ()
        self.settings: Definition | None = None
        self.key = 0 if definition is None else definition.key
        self.large = False
        self.has_objects = False
        self.unsent: UnsentVariables | None = None

    def look_for_unsent(self) -> None:
        """Log context variables that the caller has set and that do not go along."""
        assert self.unsent is not None
        self.unsent.look(self.title)
        if not self.unsent:
            self.unsent = None

    def begin_with(self, settings: Definition) -> None:
        """Have ``definitions`` begin with the process settings."""
        self.settings = settings
        self.definitions = (settings, *self._own)


class CallPacker:
    """Packs the calls of one pool; remembers what it has packed before.

    With ``segments``, large arguments go there; without, they stay in the payload. ``context`` are
    the context variables that go along with every call.
    """

    def __init__(
        self, segments: Segments | None = None, context: tuple[ContextReference, ...] = ()
    ) -> None:
        self._context = context
        self._keys = itertools.count(1)
        self._replicas = ReplicaCatalog(self._keys)
        self._segments = segments
        self._settings = ProcessSettingsSource(next(self._keys))
        # No weak references: a function that a reference leads to stays in its module anyway.
        self._by_reference: dict[FunctionType, _Function] = {}
        self._references: set[Reference] = set()
        self._by_value: weakref.WeakKeyDictionary[FunctionType, _Function] = (
            weakref.WeakKeyDictionary()
        )

    def pack(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        cleanup: Any = None,
        extras: bytes | None = None,
    ) -> PackedCall:
        """Pack ``func(*args, **kwargs)``.

        Args:
            func: a function, a method, or anything callable that pickles.
            args: its positional arguments.
            kwargs: its keyword arguments.
            cleanup: the application whose ``route_cleanup()`` runs after the call.
            extras: what ``pack_extras`` returned for the call.

        Raises:
            SerializationError: naming what cannot travel, the reason and the cure.
        """
        unbound: Any = func
        states: list[Definition] = []
        seen: set[int] = set()
        owner_key = cleanup_key = 0
        if type(func) is MethodType and is_routing(func.__self__):
            unbound, owner_key = func.__func__, self._define(func.__self__, states, seen)
        if cleanup is not None:
            cleanup_key = self._define(cleanup, states, seen)
        function = self._by_reference.get(unbound) if type(unbound) is FunctionType else None
        if function is None or function.code is not unbound.__code__:
            function = self._function(unbound, func)
        if function.unsent is not None:
            function.look_for_unsent()
        key = function.key
        call: tuple[Any, ...] = (args, kwargs) if key else (args, kwargs, unbound)
        if extras is not None:
            call = (*call, extras)
        segment, body = None, None
        if self._segments is not None and (
            function.large
            or (args and any(map(looks_large, args)))
            or (kwargs and any(map(looks_large, kwargs.values())))
        ):
            segment = self._hold(function, call, states, seen)
        if segment is not None:
            body = segment.layout
        else:
            try:
                body = self._body(function, call, unbound)
            except Exception:
                body = self._pack_carefully(func, call, states, seen)
            if len(body) >= LARGE_BYTES and self._segments is not None:
                function.large = True
                segment = self._segments.hold(Split.of(body))
                if segment is not None:
                    body = segment.layout
        settings = self._settings.definition()
        if function.settings is not settings:
            function.begin_with(settings)
        definitions = function.definitions
        if states:
            definitions = (definitions[0], *states, *definitions[1:])
        payload = body + CALL_HEAD.pack(key, owner_key, cleanup_key, extras is not None)
        return PackedCall(payload, definitions, function.title, function.is_async, key, segment)

    @staticmethod
    def _body(function: _Function, call: tuple[Any, ...], unbound: Any) -> bytes:
        """The call as bytes, by the fastest pickler that is right for it."""
        if not function.key:
            # Pickle would name a function that no worker finds.
            return dumps(call, None, plain=type(unbound) is not FunctionType)
        if not function.has_objects:
            body = pickle.dumps(call, 5)
            if _GLOBAL not in body:
                return body
            function.has_objects = True  # what is done by type is done from the start next time
        return plain_dumps(call)

    def placeholders_of(self, instance: Any) -> dict[str, Placeholder]:
        """What a worker has in place of attributes of ``instance`` that cannot travel, by name."""
        return self._replicas.source_of(instance).placeholders()

    def _hold(
        self,
        function: _Function,
        call: tuple[Any, ...],
        states: list[Definition],
        seen: set[int],
    ) -> Segment | None:
        """The arguments in shared memory; ``None`` if they are not large or cannot lie there."""
        assert self._segments is not None
        met: list[Any] = []
        try:
            parts = split(call, self._replicas_for(met))
        except Exception:
            return None  # packing them in one piece raises the error
        function.large = parts.size >= LARGE_BYTES
        segment = self._segments.hold(parts) if function.large else None
        if segment is not None:
            for instance in met:
                self._define(instance, states, seen)
        return segment

    def _replicas_for(self, met: list[Any]) -> Callable[[Any], Any]:
        """A hook for the pickler: it replaces applications by replicas and adds them to ``met``."""

        def special(obj: Any) -> Any:
            if not is_routing(obj):
                return NotImplemented
            met.append(obj)
            return replica_reference(self._replicas.source_of(obj), obj)

        return special

    def _define(self, instance: Any, definitions: list[Definition], seen: set[int]) -> int:
        source = self._replicas.source_of(instance)
        definitions.extend(source.definitions(seen))
        return source.key

    def _function(self, unbound: Any, func: Any) -> _Function:
        if type(unbound) is not FunctionType:
            return _Function(describe(unbound), inspect.iscoroutinefunction(unbound))
        known = self._by_value.get(unbound)
        if known is not None:
            return known
        title, is_async = describe(unbound), inspect.iscoroutinefunction(unbound)
        owner = type(func.__self__) if type(func) is MethodType else None
        reference = reference_to(unbound, owner)
        if reference is None:
            warn_of_globals(unbound)
            known = self._by_value[unbound] = _Function(title, is_async)
            return known
        key = next(self._keys)
        named = NamedFunction.of(unbound, reference, changed=reference in self._references)
        self._references.add(reference)
        definition = Definition(key, 1, key, FUNCTION, pickle.dumps(named, 5))
        known = self._by_reference[unbound] = _Function(title, is_async, definition)
        known.code = unbound.__code__
        sent = [variable.resolve() for variable in self._context]
        known.unsent = UnsentVariables(unbound, owner, sent) or None
        return known

    def _pack_carefully(
        self, func: Any, call: tuple[Any, ...], definitions: list[Definition], seen: set[int]
    ) -> bytes:
        met: list[Any] = []
        special = self._replicas_for(met)
        try:
            body = dumps(call, special)
        except Exception as error:
            raise self._refusal(func, call, error, special) from error
        for instance in met:
            self._define(instance, definitions, seen)
        return body

    def _refusal(
        self, func: Any, call: tuple[Any, ...], error: Exception, special: Callable[[Any], Any]
    ) -> SerializationError:
        args, kwargs, *function = call
        for name, value in _named(func, args, kwargs):
            culprit = find_unpicklable(value, lambda part: dumps(part, special))
            if culprit is not None:
                path, reason = culprit
                place = f" ({name}{path})" if path else ""
                return SerializationError(
                    f"argument {name!r}{place} of {describe(func)} cannot travel to a worker: "
                    f"{why(reason)}. Pass plain data instead, and open in the worker what only "
                    "lives there"
                )
        culprit = (
            find_unpicklable(function[0], lambda part: dumps(part, special)) if function else None
        )
        path, reason = culprit or ("", error)
        return SerializationError(
            f"the function {describe(func)}{path} cannot travel to a worker: {why(reason)}. "
            "Define it at the top level of a module"
        )


def _named(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[tuple[str, Any]]:
    try:
        names = [
            name
            for name, parameter in inspect.signature(func).parameters.items()
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        names = []
    positional = [
        (names[index] if index < len(names) else f"#{index + 1}", value)
        for index, value in enumerate(args)
    ]
    return positional + list(kwargs.items())
