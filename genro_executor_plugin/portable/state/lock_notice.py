# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Says once, in the log, that locks in the state of ``self`` are fresh ones in every worker."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ..by_type import FRESH_LOCKS, fresh_lock
from ..pickling import CarefulPickler
from ..references import describe

__all__ = ["LockNotice"]

_logger = logging.getLogger("genro_executor_plugin")


class LockNotice:
    """The notice of one pool: at most one for each class."""

    def __init__(self, is_replaced: Callable[[Any], bool]) -> None:
        self._is_replaced = is_replaced
        self._told_of: set[type] = set()

    def look(self, instance: Any, values: dict[str, Any], pickled: bytes) -> None:
        """Log which of ``values``, attributes of ``instance`` that are ``pickled``, have locks."""
        cls = type(instance)
        if cls in self._told_of or not any(word in pickled for word in FRESH_LOCKS):
            return
        names = [f"self.{name}" for name, value in values.items() if self._has_lock(value)]
        if not names:
            return
        self._told_of.add(cls)
        _logger.warning(
            "%s: the locks in %s are fresh ones in every worker, and lock nothing in the server. "
            "A class whose workers must not lock leaves the attribute out of its executor_state",
            describe(cls),
            ", ".join(names),
        )

    def _has_lock(self, value: Any) -> bool:
        met: list[Any] = []

        def special(obj: Any) -> Any:
            reduced = fresh_lock(obj)
            if reduced is not NotImplemented:
                met.append(obj)
            elif self._is_replaced(obj):
                return str, ()  # it is sent on its own
            return reduced

        with suppress(Exception):
            CarefulPickler(io.BytesIO(), special).dump(value)
        return bool(met)
