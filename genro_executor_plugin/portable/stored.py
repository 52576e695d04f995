# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The names that are on disk, and how stored bytes are read.

A pickle names by module and name what rebuilds the values in it. The calls, results and failures
of long jobs are pickles in a file, so every later version must find what they name. Of this
package they name

- the functions of this module: it stays where it is, and they keep their names and parameters;
- public names, such as ``genro_executor_plugin.SentFile``, as names of the package itself;
- ``genro_executor_plugin.errors``.

``StoredPickler`` in ``pickling.py`` writes nothing else. What former versions wrote instead is
in ``FORMER_NAMES``, from which nothing is ever removed.
"""

from __future__ import annotations

import io
import pickle
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import FunctionType, MappingProxyType
from typing import Any

from .references import Reference

__all__ = [
    "FORMER_NAMES",
    "PACKAGE",
    "finding",
    "is_stable",
    "loads",
    "memory_view",
    "public_name",
    "resolve",
    "served_instance",
]

PACKAGE = __name__.partition(".")[0]

_STABLE = frozenset({PACKAGE, f"{PACKAGE}.errors", f"{PACKAGE}.testing", __name__})


# -- named by pickles: neither names nor parameters may change ------------------------------------


def resolve(module: str, path: str, depth: int) -> Any:
    """The function or class at ``path`` in ``module``, below ``depth`` decorators."""
    return Reference(module, path, depth).resolve()


def memory_view(buffer: Any, code: str, shape: tuple[int, ...]) -> memoryview:
    """A view of ``buffer`` with the format and the shape of the one that was pickled."""
    view = memoryview(buffer).cast("B")
    return view if code == "B" and len(shape) == 1 else view.cast(code, shape)  # type: ignore[call-overload]


def module_instance(module: str, path: str, cls: Any, state: Any) -> Any:
    """The object at ``path`` in ``module`` if it is a ``cls`` with ``state``; else a new one."""
    reference = Reference(module, path)
    try:
        found = reference.resolve()
    except (ImportError, AttributeError):
        found = None
    if type(found) is cls:
        reduced: Any = found.__reduce_ex__(2)
        if (reduced[2] if len(reduced) > 2 else None) == state:
            return found
    made = cls.__new__(cls)
    plain, slots = state if isinstance(state, tuple) else (state, None)
    for name, value in {**(plain or {}), **(slots or {})}.items():
        object.__setattr__(made, name, value)
    return made


def served_instance(address: str) -> Any:
    """The application or section at ``address`` in the server that reads a stored call."""
    return _find.get()(address)


# -- reading --------------------------------------------------------------------------------------

FORMER_NAMES: Mapping[tuple[str, str], Callable[..., Any]] = MappingProxyType(
    {
        (f"{PACKAGE}.pickling", "_resolve"): resolve,  # 0.1
        (f"{PACKAGE}.pickling", "_memoryview"): memory_view,  # 0.1
        (f"{PACKAGE}.tasks.parcels", "_application"): served_instance,  # 0.1
    }
)
"""What former versions named, by module and name, and what it is today. A public name is not
listed: it is found in the package, whichever module a former version had it in."""

_find: ContextVar[Callable[[str], Any]] = ContextVar("genro_executor_find_served_instance")


@contextmanager
def finding(find: Callable[[str], Any]) -> Iterator[None]:
    """Have ``served_instance`` ask ``find`` within the block."""
    token = _find.set(find)
    try:
        yield
    finally:
        _find.reset(token)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        former = FORMER_NAMES.get((module, name))
        if former is not None:
            return former
        if module.startswith(f"{PACKAGE}.") and _is_public(name):
            module = PACKAGE
        return super().find_class(module, name)


def loads(content: bytes) -> Any:
    """The value in stored bytes, whichever version wrote them.

    Raises:
        Exception: whatever the unpickling raises.
    """
    return _Unpickler(io.BytesIO(content)).load()


# -- writing --------------------------------------------------------------------------------------


def is_stable(module: object) -> bool:
    """Whether stored bytes may name what is in ``module``: it is not of this package, or stays."""
    return not isinstance(module, str) or module in _STABLE or not module.startswith(f"{PACKAGE}.")


def public_name(target: type | FunctionType) -> str | None:
    """The path under which the package itself has ``target``, ``None`` if it is not public."""
    path = target.__qualname__
    if not _is_public(path):
        return None
    return path if Reference(PACKAGE, path).resolve() is target else None


def _is_public(path: str) -> bool:
    return path.partition(".")[0] in sys.modules[PACKAGE].__all__
