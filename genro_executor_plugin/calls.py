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
import pickle
import struct
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any

from .definitions import FUNCTION, Definition
from .errors import SerializationError
from .options import PoolOptions
from .pickling import dumps, why
from .references import Reference, describe, reference_to
from .replicas import ReplicaCatalog, ReplicaStore, is_routing, replica_reference

__all__ = [
    "CallPacker",
    "CallReader",
    "PackedCall",
    "Target",
    "pack_initializer",
    "pack_result",
    "run_initializer",
]

_HEAD = struct.Struct("<III")
"""Keys of the function, of ``self`` and of the application to clean up; 0 for none."""


@dataclass(frozen=True, slots=True)
class PackedCall:
    """A call as bytes.

    Attributes:
        payload: what a worker's ``CallReader`` reads.
        definitions: what the worker must have before, in this order.
        title: the function's name, for messages and displays.
        is_async: whether the function makes a coroutine.
        key: the same for every call of a function that travels by reference, 0 for others.
    """

    payload: bytes
    definitions: tuple[Definition, ...]
    title: str
    is_async: bool
    key: int

    def reread_arguments(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments as a worker would get them.

        Raises:
            ReplicaHereError: an application is among them; its replica is for a worker only.
            Exception: whatever their unpickling raises.
        """
        args, kwargs, *_ = pickle.loads(memoryview(self.payload)[_HEAD.size :])
        return args, kwargs


class CallPacker:
    """Packs the calls of one pool; remembers what it has packed before."""

    def __init__(self) -> None:
        self._keys = itertools.count(1)
        self._replicas = ReplicaCatalog(self._keys)
        self._functions: weakref.WeakKeyDictionary[
            FunctionType, tuple[Definition | None, str, bool]
        ] = weakref.WeakKeyDictionary()

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
        definitions: list[Definition] = []
        seen: set[int] = set()
        target, owner_key = func, 0
        if type(func) is MethodType and is_routing(func.__self__):
            target, owner_key = func.__func__, self._define(func.__self__, definitions, seen)
        function_key, title, is_async = self._function(target, func, definitions)
        cleanup_key = 0 if cleanup is None else self._define(cleanup, definitions, seen)
        call = (args, kwargs) if function_key else (args, kwargs, target)
        try:
            body = pickle.dumps(call, 5) if function_key else dumps(call)
        except Exception:
            body = self._pack_carefully(func, call, definitions, seen)
        head = _HEAD.pack(function_key, owner_key, cleanup_key)
        return PackedCall(head + body, tuple(definitions), title, is_async, function_key)

    def _define(self, instance: Any, definitions: list[Definition], seen: set[int]) -> int:
        source = self._replicas.source_of(instance)
        definitions.extend(source.definitions(seen))
        return source.key

    def _function(
        self, target: Any, func: Any, definitions: list[Definition]
    ) -> tuple[int, str, bool]:
        """The function's key (0 if it travels by value), its name, and whether it is async."""
        if type(target) is not FunctionType:
            return 0, describe(target), inspect.iscoroutinefunction(target)
        known = self._functions.get(target)
        if known is None:
            owner = type(func.__self__) if type(func) is MethodType else None
            reference = reference_to(target, owner)
            definition = None
            if reference is not None:
                key = next(self._keys)
                definition = Definition(key, 1, key, FUNCTION, pickle.dumps(reference, 5))
            is_async = inspect.iscoroutinefunction(target)
            known = self._functions[target] = definition, describe(target), is_async
        definition, title, is_async = known
        if definition is None:
            return 0, title, is_async
        definitions.append(definition)
        return definition.key, title, is_async

    def _pack_carefully(
        self, func: Any, call: tuple[Any, ...], definitions: list[Definition], seen: set[int]
    ) -> bytes:
        met: list[Any] = []

        def special(obj: Any) -> Any:
            if not is_routing(obj):
                return NotImplemented
            met.append(obj)
            return replica_reference(self._replicas.source_of(obj), obj)

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
            reason = _reason(value, special)
            if reason is not None:
                return SerializationError(
                    f"argument {name!r} of {describe(func)} cannot travel to a worker: {reason}. "
                    "Pass plain data instead, and open in the worker what only lives there"
                )
        reason = _reason(function[0], special) if function else None
        return SerializationError(
            f"the function {describe(func)} cannot travel to a worker: {reason or why(error)}. "
            "Define it at the top level of a module"
        )


def _reason(value: Any, special: Callable[[Any], Any]) -> str | None:
    try:
        dumps(value, special)
    except Exception as error:
        return why(error)
    return None


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
    """

    __slots__ = ("func", "is_async")

    def __init__(self, func: Callable[..., Any]) -> None:
        self.func = func
        self.is_async = inspect.iscoroutinefunction(func)

    def __str__(self) -> str:
        return describe(self.func)


ReadCall = tuple[Target, tuple[Any, ...], dict[str, Any], Callable[[], Any] | None]
"""A call ready to run: the function, its arguments (``self`` among them), and what cleans up."""


class CallReader:
    """Reads packed calls in a worker, and keeps what was defined for them."""

    def __init__(self) -> None:
        self.replicas = ReplicaStore()
        self.replicas.activate()
        self._functions: dict[int, Target] = {}
        self._broken: dict[int, dict[int, SerializationError]] = {}

    def define(self, key: int, owner: int, kind: int, payload: bytes | memoryview) -> None:
        """Take in a definition. What is wrong with it is told by every call that needs it."""
        self._broken.get(owner, {}).pop(key, None)
        try:
            if kind == FUNCTION:
                self._functions[key] = Target(_resolve(pickle.loads(payload)))
            else:
                self._load_state(payload)
        except SerializationError as error:
            self._broken.setdefault(owner, {})[key] = error

    def _load_state(self, payload: bytes | memoryview) -> None:
        try:
            self.replicas.load(payload)
        except Exception as error:
            raise SerializationError(
                f"the state of self cannot be rebuilt in the worker: {why(error)}. Its class and "
                "the classes of its attributes must import and unpickle there"
            ) from error

    def read(self, payload: bytes | memoryview) -> ReadCall:
        """The call in ``payload``.

        Raises:
            SerializationError: the function, ``self`` or an argument cannot be had here.
            Exception: what ``on_worker_startup`` of a new replica raises.
        """
        function_key, owner_key, cleanup_key = _HEAD.unpack_from(payload)
        if self._broken:
            for owner in (function_key, owner_key, cleanup_key):
                for broken in self._broken.get(owner, {}).values():
                    raise broken
        try:
            args, kwargs, *by_value = pickle.loads(memoryview(payload)[_HEAD.size :])
        except Exception as error:
            title = self._functions[function_key] if function_key else "a function"
            raise SerializationError(
                f"the arguments of {title} cannot be rebuilt in the worker: {why(error)}. Their "
                "classes must import and unpickle there"
            ) from error
        target = self._functions[function_key] if function_key else Target(by_value[0])
        if owner_key:
            args = (self.replicas.ready(owner_key), *args)
        cleanup = self.replicas.ready(cleanup_key).route_cleanup if cleanup_key else None
        return target, args, kwargs, cleanup


def _resolve(reference: Reference) -> Callable[..., Any]:
    try:
        found: Callable[..., Any] = reference.resolve()
    except Exception as error:
        raise SerializationError(
            f"the worker does not find {reference.module}.{reference.path}: {why(error)}. "
            "The module must import in the worker as it does in the server"
        ) from error
    return found


def pack_result(result: Any, title: object) -> bytes:
    """A result of the function ``title`` as bytes.

    Raises:
        SerializationError: naming the function, the reason and the cure.
    """
    try:
        return pickle.dumps(result, 5)
    except Exception:
        return _pack_result_carefully(result, title)


def _pack_result_carefully(result: Any, title: object) -> bytes:
    try:
        return dumps(result)
    except Exception as error:
        raise SerializationError(
            f"the result of {title}, of type {describe(type(result))}, cannot travel back: "
            f"{why(error)}. Return plain data"
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
