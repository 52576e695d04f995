# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The code of a function that travels by name, so that a worker runs the one that the server has.

A name leads a worker to what its own import of the module has made. The server may have another
function there: one that was defined anew, or put into the module while the program ran. So its code
goes along, once for each worker: a worker that finds another one, or none, makes the function
from it, in its own module. Values do not count, because a default may rightly differ between two
processes; where the function stands does.
"""

from __future__ import annotations

import logging
import marshal
import os
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import BuiltinFunctionType, CellType, CodeType, FunctionType, ModuleType
from typing import Any

from .main_module import MAIN_NAMES
from .modules import is_importable, load
from .pickling import dumps
from .references import Reference, describe, reference_to

__all__ = ["NamedFunction"]

_logger = logging.getLogger("genro_executor_plugin")

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
_CONTAINERS = (tuple, list, set, frozenset)

_MOST_VALUES, _MOST_BYTES = 100, 10_000
"""How much of what a function holds (defaults, variables of functions around it) goes along."""

_DEEPEST = 5
"""How many functions, each held by the one before, go along."""


@dataclass(frozen=True, slots=True)
class NamedFunction:
    """A function by name, and its code for a worker that has another one there.

    Attributes:
        reference: where it is found.
        codes: its code, and that of the functions that it holds, as bytes.
        values: what else it is made of, as bytes; empty where some of that cannot travel.
        changed: whether the name has led to another function before; the code may be the same.
    """

    reference: Reference
    codes: tuple[bytes, ...]
    values: bytes = b""
    changed: bool = False

    @classmethod
    def of(
        cls, func: FunctionType, reference: Reference, changed: bool = False, depth: int = 0
    ) -> NamedFunction:
        """``func``, which is found at ``reference``."""
        codes = tuple(map(marshal.dumps, _codes(func, set())))
        return cls(reference, codes, _values_of(func, depth), changed)

    def resolve(self) -> Callable[..., Any]:
        """The function in this process.

        Raises:
            ImportError: the module does not import here.
            AttributeError: the module has no such path, and the function cannot be made.
        """
        found: Any = None
        missing: AttributeError | None = None
        try:
            found = self.reference.resolve()
        except AttributeError as error:
            missing = error
        codes = list(map(marshal.loads, self.codes))
        is_same = type(found) is FunctionType and _are_same(codes, list(_codes(found, set())))
        made = None if is_same and not self.changed else self._made(codes[0], found, is_same)
        if made is not None:
            return made
        if not callable(found):
            raise missing or AttributeError(f"it is {found!r} here, and no function")
        return found  # type: ignore[no-any-return] # it is what the module has there

    def _made(self, code: CodeType, found: Any, is_same: bool) -> FunctionType | None:
        """The function made anew; ``None`` where the one that was ``found`` has to do."""
        if any(name.startswith("@") for name in _names(code)):
            return None  # no source has such a name: an import hook of the server has put it there
        if not self.values:
            if found is not None and not is_same:
                _logger.warning(
                    "the server has defined %s.%s anew while it ran, and what it holds cannot "
                    "travel: workers run the function that their import of the module makes",
                    self.reference.module,
                    self.reference.path,
                )
            return None
        home, qualname, defaults, kwdefaults, held = pickle.loads(self.values)
        load(home)
        cells = tuple(CellType(_resolved(value)) for value in held)
        made = FunctionType(code, vars(sys.modules[home]), code.co_name, defaults, cells)
        made.__kwdefaults__ = kwdefaults
        made.__qualname__ = qualname
        made.__module__ = self.reference.module
        if type(found) is FunctionType:
            made.__dict__.update(found.__dict__)
        return made


def _resolved(value: Any) -> Any:
    return value.resolve() if type(value) is NamedFunction else value


# -- whether it is the same -----------------------------------------------------------------------


def _codes(func: FunctionType, seen: set[int]) -> Iterator[CodeType]:
    """The code of ``func``, and of the functions that it holds, as a wrapper holds the wrapped."""
    seen.add(id(func))
    yield func.__code__
    for value in _held_by(func):
        if type(value) is FunctionType and id(value) not in seen:
            yield from _codes(value, seen)


def _are_same(codes: list[CodeType], others: list[CodeType]) -> bool:
    return len(codes) == len(others) and all(
        _facts(code) == _facts(other) for code, other in zip(codes, others, strict=True)
    )


def _facts(code: CodeType) -> tuple[Any, ...]:
    """What is the same in every process that has imported the same source.

    Two codes that have run are not equal by themselves in every version of Python.
    """
    return (
        code.co_name,
        os.path.basename(code.co_filename),
        code.co_firstlineno,
        code.co_argcount,
        code.co_posonlyargcount,
        code.co_kwonlyargcount,
        code.co_flags,
        code.co_names,
        code.co_varnames,
        code.co_freevars,
        code.co_cellvars,
        code.co_code,
        code.co_exceptiontable,
        tuple(map(_constant, code.co_consts)),
    )


def _constant(value: Any) -> Any:
    if isinstance(value, CodeType):
        return _facts(value)
    if isinstance(value, tuple):
        return tuple(map(_constant, value))
    if isinstance(value, frozenset):
        return frozenset(map(_constant, value))
    return type(value), repr(value)  # 1 is not True, and nan is the same as nan


def _held_by(func: FunctionType) -> list[Any]:
    """The values of variables of functions around ``func``."""
    values = []
    for cell in func.__closure__ or ():
        try:
            values.append(cell.cell_contents)
        except ValueError:
            continue  # the variable has no value yet
    return values


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _names(part)


# -- what it is made of ---------------------------------------------------------------------------


def _values_of(func: FunctionType, depth: int) -> bytes:
    """What ``func`` is made of beside its code; empty if it is large, or cannot travel."""
    home = func.__globals__.get("__name__")
    held = _held_by(func)
    if (
        not isinstance(home, str)
        or not is_importable(home)
        or vars(sys.modules[home]) is not func.__globals__
        or len(held) != len(func.__closure__ or ())
        or not _is_small(
            (func.__defaults__, func.__kwdefaults__, held), [_MOST_VALUES, _MOST_BYTES]
        )
    ):
        return b""
    values = []
    for value in held:
        if type(value) is FunctionType:
            reference = reference_to(value)
            if reference is None or depth == _DEEPEST:
                return b""
            value = NamedFunction.of(value, reference, depth=depth + 1)
        values.append(value)
    name = MAIN_NAMES[0] if home in MAIN_NAMES else home
    try:
        return dumps(
            (
                name,
                func.__qualname__,
                func.__defaults__,
                func.__kwdefaults__,
                values,
            )
        )
    except Exception:
        _logger.debug("%s cannot travel by value", describe(func), exc_info=True)
        return b""


def _is_small(value: Any, left: list[int]) -> bool:
    """Whether ``value`` is short, and nothing in it has to be pickled but by its name.

    Args:
        value: what is looked at.
        left: how many values, and how many bytes of text, it may have in all.
    """
    left[0] -= 1
    if left[0] < 0:
        return False
    if isinstance(value, str | bytes):
        left[1] -= len(value)
        return left[1] >= 0
    if type(value) in _PLAIN or isinstance(value, ModuleType | BuiltinFunctionType):
        return True
    if isinstance(value, FunctionType | type):
        return reference_to(value) is not None
    if type(value) is dict:
        return all(_is_small(key, left) and _is_small(item, left) for key, item in value.items())
    return type(value) in _CONTAINERS and all(_is_small(item, left) for item in value)
