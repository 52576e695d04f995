# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Placeholders: they stand in a worker for attributes that cannot travel, and say so when used.

The server makes them where pickling fails, a worker where unpickling fails.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from ...errors import SerializationError
from ...hosts.loaded import SERVER_ATTRIBUTE
from ..main_module import inside_worker
from .section_names import ASKS_FOR_CLASSES, PARENT, PROXY, ROUTER

__all__ = ["LEFT_BEHIND", "Placeholder"]

LEFT_BEHIND: Mapping[str, str] = MappingProxyType(
    {
        SERVER_ATTRIBUTE: (
            "the server is not in the worker; do what needs it before or after the call"
        ),
        PARENT: "the parent is not in the worker; give the handler what it needs of it",
        ROUTER: "the router is not in the worker; routes are called in the server",
        PROXY: "the router is not in the worker",
    }
)
"""Attributes that never travel, each with the reason and the cure, for code in a worker."""

_logger = logging.getLogger("genro_executor_plugin")

_MOST_REMEMBERED = 1000
"""Of so many placeholders it is remembered that they have been logged."""


@lru_cache(_MOST_REMEMBERED)
def _log_once(explanation: str) -> None:
    """Log what code in this worker has touched: it may catch the exception and tell nobody."""
    _logger.warning("a handler uses what is not in its worker: %s", explanation)


class Placeholder:
    """Stands in a worker for an attribute that could not travel; using it explains why.

    ``known`` has what is known of the object that it stands for: attributes that can be read.
    """

    def __init__(self, explanation: str, known: Mapping[str, Any] | None = None) -> None:
        self.__dict__["explanation"] = explanation
        self.__dict__.update(known or {})

    def _refuse(self, *_args: Any, **_kwargs: Any) -> Any:
        explanation = object.__getattribute__(self, "__dict__")["explanation"]
        if inside_worker():
            _log_once(explanation)
        raise SerializationError(explanation)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name.endswith("__"):
            raise AttributeError(name)  # pickle, copy and inspect ask for such names to probe
        return self._refuse()

    @property
    def __class__(self) -> Any:
        # isinstance() asks for it, after it has asked for the type.
        if inside_worker() and sys._getframe(1).f_globals.get("__name__") != ASKS_FOR_CLASSES:
            self._refuse()
        return Placeholder

    @__class__.setter
    def __class__(self, cls: Any) -> None:
        self._refuse()

    def __reduce__(self) -> tuple[Any, ...]:
        if inside_worker():
            self._refuse()  # a handler returns it, or something that contains it
        known = dict(self.__dict__)
        explanation = known.pop("explanation")
        return Placeholder, ((explanation, known) if known else (explanation,))

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<not in this worker: {self.__dict__['explanation']}>"

    __setattr__ = __call__ = __getitem__ = __setitem__ = __iter__ = __len__ = __bool__ = _refuse
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __or__ = __ror__ = _refuse
    __truediv__ = __floordiv__ = __mod__ = __and__ = __int__ = __float__ = __index__ = _refuse
    __delitem__ = __delattr__ = __reversed__ = __bytes__ = __aiter__ = __anext__ = _refuse
    __contains__ = __enter__ = __exit__ = __aenter__ = __aexit__ = __await__ = __next__ = _refuse
    __str__ = __format__ = __fspath__ = __complex__ = __round__ = _refuse
