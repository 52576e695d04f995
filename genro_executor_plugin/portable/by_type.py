# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What pickle does wrong without a word, by the type of the value, and what is done instead.

=============================  =================================================================
objects of asyncio and alike   refused (``refused_types``)
``object()``                   its name in a module; refused if it has none
an instance that a module has  its name; the receiver takes its own if that has the same state
``Lock``, ``RLock``            a fresh one; refused while it is held, but for one of ``self``
``threading.local``            a fresh one, empty, as every new thread sees it
classes like ``Page[int]``     the generic class and its arguments: pickle's name leads nowhere
=============================  =================================================================

It is decided once for each type. ``DISPATCH`` is a ``dispatch_table`` for the pickler in C, so
that all other values cost what they cost without it.
"""

from __future__ import annotations

import contextlib
import copyreg
import inspect
import io
import operator
import pickle
import threading
from collections.abc import Callable
from typing import Any

from .modules import has_its_packages, is_importable
from .refused_types import NotPortableError, refusal_of
from .singletons import Singletons
from .stored import module_instance, resolve

__all__ = [
    "DISPATCH",
    "FRESH_LOCKS",
    "catch_up_with_modules",
    "fresh_lock",
    "is_behind_with_modules",
    "plain_dumps",
    "plain_pickler",
    "reducer_of",
]

Reducer = Callable[[Any], Any]
"""Returns what ``__reduce__`` returns, or ``NotImplemented`` for as pickle does it."""

FRESH_LOCKS = (b"allocate_lock", b"RLock")
"""What a pickle contains if there is a lock in it."""

_LOCK, _RLOCK = type(threading.Lock()), type(threading.RLock())
_VALUES = (str, int, float, bool, bytes, type(None))


def plain_dumps(value: Any) -> bytes:
    """``value`` as bytes, by the pickler in C.

    Raises:
        Exception: it takes the careful pickler, or nothing can pickle it.
    """
    buffer = io.BytesIO()
    plain_pickler(buffer).dump(value)
    return buffer.getvalue()


def plain_pickler(file: Any, **options: Any) -> pickle.Pickler:
    """The pickler in C, with what this module says of types."""
    pickler = pickle.Pickler(file, 5, **options)
    pickler.dispatch_table = DISPATCH
    return pickler


def reducer_of(cls: type) -> Reducer | None:
    """What pickles values of ``cls``; ``None`` for as pickle does it."""
    return _SPECIAL[cls]


def is_behind_with_modules() -> bool:
    """Whether pickling an instance may first have to look through many loaded modules."""
    return _SINGLETONS.is_behind


def catch_up_with_modules() -> None:
    """Look through the loaded modules now, on a thread that nothing waits for but its own call."""
    _SINGLETONS.catch_up()


# -- by type --------------------------------------------------------------------------------------


class _Special(dict[type, "Reducer | None"]):
    def __missing__(self, cls: type) -> Reducer | None:
        reducer = _special(cls)
        if _may_be_kept(cls):
            self[cls] = reducer
        return reducer


class _Dispatch(dict[type, Callable[[Any], Any]]):
    """As ``copyreg.dispatch_table``, filled when a type is first met."""

    def __missing__(self, cls: type) -> Callable[[Any], Any]:
        known = copyreg.dispatch_table.get(cls)
        if known is not None:
            return known
        reducer = _SPECIAL[cls]
        found = _as_pickle_does if reducer is None else _dispatched(reducer)
        if _may_be_kept(cls):
            self[cls] = found
        return found


_SPECIAL = _Special()
DISPATCH = _Dispatch()
_SINGLETONS = Singletons()

_as_pickle_does = operator.methodcaller("__reduce_ex__", 5)


def _dispatched(reducer: Reducer) -> Callable[[Any], Any]:
    def reduced(obj: Any) -> Any:
        found = reducer(obj)
        if found is not NotImplemented:
            return found
        named = obj if isinstance(obj, type) else type(obj)
        if not _is_named_by_pickle(named):
            raise pickle.PicklingError(f"no worker finds the class {named.__qualname__}")
        # Pickle saves a class by name if its reducer returns a text.
        return obj.__qualname__ if named is obj else obj.__reduce_ex__(5)

    return reduced


def _may_be_kept(cls: type) -> bool:
    """Whether ``cls`` lasts as long as the process; others are not held on to."""
    return not cls.__flags__ & _HEAP_TYPE or is_importable(cls.__module__, cls.__qualname__)


_HEAP_TYPE = 1 << 9


def _is_named_by_pickle(cls: type) -> bool:
    """Whether the name that pickle writes for ``cls`` leads to something in a worker."""
    return is_importable(cls.__module__, cls.__qualname__) and has_its_packages(cls.__module__)


def _special(cls: type) -> Reducer | None:
    if issubclass(cls, type):
        return _class
    refusal = refusal_of(cls)
    if refusal is not None:
        return _refused(refusal)
    if cls is object:
        return _bare_object
    if cls is _LOCK or cls is _RLOCK:
        return _lock
    if issubclass(cls, threading.local):
        return _fresh_local
    if not cls.__flags__ & _HEAP_TYPE:
        return None
    if not _is_named_by_pickle(cls):
        return _by_value
    if _is_compared_by_identity(cls) and _SINGLETONS.holds_any(cls):
        return _singleton
    return None


def _is_compared_by_identity(cls: Any) -> bool:
    return bool(
        cls.__eq__ is object.__eq__
        and cls.__reduce__ is object.__reduce__
        and cls.__reduce_ex__ is object.__reduce_ex__
        and getattr(cls, "__getstate__", None) is getattr(object, "__getstate__", None)
        and not hasattr(cls, "__setstate__")
        and not hasattr(cls, "__getnewargs__")
        and not hasattr(cls, "__getnewargs_ex__")
    )


def _refused(refusal: str) -> Reducer:
    def refuse(obj: Any) -> Any:
        raise NotPortableError(refusal)

    return refuse


def _by_value(obj: Any) -> Any:
    """Leave it to the careful pickler, which writes the class itself."""
    return NotImplemented


def _class(obj: Any) -> Any:
    generic = vars(obj).get("__pydantic_generic_metadata__")
    if generic and generic.get("origin") is not None:
        return operator.getitem, (generic["origin"], tuple(generic["args"]))
    return NotImplemented


def _bare_object(obj: Any) -> Any:
    found = _SINGLETONS.name_of(obj)
    if found is None:
        raise NotPortableError(
            "an object() is nothing but its identity, and no module has this one at its top level"
        )
    return resolve, (*found, 0)


def _singleton(obj: Any) -> Any:
    found = _SINGLETONS.name_of(obj)
    if found is None:
        return NotImplemented
    state = obj.__reduce_ex__(2)[2] if len(obj.__reduce_ex__(2)) > 2 else None
    parts = state if isinstance(state, tuple) else (state,)
    values = [value for part in parts if part for value in part.values()]
    if not all(type(value) in _VALUES for value in values):
        return NotImplemented
    return module_instance, (*found, type(obj), state)


def fresh_lock(obj: Any) -> Any:
    """Pickle the lock ``obj`` as a new one, held or not; ``NotImplemented`` for anything else."""
    if type(obj) is _LOCK:
        return threading.Lock, ()
    return (threading.RLock, ()) if type(obj) is _RLOCK else NotImplemented


def _lock(obj: Any) -> Any:
    if repr(obj).startswith("<locked"):  # all that an RLock tells of that
        raise NotPortableError("a lock that is held guards the process that holds it, and no other")
    return fresh_lock(obj)


def _fresh_local(obj: Any) -> Any:
    cls = type(obj)
    with contextlib.suppress(TypeError, ValueError):
        if cls is not threading.local:
            inspect.signature(cls).bind()
        return cls, ()
    raise NotPortableError(
        f"a fresh {cls.__module__}.{cls.__qualname__} cannot be made without arguments"
    )
