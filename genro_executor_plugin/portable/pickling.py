# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Values as bytes and back: with pickle first, with a careful pickler where pickle gives up.

Plain pickle is several times faster and right for nearly every value. ``CarefulPickler`` takes
what it refuses: it pickles functions and classes by reference wherever there is one (behind
decorators, under another name), and by value (cloudpickle) where there is none.
``StoredPickler`` writes what is kept on disk.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any

import cloudpickle

from ..metrics.error_text import text_of
from .by_type import plain_dumps, reducer_of
from .main_module import main_source
from .references import describe, reference_to
from .refused_types import NotPortableError
from .stored import PACKAGE, is_stable, memory_view, public_name, resolve

__all__ = ["CarefulPickler", "StoredPickler", "dumps", "dumps_stored", "loads", "why"]

loads: Callable[..., Any] = pickle.loads


class CarefulPickler(cloudpickle.Pickler):  # type: ignore[misc]
    """Pickles what plain pickle refuses; ``special`` is asked first about every object."""

    def __init__(
        self, file: Any, special: Callable[[Any], Any] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(file, protocol=5, **kwargs)
        self._special = special

    def reducer_override(self, obj: Any) -> Any:
        if self._special is not None:
            reduced = self._special(obj)
            if reduced is not NotImplemented:
                return reduced
        reducer = reducer_of(type(obj))
        if reducer is not None:
            reduced = reducer(obj)
            if reduced is not NotImplemented:
                return reduced
        if isinstance(obj, memoryview):
            return memory_view, (pickle.PickleBuffer(obj), obj.format, obj.shape)
        if isinstance(obj, io.TextIOWrapper) and obj not in (sys.stdout, sys.stderr):
            # cloudpickle would silently read all of it and put a buffer in its place.
            raise TypeError("cannot pickle an open file")
        if isinstance(obj, FunctionType | type):
            reference = reference_to(obj)
            if reference is not None:
                if reference.is_plain(obj):
                    return NotImplemented  # pickle itself does it by reference
                return resolve, (reference.module, reference.path, reference.depth)
        return super().reducer_override(obj)


class StoredPickler(CarefulPickler):
    """Pickles what is kept on disk: of this package it names only what stays where it is."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, FunctionType | type) and not is_stable(obj.__module__):
            name = public_name(obj)
            if name is None:
                raise pickle.PicklingError(
                    f"{describe(obj)} is no public name of {PACKAGE}; the next version may have "
                    "it elsewhere"
                )
            return resolve, (PACKAGE, name, 0)
        return super().reducer_override(obj)


def dumps_stored(value: Any) -> bytes:
    """``value`` as bytes that later versions of this package read, too.

    Raises:
        Exception: whatever the value's own pickling raises; ``why`` puts it into words.
    """
    return _dumps_carefully(value, None, StoredPickler)


def dumps(value: Any, special: Callable[[Any], Any] | None = None, *, plain: bool = True) -> bytes:
    """``value`` as bytes.

    Args:
        value: what to pickle.
        special: asked first about every object that the careful pickler meets; what it
            returns is a reduce value, or ``NotImplemented``.
        plain: whether pickle in C may be tried.

    Raises:
        Exception: whatever the value's own pickling raises; ``why`` puts it into words.
    """
    # Pickle would refer to a __main__ that no worker has, and fail only in the worker.
    if plain and special is None and any(main_source()):
        try:
            return plain_dumps(value)
        except Exception:
            return _dumps_carefully(value, None)  # it succeeds, or raises a clearer error
    return _dumps_carefully(value, special)


def _dumps_carefully(
    value: Any,
    special: Callable[[Any], Any] | None,
    pickler: type[CarefulPickler] = CarefulPickler,
) -> bytes:
    buffer = io.BytesIO()
    pickler(buffer, special).dump(value)
    return buffer.getvalue()


def why(error: BaseException) -> str:
    """The reason that ``error`` gives, in one line."""
    if isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError):
        return "it nests too deeply"
    if isinstance(error, NotPortableError):
        return str(error)
    text = text_of(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0]}" if text else type(error).__name__
