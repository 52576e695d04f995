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
import io
import itertools
import pickle
import weakref
from collections.abc import Callable
from functools import partial
from time import monotonic, perf_counter
from types import FunctionType, MethodType
from typing import Any

from ..options.context_variables import ContextReference
from .by_type import is_behind_with_modules, plain_dumps, plain_pickler
from .calls import KnownFunction, PackedCall
from .context_reads import UnsentVariables
from .definitions import CALL_HEAD, FUNCTION, Definition
from .function_code import NamedFunction
from .heaviness import (
    LARGE,
    SLOW_SECONDS,
    BoundedFile,
    SlowError,
    TooLargeError,
    is_quickly_copied,
    weigh,
)
from .large_calls import LargeCall
from .main_module import main_source
from .pickling import CarefulPickler
from .process_settings import ProcessSettingsSource
from .references import Reference, describe, reference_to, warn_of_globals
from .refusal import refusal_of_call
from .refused_types import NotPortableError
from .shared_memory.segments import Segment, Segments
from .state.declared import is_routing
from .state.placeholders import Placeholder
from .state.source import ReplicaCatalog, replica_reference

__all__ = ["CallPacker"]

_GLOBAL = pickle.STACK_GLOBAL[0]
"""The byte without which a pickle holds no class and no instance of one, only plain values."""


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
        self._by_reference: dict[FunctionType, KnownFunction] = {}
        self._references: set[Reference] = set()
        self._by_value: weakref.WeakKeyDictionary[FunctionType, KnownFunction] = (
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
            TooLargeError: ``aside`` is for it; a packer without segments packs everything here.
            SlowError: ``aside`` is for it, at once.
        """
        unbound: Any = func
        owner: Any = None
        if type(func) is MethodType and is_routing(func.__self__):
            unbound, owner = func.__func__, func.__self__
        function = self._by_reference.get(unbound) if type(unbound) is FunctionType else None
        if function is None or function.code is not unbound.__code__:
            function = self._function(unbound, func)
        told = True
        if self._segments is not None:
            weight = weigh(args) if args else 0
            if kwargs and 0 <= weight < LARGE:
                weight = weigh(kwargs.values())
            if function.large or weight >= LARGE:
                raise TooLargeError
            told = weight >= 0
            if not function.looked and not (told and owner is None and cleanup is None):
                function.looked = True
                if is_behind_with_modules():
                    raise SlowError
        states: list[Definition] = []
        seen: set[int] = set()
        owner_key = self._define(owner, states, seen) if owner is not None else 0
        cleanup_key = self._define(cleanup, states, seen) if cleanup is not None else 0
        call: tuple[Any, ...] = (args, kwargs) if function.key else (args, kwargs, unbound)
        if extras is not None:
            call = (*call, extras)
        try:
            if told and function.key and not function.has_objects:
                body = pickle.dumps(call, 5)
                if _GLOBAL in body:
                    function.has_objects = True  # is done by type from the start next time
                    body = plain_dumps(call)
            else:
                body = self._body(function, call, unbound, told)
        except TooLargeError:
            raise
        except NotPortableError as error:
            if self._segments is not None:
                raise SlowError from error  # names of objects are looked for everywhere
            body = self._pack_carefully(function, func, call, states, seen)
        except Exception:
            body = self._pack_carefully(function, func, call, states, seen)
        if owner_key or cleanup_key or extras is not None:
            head = CALL_HEAD.pack(function.key, owner_key, cleanup_key, extras is not None)
        else:
            head = function.head
        return self._packed(function, body + head, states)

    def aside(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        cleanup: Any = None,
        extras: bytes | None = None,
    ) -> LargeCall:
        """A large call, with the arguments of ``pack``: its ``write`` is for a thread."""
        assert self._segments is not None
        unbound: Any = func
        owner: Any = None
        if type(func) is MethodType and is_routing(func.__self__):
            unbound, owner = func.__func__, func.__self__
        known = self._by_reference.get(unbound) if type(unbound) is FunctionType else None
        if known is None or known.code is not unbound.__code__:
            known = self._function(unbound, func)
        function = known
        call = (args, kwargs) if function.key else (args, kwargs, unbound)
        whole: tuple[Any, ...] = call if extras is None else (*call, extras)
        met: list[Any] = []

        def packed(body: bytes, segment: Segment | None) -> PackedCall:
            states: list[Definition] = []
            seen: set[int] = set()
            owner_key = self._define(owner, states, seen) if owner is not None else 0
            cleanup_key = self._define(cleanup, states, seen) if cleanup is not None else 0
            for instance in met:
                self._define(instance, states, seen)
            head = CALL_HEAD.pack(function.key, owner_key, cleanup_key, extras is not None)
            return self._packed(function, body + head, states, segment)

        special = self._replicas_for(met)
        large = LargeCall(func, whole, function, met, special, self._segments, packed)
        if is_quickly_copied((*args, *kwargs.values())):
            large.take()  # the caller may change them behind the call
        return large

    def _packed(
        self,
        function: KnownFunction,
        payload: bytes,
        states: list[Definition],
        segment: Segment | None = None,
    ) -> PackedCall:
        if function.unsent is not None:
            function.look_for_unsent()
        settings = self._settings
        if monotonic() > settings.fresh_until:
            settings.look()
        if function.settings is not settings.definition:
            function.begin_with(settings.definition)
        definitions = function.definitions
        if states:
            definitions = (definitions[0], *states, *definitions[1:])
        return PackedCall(
            payload, definitions, function.title, function.is_async, function.key, segment
        )

    def _body(
        self, function: KnownFunction, call: tuple[Any, ...], unbound: Any, told: bool
    ) -> bytes:
        """The call as bytes, by the fastest pickler that is right for it.

        Raises:
            TooLargeError: it was not ``told`` that it is small, and it is not.
            Exception: it takes the careful pickler, or nothing can pickle it.
        """
        if not function.key:
            # Pickle would name a function that no worker finds.
            plain = type(unbound) is not FunctionType and any(main_source())
            return self._bounded(function, plain_pickler if plain else CarefulPickler, call)
        if not function.has_objects:
            body = self._bounded(function, _pickler, call)
            if _GLOBAL not in body:
                return body
            function.has_objects = True  # what is done by type is done from the start next time
        return plain_dumps(call) if told else self._bounded(function, plain_pickler, call)

    def _bounded(self, function: KnownFunction, pickler: Any, call: tuple[Any, ...]) -> bytes:
        """``call`` pickled by ``pickler``.

        Raises:
            TooLargeError: it is large.
        """
        if self._segments is None:
            buffer = io.BytesIO()
            pickler(buffer).dump(call)
            return buffer.getvalue()
        file, began = BoundedFile(), perf_counter()
        try:
            pickler(file, buffer_callback=file.keep_inside).dump(call)
        except TooLargeError:
            function.large = True
            raise
        # What pickles slowly is users' code: there is a thread for it from the next call on.
        function.large = perf_counter() - began > SLOW_SECONDS
        return file.getvalue()

    def known_as(self, func: Callable[..., Any]) -> tuple[int, int, str]:
        """How workers know ``func``: its key, the key of its ``self``, and its title; 0 for no key.

        A function that travels by value has none.
        """
        unbound: Any = func
        owner_key = 0
        if type(func) is MethodType and is_routing(func.__self__):
            unbound, owner_key = func.__func__, self._replicas.source_of(func.__self__).key
        function = self._by_reference.get(unbound) if type(unbound) is FunctionType else None
        if function is None or function.code is not unbound.__code__:
            function = self._function(unbound, func)
        return function.key, owner_key, function.title

    def placeholders_of(self, instance: Any) -> dict[str, Placeholder]:
        """What a worker has in place of attributes of ``instance`` that cannot travel, by name."""
        return self._replicas.source_of(instance).placeholders()

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

    def _function(self, unbound: Any, func: Any) -> KnownFunction:
        if type(unbound) is not FunctionType:
            return KnownFunction(describe(unbound), inspect.iscoroutinefunction(unbound))
        known = self._by_value.get(unbound)
        if known is not None:
            return known
        title, is_async = describe(unbound), inspect.iscoroutinefunction(unbound)
        owner = type(func.__self__) if type(func) is MethodType else None
        reference = reference_to(unbound, owner)
        if reference is None:
            warn_of_globals(unbound)
            known = self._by_value[unbound] = KnownFunction(title, is_async)
            return known
        key = next(self._keys)
        named = NamedFunction.of(unbound, reference, changed=reference in self._references)
        self._references.add(reference)
        definition = Definition(key, 1, key, FUNCTION, pickle.dumps(named, 5))
        known = self._by_reference[unbound] = KnownFunction(title, is_async, definition)
        known.code = unbound.__code__
        sent = [variable.resolve() for variable in self._context]
        known.unsent = UnsentVariables(unbound, owner, sent) or None
        return known

    def _pack_carefully(
        self,
        function: KnownFunction,
        func: Any,
        call: tuple[Any, ...],
        definitions: list[Definition],
        seen: set[int],
    ) -> bytes:
        met: list[Any] = []
        special = self._replicas_for(met)
        try:
            body = self._bounded(function, partial(CarefulPickler, special=special), call)
        except TooLargeError:
            raise
        except Exception as error:
            if self._segments is not None:
                raise SlowError from error  # finding out where it fails pickles it many times
            raise refusal_of_call(func, call, error, special) from error
        for instance in met:
            self._define(instance, definitions, seen)
        return body


def _pickler(file: Any, **options: Any) -> pickle.Pickler:
    return pickle.Pickler(file, 5, **options)
