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

"""The call made portable: which function, which ``self``, which arguments.

``CallPacker`` turns a function and its arguments into a ``PackedCall``: bytes, and the
definitions (functions, states of replicas) a worker must have before it reads them.
``CallReader`` is the other end, in the worker. A call is packed before it takes a place in any
line: an argument that cannot travel costs nobody a worker.
"""

from __future__ import annotations

import inspect
import itertools
import os
import pickle
import struct
import weakref
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

from .carrying import CARRIED, equipped
from .definitions import FUNCTION, SURROUNDINGS, Definition
from .errors import SerializationError
from .logs import WorkerLogs
from .obstacles import obstacle
from .options import PoolOptions
from .pickling import dumps, why
from .references import Reference, describe, reference_to
from .replica_store import ReplicaStore
from .replicas import ReplicaCatalog, is_routing, replica_reference
from .segments import LARGE_BYTES, Segment, Segments, Split, looks_large, read_value, split
from .surroundings import SurroundingsSource

__all__ = [
    "CallPacker",
    "CallReader",
    "PackedCall",
    "Target",
    "hold_result",
    "pack_initializer",
    "pack_result",
    "run_initializer",
]

_HEAD = struct.Struct("<III")
"""Keys of the function, of ``self`` and of the application to clean up; 0 for none."""

_HEAD_SIZE = _HEAD.size


class PackedCall:
    """A call as bytes.

    Attributes:
        payload: what a worker's ``CallReader`` reads.
        definitions: what the worker must have before, in this order.
        title: the function's name, for messages and displays.
        is_async: whether the function makes a coroutine.
        key: the same for every call of a function that travels by reference, 0 for others.
        segment: where its arguments lie if they are large, ``None`` for those in ``payload``.
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
        self.payload = payload
        self.definitions = definitions
        self.title = title
        self.is_async = is_async
        self.key = key
        self.segment = segment

    def reread_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as a worker would get them.

        Raises:
            ReplicaHereError: an application is among them; its replica is for a worker only.
            Exception: whatever their unpickling raises.
        """
        args, kwargs, *_ = pickle.loads(self.payload)
        return args, kwargs


class _Function:
    """What a packer knows of a function: the same for all of its calls."""

    __slots__ = ("definitions", "is_async", "key", "large", "title")

    def __init__(self, title: str, is_async: bool, definition: Definition | None = None) -> None:
        self.title = title
        self.is_async = is_async
        self.definitions = () if definition is None else (definition,)
        self.key = 0 if definition is None else definition.key
        self.large = False


class CallPacker:
    """Packs the calls of one pool; remembers what it has packed before.

    With ``segments``, large arguments go there; without, they stay in the payload.
    """

    def __init__(self, segments: Segments | None = None) -> None:
        self._keys = itertools.count(1)
        self._replicas = ReplicaCatalog(self._keys)
        self._segments = segments
        self._surroundings = SurroundingsSource(next(self._keys))
        # Strongly: what a reference leads to stays in its module anyway.
        self._by_reference: dict[FunctionType, _Function] = {}
        self._by_value: weakref.WeakKeyDictionary[FunctionType, _Function] = (
            weakref.WeakKeyDictionary()
        )

    def pack(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        cleanup: Any = None,
    ) -> PackedCall:
        """Pack ``func(*args, **kwargs)``.

        Args:
            func: a function, a method, or anything callable that pickles.
            args: its positional arguments.
            kwargs: its keyword arguments.
            cleanup: the application whose ``route_cleanup()`` runs after the call.

        Raises:
            SerializationError: naming what cannot travel, the reason and the cure.
        """
        target: Any = func
        states: list[Definition] = []
        seen: set[int] = set()
        owner_key = cleanup_key = 0
        if type(func) is MethodType and is_routing(func.__self__):
            target, owner_key = func.__func__, self._define(func.__self__, states, seen)
        if cleanup is not None:
            cleanup_key = self._define(cleanup, states, seen)
        function = self._by_reference.get(target) if type(target) is FunctionType else None
        if function is None:
            function = self._function(target, func)
        key = function.key
        call = (args, kwargs) if key else (args, kwargs, target)
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
                body = pickle.dumps(call, 5) if key else dumps(call)
            except Exception:
                body = self._pack_carefully(func, call, states, seen)
            if len(body) >= LARGE_BYTES and self._segments is not None:
                function.large = True
                segment = self._segments.hold(Split.of(body))
                if segment is not None:
                    body = segment.layout
        definitions = (self._surroundings.definition(), *states, *function.definitions)
        payload = body + _HEAD.pack(key, owner_key, cleanup_key)
        return PackedCall(payload, definitions, function.title, function.is_async, key, segment)

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
            return None  # packing them in one piece will tell what is wrong
        function.large = parts.size >= LARGE_BYTES
        segment = self._segments.hold(parts) if function.large else None
        if segment is not None:
            for instance in met:
                self._define(instance, states, seen)
        return segment

    def _replicas_for(self, met: list[Any]) -> Callable[[Any], Any]:
        """What puts replicas in the place of applications, and these into ``met``."""

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

    def _function(self, target: Any, func: Any) -> _Function:
        if type(target) is not FunctionType:
            return _Function(describe(target), inspect.iscoroutinefunction(target))
        known = self._by_value.get(target)
        if known is not None:
            return known
        title, is_async = describe(target), inspect.iscoroutinefunction(target)
        owner = type(func.__self__) if type(func) is MethodType else None
        reference = reference_to(target, owner)
        if reference is None:
            known = self._by_value[target] = _Function(title, is_async)
            return known
        key = next(self._keys)
        definition = Definition(key, 1, key, FUNCTION, pickle.dumps(reference, 5))
        known = self._by_reference[target] = _Function(title, is_async, definition)
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
            trouble = obstacle(value, lambda part: dumps(part, special))
            if trouble is not None:
                path, reason = trouble
                place = f" ({name}{path})" if path else ""
                return SerializationError(
                    f"argument {name!r}{place} of {describe(func)} cannot travel to a worker: "
                    f"{why(reason)}. Pass plain data instead, and open in the worker what only "
                    "lives there"
                )
        trouble = obstacle(function[0], lambda part: dumps(part, special)) if function else None
        path, reason = trouble or ("", error)
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


class Target:
    """A function in a worker, and what is known of it.

    Attributes:
        func: what to call.
        is_async: whether calling it makes a coroutine.
        large: whether its last result was a large one.
    """

    __slots__ = ("func", "is_async", "large")

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func
        self.is_async = inspect.iscoroutinefunction(func)
        self.large = False

    def __str__(self) -> str:
        return describe(self.func)

    def equipped(self, carried: bytes) -> Target:
        """This function with what goes along with one call of it.

        Raises:
            SerializationError: something of that cannot be had in this worker.
        """
        return _EquippedTarget(self, equipped(self.func, carried))


class _EquippedTarget(Target):
    """What is known of it is known of the function below."""

    __slots__ = ("_below",)

    def __init__(self, below: Target, func: Callable[..., Any]) -> None:
        self._below = below
        super().__init__(func)

    @property
    def large(self) -> bool:
        return self._below.large

    @large.setter
    def large(self, value: bool) -> None:
        self._below.large = value or self._below.large

    def __str__(self) -> str:
        return str(self._below)


ReadCall = tuple[Target, tuple[Any, ...], dict[str, Any], Callable[[], Any] | None]
"""A call ready to run: the function, its arguments (``self`` among them), and what cleans up."""


class CallReader:
    """Reads packed calls in a worker, and keeps what was defined for them."""

    def __init__(self) -> None:
        self.replicas = ReplicaStore()
        self.replicas.activate()
        self.logs: WorkerLogs | None = None
        self._functions: dict[int, Target] = {}
        self._broken: dict[int, dict[int, SerializationError]] = {}

    def define(self, key: int, owner: int, kind: int, payload: bytes | memoryview) -> None:
        """Take in a definition. What is wrong with it is told by every call that needs it."""
        self._broken.get(owner, {}).pop(key, None)
        try:
            if kind == FUNCTION:
                self._functions[key] = Target(_resolve(pickle.loads(payload)))
            elif kind == SURROUNDINGS:
                if self.logs is not None:
                    self.logs.settle(pickle.loads(payload))
            else:
                self._load_state(payload)
        except SerializationError as error:
            self._broken.setdefault(owner, {})[key] = error
        if self.logs is not None:
            self.logs.imported()

    def _load_state(self, payload: bytes | memoryview) -> None:
        try:
            self.replicas.load(payload)
        except BaseException as error:
            raise SerializationError(
                f"the state of self cannot be rebuilt in the worker: {why(error)}. Its class and "
                "the classes of its attributes must import and unpickle there"
            ) from error

    def read(self, payload: bytes | memoryview, segment: int = -1) -> ReadCall:
        """The call in ``payload``; its arguments are in the ``segment``, if there is one.

        Raises:
            SerializationError: the function, ``self`` or an argument cannot be had here.
            Exception: what ``on_worker_startup`` of a new replica raises.
        """
        function_key, owner_key, cleanup_key = _HEAD.unpack_from(payload, len(payload) - _HEAD_SIZE)
        if self._broken:
            for owner in (function_key, owner_key, cleanup_key):
                for broken in self._broken.get(owner, {}).values():
                    if segment >= 0:
                        os.close(segment)
                    raise broken
        try:
            # What stands behind a pickle's end is not looked at.
            call = pickle.loads(payload) if segment < 0 else self._from(segment, payload)
        except BaseException as error:
            title = self._functions[function_key] if function_key else "a function"
            raise SerializationError(
                f"the arguments of {title} cannot be rebuilt in the worker: {why(error)}. Their "
                "classes must import and unpickle there"
            ) from error
        if function_key:
            args, kwargs = call
            target = self._functions[function_key]
        else:
            args, kwargs, function = call
            target = Target(function)
        if CARRIED in kwargs:
            target = target.equipped(kwargs.pop(CARRIED))
        if self.logs is not None:
            self.logs.imported()
            if self.replicas.has_new:
                self.replicas.start_new()
                self.logs.keep()
        if owner_key:
            args = (self.replicas.ready(owner_key), *args)
        if not cleanup_key:
            return target, args, kwargs, None
        return target, args, kwargs, self.replicas.ready(cleanup_key).route_cleanup

    @staticmethod
    def _from(segment: int, payload: bytes | memoryview) -> Any:
        return read_value(segment, memoryview(payload)[:-_HEAD_SIZE])


def _resolve(reference: Reference) -> Callable[..., Any]:
    try:
        found: Callable[..., Any] = reference.resolve()
    except BaseException as error:
        raise SerializationError(
            f"the worker does not find {reference.module}.{reference.path}: {why(error)}. "
            "The module must import in the worker as it does in the server"
        ) from error
    return found


def pack_result(result: Any, target: object) -> bytes:
    """A result of the function ``target`` as bytes.

    Raises:
        SerializationError: naming the function, the reason and the cure.
    """
    try:
        return pickle.dumps(result, 5)
    except BaseException:
        return _pack_result_carefully(result, target)


def hold_result(
    result: Any, target: Target, hold: Callable[[Split], Segment | None]
) -> Segment | None:
    """A large result in shared memory; ``None`` for one that is not large or cannot lie there."""
    try:
        parts = split(result, None)
    except BaseException:
        return None  # packing it in one piece tells what is wrong
    target.large = parts.size >= LARGE_BYTES
    return hold(parts) if target.large else None


def _pack_result_carefully(result: Any, target: object) -> bytes:
    try:
        return dumps(result)
    except BaseException as error:
        path, reason = obstacle(result, dumps) or ("", error)
        place = f" (result{path})" if path else ""
        raise SerializationError(
            f"the result of {target}{place}, of type {describe(type(result))}, cannot travel back: "
            f"{why(reason)}. Return plain data"
        ) from error


def pack_initializer(pool: str, options: PoolOptions) -> bytes | None:
    """The initializer of a pool with its arguments as bytes, ``None`` if there is none.

    Raises:
        SerializationError: naming the pool, the reason and the cure.
    """
    if options.initializer is None:
        return None
    try:
        return dumps((options.initializer, options.initargs))
    except Exception as error:
        raise SerializationError(
            f"pool {pool!r}: initializer {describe(options.initializer)} with its initargs cannot "
            f"travel to a worker: {why(error)}. Use a function of a module, and plain arguments",
            pool=pool,
        ) from error


def run_initializer(initializer: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    """Call an initializer; a coroutine function runs on an event loop of its own."""
    outcome = initializer(*arguments)
    if inspect.iscoroutine(outcome):
        import asyncio  # costs a worker 5 MB; most never run a coroutine

        asyncio.run(outcome)
