# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Reads packed calls in a worker: bytes become a function and its arguments.

The counterpart of ``portable/packing.py``, whichever engine brought the bytes. It also keeps what
was defined for the calls: functions, replicas and process settings. It runs nothing of a call
but ``on_worker_startup`` of new replicas.
"""

from __future__ import annotations

import inspect
import os
import pickle
import sys
from collections.abc import Callable
from typing import Any

from ..errors import SerializationError
from ..portable.definitions import CALL_HEAD, FUNCTION, PROCESS_SETTINGS
from ..portable.function_code import NamedFunction
from ..portable.pickling import why
from ..portable.references import describe
from ..portable.shared_memory.reading import read_value
from .extras import with_extras
from .logs import WorkerLogs
from .replicas import ReplicaStore

__all__ = ["CallReader", "ReadCall", "WorkerFunction", "called"]


class WorkerFunction:
    """A function in a worker, and what is remembered of it.

    Attributes:
        func: what to call.
        key: what identifies it in its pool, 0 where it has travelled by value.
        is_async: whether it is a coroutine function.
        large: whether its last result was a large one.
    """

    __slots__ = ("func", "is_async", "key", "large")

    def __init__(self, func: Callable[..., Any], key: int = 0) -> None:
        self.func: Callable[..., Any] = func
        self.key: int = key
        self.is_async: bool = inspect.iscoroutinefunction(func)
        self.large: bool = False

    def __str__(self) -> str:
        return describe(self.func)

    def with_extras(self, extras: bytes) -> WorkerFunction:
        """This function with the extras of one call around it.

        Raises:
            SerializationError: an extra cannot be rebuilt in this worker.
        """
        return _FunctionWithExtras(self, with_extras(self.func, extras))


class _FunctionWithExtras(WorkerFunction):
    """A function with extras; what is remembered of it is remembered of the function below."""

    __slots__ = ("_below",)

    def __init__(self, below: WorkerFunction, func: Callable[..., Any]) -> None:
        self._below = below
        super().__init__(func, below.key)

    @property
    def large(self) -> bool:
        return self._below.large

    @large.setter
    def large(self, value: bool) -> None:
        self._below.large = value or self._below.large

    def __str__(self) -> str:
        return str(self._below)


ReadCall = tuple[WorkerFunction, tuple[Any, ...], dict[str, Any], Callable[[], Any] | None]
"""A call ready to run: the function, its arguments (``self`` among them), and what to call after
it, which is ``route_cleanup`` of an application or ``None``."""


def called(
    function: WorkerFunction,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    cleanup: Callable[[], Any] | None,
) -> Any:
    """What the call returns; ``cleanup`` has run behind it."""
    if cleanup is None:
        return function.func(*args, **kwargs)
    try:
        return function.func(*args, **kwargs)
    finally:
        cleanup()


class CallReader:
    """Reads packed calls in a worker, and keeps what was defined for them."""

    def __init__(self) -> None:
        self.replicas: ReplicaStore = ReplicaStore()
        self.replicas.activate()
        self.logs: WorkerLogs | None = None
        self._functions: dict[int, WorkerFunction] = {}
        self._broken: dict[int, dict[int, SerializationError]] = {}

    def define(self, key: int, owner: int, kind: int, payload: bytes | memoryview) -> None:
        """Take in a definition; one that cannot be read makes every call fail that needs it."""
        self._broken.get(owner, {}).pop(key, None)
        try:
            if kind == FUNCTION:
                self._functions[key] = WorkerFunction(_resolve(pickle.loads(payload)), key)
            elif kind == PROCESS_SETTINGS:
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
            SerializationError: the function, ``self`` or an argument cannot be rebuilt here.
            Exception: what ``on_worker_startup`` of a new replica raises.
        """
        function_key, owner_key, cleanup_key, has_extras = CALL_HEAD.unpack_from(
            payload, len(payload) - CALL_HEAD.size
        )
        if self._broken:
            for owner in (function_key, owner_key, cleanup_key):
                for broken in self._broken.get(owner, {}).values():
                    if segment >= 0:
                        self._drop(segment)
                    raise broken
        has_new = bool(self.replicas.not_started)
        if has_new:
            self.replicas.forget_met()
        try:
            # Pickle ignores the call's head, which stands behind the end of the pickle.
            call = pickle.loads(payload) if segment < 0 else self._from(segment, payload)
        except BaseException as error:
            title = self._functions[function_key] if function_key else "a function"
            raise SerializationError(
                f"the arguments of {title} cannot be rebuilt in the worker: {why(error)}. Their "
                "classes must import and unpickle there"
            ) from error
        args, kwargs = call[0], call[1]
        function = self._functions[function_key] if function_key else WorkerFunction(call[2])
        if has_extras:
            function = function.with_extras(call[-1])
        if self.logs is not None and len(sys.modules) != self.logs.modules:
            self.logs.imported()
        if has_new:
            self.replicas.start_new(owner_key, cleanup_key)
            if self.logs is not None:
                self.logs.keep()
        if owner_key:
            args = (self.replicas.get(owner_key), *args)
        if not cleanup_key:
            return function, args, kwargs, None
        return function, args, kwargs, self.replicas.get(cleanup_key).route_cleanup

    def _from(self, segment: int, payload: bytes | memoryview) -> Any:
        return read_value(segment, memoryview(payload)[: -CALL_HEAD.size])

    def _drop(self, segment: int) -> None:
        os.close(segment)


def _resolve(function: NamedFunction) -> Callable[..., Any]:
    try:
        return function.resolve()
    except BaseException as error:
        reference = function.reference
        raise SerializationError(
            f"the worker does not find {reference.module}.{reference.path}: {why(error)}. "
            "The module must import in the worker as it does in the server"
        ) from error
