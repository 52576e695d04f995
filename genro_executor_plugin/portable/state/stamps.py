# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Stamps: they tell a worker which attributes have changed since it was sent them.

What a handler has set on a replica stays as long as the server does not change the attribute.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterable, Iterator
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

from ..pickling import CarefulPickler
from .declared import is_fixed

__all__ = ["Stamps"]

_SHARED_BY_ALL = (FunctionType, BuiltinFunctionType, ModuleType, type)
"""Two attributes that refer to the same object of such a type are still independent."""


class Stamps:
    """The stamps of one replica's attributes; a stamp is never used twice."""

    __slots__ = ("_digests", "_numbers", "_stamps")

    def __init__(self, numbers: Iterator[int]) -> None:
        self._numbers = numbers
        self._stamps: dict[str, int] = {}
        self._digests: dict[str, bytes] = {}

    def of(self, names: Iterable[str]) -> dict[str, int]:
        """The stamps of ``names``; 0 for an attribute that never had one."""
        return {name: self._stamps.get(name, 0) for name in names}

    def renew(self, name: str) -> None:
        """Give the attribute ``name``, which has changed, a new stamp."""
        self._stamps[name] = next(self._numbers)

    def renew_changed(
        self,
        values: dict[str, Any],
        special: Callable[[Any], Any],
        is_replaced: Callable[[Any], bool],
    ) -> None:
        """Give a new stamp to every value that changed, and to those it shares objects with.

        Objects that two attributes share stay shared in a worker only if both are set again.

        Args:
            values: the attributes, by name; all that can change in place.
            special: the pickler's hook for what is replaced in them.
            is_replaced: whether the hook puts a replica in the place of an object.
        """
        digests, shared = {}, {}
        for name, value in values.items():
            buffer = io.BytesIO()
            pickler = CarefulPickler(buffer, special)
            pickler.dump(value)
            digests[name] = hashlib.blake2b(buffer.getbuffer(), digest_size=16).digest()
            met = pickler.memo.copy()
            shared[name] = {
                id_
                for id_, (_, obj) in met.items()
                if not (is_fixed(obj) or isinstance(obj, _SHARED_BY_ALL) or is_replaced(obj))
            }
        new = {name for name in values if self._digests.get(name) != digests[name]}
        touched: set[int] = set().union(*(shared[name] for name in new))
        while more := {n for n in values.keys() - new if not touched.isdisjoint(shared[n])}:
            new |= more
            touched = touched.union(*(shared[name] for name in more))
        for name in new:
            self.renew(name)
        self._digests = digests
