# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Finds where in a value the part is that cannot be pickled: ``.connection`` of ``self.db``, say.

Used for messages, after pickling was refused: it pickles the parts of the value one by one.
"""

from __future__ import annotations

import functools
import reprlib
from collections.abc import Callable, Iterator
from types import CellType, FunctionType, MethodType
from typing import Any

from .refused_types import refusal_of

__all__ = ["find_unpicklable"]

_DEEPEST = 100
"""A path with more steps than this does not help its reader; the search ends there."""

Attempt = Callable[[Any], object]
"""Pickles a value; what it raises is the reason why the value cannot be pickled."""


def find_unpicklable(value: Any, attempt: Attempt) -> tuple[str, BaseException] | None:
    """The path inside ``value`` to what cannot be pickled, and the reason; ``None`` if all can.

    The path is what a person would write behind the value's name: ``.connection``,
    ``['orders'][3].lock``, or an empty text when it is the value itself.
    """
    error = _failure(value, attempt)
    if error is None:
        return None
    return _search(value, error, attempt, set()) or ("", error)


def _search(
    value: Any, error: BaseException, attempt: Attempt, above: set[int]
) -> tuple[str, BaseException] | None:
    """The place inside ``value``, which fails; ``None`` if it only leads back to a value above."""
    # A value whose type is refused is named itself, and not the lock that is in it.
    if refusal_of(type(value)) is not None or _too_deep(error) or len(above) > _DEEPEST:
        return "", error
    above.add(id(value))
    parts, leads_back = [], False
    for step, part in _parts(value):
        if id(part) in above:
            leads_back = True
        else:
            parts.append((step, part))
    for step, part, reason in _failing(parts, attempt):
        found = _search(part, reason, attempt, above)
        if found is not None:
            return step + found[0], found[1]
    return None if leads_back else ("", error)


def _failure(value: Any, attempt: Attempt) -> BaseException | None:
    try:
        attempt(value)
    except BaseException as error:
        return _without_frames(error)
    return None


def _without_frames(error: BaseException) -> BaseException:
    """``error`` without what leads from it to the frames of this search, which hold it."""
    error.__traceback__ = error.__context__ = None
    if error.__cause__ is not None:
        error.__cause__.__traceback__ = error.__cause__.__context__ = None
    return error


def _too_deep(error: BaseException) -> bool:
    return isinstance(error, RecursionError) or isinstance(error.__cause__, RecursionError)


def _failing(
    parts: list[tuple[str, Any]], attempt: Attempt
) -> Iterator[tuple[str, Any, BaseException]]:
    """Those of ``parts`` that fail, found by halving: there may be a million parts."""
    start = 0
    while start < len(parts) and _failure([p for _, p in parts[start:]], attempt) is not None:
        first, last = start, len(parts)
        while last - first > 1:
            middle = (first + last) // 2
            if _failure([part for _, part in parts[first:middle]], attempt) is not None:
                last = middle
            else:
                first = middle
        step, part = parts[first]
        error = _failure(part, attempt)
        if error is not None:
            yield step, part, error
        start = first + 1


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """The parts of ``value``, each with the step of the path that leads to it."""
    if isinstance(value, dict):
        for key, item in list(value.items()):
            yield f"[{_shown(key)}]", item
            yield f".key({_shown(key)})", key
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield f"[{index}]", item
    elif isinstance(value, set | frozenset):
        for item in list(value):
            yield f".item({_shown(item)})", item
    elif isinstance(value, functools.partial):
        yield ".func", value.func
        yield ".args", value.args
        yield ".keywords", value.keywords
    elif isinstance(value, MethodType):
        yield ".__self__", value.__self__
    elif isinstance(value, FunctionType):
        yield from _captured(value)
    if not isinstance(value, type | FunctionType):
        yield from _attributes(value)


def _captured(func: FunctionType) -> Iterator[tuple[str, Any]]:
    """The variables and globals that are pickled with a function that travels by value."""
    for name, cell in zip(func.__code__.co_freevars, func.__closure__ or (), strict=False):
        yield f", its variable {name}", _content(cell)
    for name in func.__code__.co_names:
        if name in func.__globals__:
            yield f", its global {name}", func.__globals__[name]


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return None  # the variable has no value yet


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    found = getattr(value, "__dict__", None)
    if isinstance(found, dict):
        for name, item in list(found.items()):
            yield f".{name}", item
    for cls in type(value).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield f".{name}", getattr(value, name)


def _shown(key: Any) -> str:
    """``key`` as a path shows it; only of plain types, whose ``repr`` is safe, the value itself."""
    if isinstance(key, str | bytes | int | float | bool | type(None)):
        return reprlib.repr(key)
    return f"a {type(key).__name__}"
