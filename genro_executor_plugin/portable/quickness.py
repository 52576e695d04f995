# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Rebuilds what a worker has sent at once, if that is short and runs no code of users.

The event loop may do that. The others are rebuilt on a thread: large ones, those that name a module
which this process has not imported (importing a large library takes seconds), and those with a
class of users that has a say in how it is rebuilt: a loop in its ``__setstate__`` would hold up
everything. Most classes have not: dataclasses, named tuples, enumerations, pydantic's models and
whatever is rebuilt by setting its attributes.
"""

from __future__ import annotations

import enum
import io
import pickle
import sys
import weakref
from collections.abc import Callable, Iterator
from types import FunctionType
from typing import Any

__all__ = ["AT_ONCE_BYTES", "rebuilt_at_once"]

AT_ONCE_BYTES = 64 * 1024
"""Up to this size a pickle is rebuilt at once; a larger one may take milliseconds."""

_IMPORT_BY_THEMSELVES = frozenset(
    {"cloudpickle.cloudpickle", "genro_executor_plugin.portable.stored", "importlib"}
)
"""Modules whose functions, named in a pickle, import others that the pickle does not name."""

_ONE_VALUE = frozenset(b"BX\x8d\x8e")
"""The opcodes of one large value, bytes or text, which is copied as fast as memory allows."""

_TRUSTED = sys.stdlib_module_names | {
    "attr",
    "attrs",
    "genro_executor_plugin",
    "msgspec",
    "numpy",
    "pydantic",
    "pydantic_core",
}
"""Packages whose part in rebuilding a value is short."""

_ALWAYS_ASKED = (
    "__new__",
    "__setstate__",
    "__setattr__",
    "__getattribute__",
    "__getattr__",
    "__eq__",
    "__hash__",
)
_ASKED_WITH_ITEMS = ("append", "extend", "__setitem__", "add", "update")


class _NotQuickError(Exception):
    """Rebuilding the value may take long."""


def rebuilt_at_once(packed: bytes | memoryview) -> Callable[[], Any] | None:
    """What returns the value in ``packed``, or raises why it cannot be rebuilt, in no time.

    ``None`` if rebuilding it may take long, import something, or run code of users.
    """
    if len(packed) > AT_ONCE_BYTES and packed[2] not in _ONE_VALUE:
        return None
    try:
        value = _QuickUnpickler(io.BytesIO(packed)).load()
    except _NotQuickError:
        return None
    except Exception as error:
        return _Raising(error)
    return lambda: value


class _Raising:
    """Raises the error, once, and forgets it."""

    def __init__(self, error: Exception) -> None:
        self._error: Exception | None = error.with_traceback(None)

    def __call__(self) -> Any:
        error, self._error = self._error, None
        try:
            raise error or AssertionError
        finally:
            del error


class _QuickUnpickler(pickle.Unpickler):
    """Is asked about whatever a pickle names, before it is used."""

    def find_class(self, module_name: str, name: str) -> Any:
        module = sys.modules.get(module_name)
        first, _, rest = name.partition(".")
        # A name that is not there yet may be one that the module loads when it is asked for it.
        if module is None or module_name in _IMPORT_BY_THEMSELVES or first not in vars(module):
            raise _NotQuickError
        found = vars(module)[first]
        for part in rest.split(".") if rest else ():
            found = getattr(found, part)
        if isinstance(found, type):
            quick = _QUICK_CLASSES.get(found)
            if quick is None:
                quick = _QUICK_CLASSES[found] = not any(map(_is_of_users, _asked(found)))
        else:
            quick = _is_trusted(module_name)
        if not quick:
            raise _NotQuickError
        return found


_QUICK_CLASSES: weakref.WeakKeyDictionary[type, bool] = weakref.WeakKeyDictionary()


def _is_trusted(module_name: object) -> bool:
    return str(module_name).partition(".")[0] in _TRUSTED


def _asked(cls: type) -> Iterator[Any]:
    """What of ``cls`` runs, or may run, when an instance is rebuilt."""
    for name in _ALWAYS_ASKED:
        yield _attribute(cls, name)
    if issubclass(cls, enum.Enum):
        yield _attribute(cls, "_missing_")
        return
    yield _attribute(type(cls), "__call__")
    reducers = _attribute(cls, "__reduce__"), _attribute(cls, "__reduce_ex__")
    plainly = reducers == (vars(object)["__reduce__"], vars(object)["__reduce_ex__"])
    if not plainly:
        yield from reducers
        yield _attribute(cls, "__init__")
    if not plainly or issubclass(cls, list | dict | set):
        for name in _ASKED_WITH_ITEMS:
            yield _attribute(cls, name)


def _attribute(cls: type, name: str) -> Any:
    for base in cls.__mro__:
        if name in vars(base):
            return vars(base)[name]
    return None


def _is_of_users(attribute: Any) -> bool:
    """Whether ``attribute`` runs code that neither Python nor a library has written."""
    function = getattr(attribute, "__func__", attribute)
    if not isinstance(function, FunctionType):
        # What is written in C is quick; an object that is called may do anything.
        return callable(function) and type(function).__module__ != "builtins"
    code = function.__code__
    is_generated = code.co_filename.startswith("<attrs generated") or (
        code.co_filename == "<string>"
        and (code.co_name == "<lambda>" or code.co_qualname.startswith("__create_fn__."))
    )
    return not is_generated and not _is_trusted(function.__globals__.get("__name__"))
