# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a worker has in place of server, parent and router, and what of them it is told.

They explain themselves when they are used. Told are the context that a section has from its
parent, and the application's own configuration as far as it is plain data.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any

from ...hosts.loaded import SERVER_ATTRIBUTE, written_configuration
from ..references import describe
from .placeholders import LEFT_BEHIND, Placeholder
from .section_names import PARENT

__all__ = ["ApplicationConfiguration", "LeftBehind", "weakly"]

_MISSING = object()


def weakly(value: Any) -> Callable[[], Any]:
    """What returns ``value`` as long as it is there; for good, if it cannot be held weakly."""
    try:
        return weakref.ref(value)
    except TypeError:
        return lambda: value


class LeftBehind:
    """The placeholders of one application or section; each stays the same until it changes."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Callable[[], Any], Any, Placeholder]] = {}

    def of(self, instance: Any, name: str, value: Any) -> Any:
        """What is sent in place of ``value``, the attribute ``name`` of ``instance``."""
        cls = type(instance)
        if name == SERVER_ATTRIBUTE and not hasattr(cls, "server"):
            return value  # it only has the name of a host's attribute
        told = getattr(value, "ctx", None) if name == PARENT else None
        before = self._known.get(name)
        if before is not None and before[0]() is value and before[1] is told:
            return before[2]
        explanation = f"{describe(cls)}: {LEFT_BEHIND[name]}"
        known: dict[str, Any] = {}
        if name == PARENT:
            known["ctx"] = told
        elif name == SERVER_ATTRIBUTE:
            known["config"] = _configuration(instance, value, explanation)
        placeholder = Placeholder(explanation, known)
        # Held weakly: a section's parent holds the section.
        self._known[name] = weakly(value), told, placeholder
        return placeholder


def _configuration(instance: Any, server: Any, explanation: str) -> ApplicationConfiguration | None:
    """What ``self.config`` asks in a worker; ``None`` for a server that has no configuration."""
    read: Callable[..., Any] | None = getattr(server, "config", None)
    if read is None:
        return None
    prefix = f"applications.{getattr(instance, 'code', None)}"
    return ApplicationConfiguration(prefix, written_configuration(read, prefix), explanation)


class ApplicationConfiguration:
    """The plain values of an application's configuration, as they were when it was sent."""

    def __init__(self, prefix: str, values: Mapping[str, Any], explanation: str) -> None:
        self._prefix = prefix
        self._values = values
        self._explanation = explanation

    def __call__(self, path: str, default: Any = _MISSING) -> Any:
        """The value at ``path``, or ``default`` where none is written.

        Raises:
            KeyError: nothing is written there, and no default was given.
            SerializationError: it is not of this application, or what the host decides.
        """
        if path in self._values:
            return self._values[path]
        if not path.startswith(f"{self._prefix}.parameters."):
            Placeholder(f"the configuration {path!r} is not in the worker. {self._explanation}")()
        if default is _MISSING:
            raise KeyError(f"missing config value {path!r}")
        return default
