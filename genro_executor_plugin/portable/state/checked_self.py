# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``self`` for a call that stays in the server and must not have more than a worker would have.

It shares all values with the application or section, but for those that cannot travel: there it
has the same placeholders as a replica in a worker. What a handler sets on it is set on the real
one when the call is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .declared import slots_of
from .placeholders import Placeholder

__all__ = ["CheckedSelf"]

_UNSET = object()


class CheckedSelf:
    """A stand-in for ``instance`` that has ``placeholders`` in place of what cannot travel.

    Attributes:
        instance: the stand-in, an object of the same class.
    """

    def __init__(self, real: Any, placeholders: Mapping[str, Placeholder]) -> None:
        cls: Any = type(real)
        self._real = real
        # The hook opens in each worker what only lives there.
        opened = getattr(getattr(cls, "on_worker_startup", None), "__code__", None)
        names = set(placeholders) - set(opened.co_names if opened is not None else ())
        self._given = {**_values(real), **{name: placeholders[name] for name in names}}
        self.instance: Any = cls.__new__(cls)
        for name, value in self._given.items():
            object.__setattr__(self.instance, name, value)

    def calling(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """``func`` of the real object as a method of the stand-in."""
        bound: Callable[..., Any] = func.__get__(self.instance)
        return bound

    def give_back(self) -> None:
        """Set on the real object what was set on the stand-in."""
        after = _values(self.instance)
        for name, value in after.items():
            if self._given.get(name, _UNSET) is not value:
                setattr(self._real, name, value)
        for name in self._given.keys() - after.keys():
            delattr(self._real, name)


def _values(instance: Any) -> dict[str, Any]:
    values = dict(getattr(instance, "__dict__", {}))
    owner: Any = type(instance)
    for name in slots_of(owner):
        value = getattr(instance, name, _UNSET)
        if value is not _UNSET:
            values[name] = value
    return values
