# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Rebuilds what can be rebuilt of a pickle of which a part cannot.

Used when unpickling has failed already: the standard library's unpickler in Python reads the
pickle once more and puts an ``Unbuilt`` where it fails, so that the rest is there and the place
of the failure is known.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any

from ..portable.culprit import find_unpicklable
from ..portable.pickling import dumps

__all__ = ["rebuild", "unbuilt_in"]

_Unpickler: Any = pickle._Unpickler


class _UnbuiltError(Exception):
    """Raised when an ``Unbuilt`` is pickled, so that its place can be found."""

    def __init__(self, error: BaseException) -> None:
        super().__init__(error)
        self.error = error


class Unbuilt:
    """Stands in the place of an object that could not be rebuilt; ``error`` says why."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def __reduce__(self) -> Any:
        raise _UnbuiltError(self.error)

    def __call__(self, *_args: Any, **_kwargs: Any) -> Unbuilt:
        return self

    __setstate__ = __setitem__ = append = extend = add = update = __call__


class _TolerantUnpickler(_Unpickler):  # type: ignore[misc]
    """An unpickler that goes on when an object cannot be rebuilt."""

    def _put(self, build: Callable[[], Any], *made_of: Any) -> None:
        for part in made_of:
            if isinstance(part, Unbuilt):
                self.stack.append(part)
                return
        try:
            self.stack.append(build())
        except BaseException as error:
            self.stack.append(Unbuilt(error))

    def load_reduce(self) -> None:
        args, func = self.stack.pop(), self.stack.pop()
        self._put(lambda: func(*args), func)

    def load_newobj(self) -> None:
        args, cls = self.stack.pop(), self.stack.pop()
        self._put(lambda: cls.__new__(cls, *args), cls)

    def load_newobj_ex(self) -> None:
        kwargs, args, cls = self.stack.pop(), self.stack.pop(), self.stack.pop()
        self._put(lambda: cls.__new__(cls, *args, **kwargs), cls)

    def load_stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self._put(lambda: self.find_class(module, name))

    def load_build(self) -> None:
        try:
            super().load_build()
        except BaseException as error:
            self.stack[-1] = Unbuilt(error)

    dispatch = {  # noqa: RUF012 - as the base class has it
        **_Unpickler.dispatch,
        pickle.REDUCE[0]: load_reduce,
        pickle.NEWOBJ[0]: load_newobj,
        pickle.NEWOBJ_EX[0]: load_newobj_ex,
        pickle.STACK_GLOBAL[0]: load_stack_global,
        pickle.BUILD[0]: load_build,
    }


def rebuild(pickled: bytes | memoryview) -> Any:
    """The value in ``pickled``, with an ``Unbuilt`` for each part that cannot be rebuilt.

    Raises:
        Exception: it is not a pickle, or an ``Unbuilt`` cannot take the place of a part.
    """
    return _TolerantUnpickler(io.BytesIO(pickled)).load()


def unbuilt_in(value: Any, as_is: Callable[[Any], bool]) -> tuple[str, BaseException] | None:
    """The path inside ``value`` to an ``Unbuilt``, and why; ``None`` if there is none.

    Args:
        value: what ``rebuild`` returned, or a part of it.
        as_is: whether an object in it was not rebuilt from this pickle, and is not searched.
    """

    def special(obj: Any) -> Any:
        return (str, ()) if as_is(obj) else NotImplemented

    def attempt(part: Any) -> None:
        try:
            dumps(part, special)
        except _UnbuiltError:
            raise
        except BaseException:
            return  # that it cannot be pickled again does not matter: it was unpickled

    found = find_unpicklable(value, attempt)
    if found is None:
        return None
    path, met = found
    return path, met.error if isinstance(met, _UnbuiltError) else met
