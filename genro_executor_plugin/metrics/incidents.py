# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The last errors of a pool, as text: what went wrong, where, how often, and the traceback.

Exceptions themselves are not kept, because their frames hold on to what the calls were given.
"""

from __future__ import annotations

import re
import time
import traceback
from dataclasses import dataclass

from ..errors import RemoteError, RemoteTraceback
from .error_text import shortened, text_of

__all__ = ["Incidents", "remote_traceback"]

_KEPT = 50
"""How many different errors a pool remembers."""

_MESSAGE_CHARACTERS = 2_000
_TRACEBACK_CHARACTERS = 16_000

_FORMAT_EVERY_SECONDS = 0.1
"""How often, at most, a local traceback is formatted: a pool that fails all the time must not
keep the event loop busy with that."""


_NUMBERS = re.compile(r"\d+")


@dataclass(slots=True)
class Incident:
    """One kind of error of one route, and its last occurrence.

    Attributes:
        outcome: ``"failed"``, ``"timed_out"`` or ``"crashed"``.
        route: the route's path, empty for a call that came from none.
        function: what was called.
        type_name: the exception's class.
        message: its text, shortened; numbers in it are those of the last occurrence.
        traceback: where it was raised, in the worker if it came from there; may be empty.
        count: how often it happened since it is remembered.
        first_at: when it happened first, in seconds since the epoch.
        last_at: when it happened last.
    """

    outcome: str
    route: str
    function: str
    type_name: str
    message: str
    traceback: str
    count: int
    first_at: float
    last_at: float


class Incidents:
    """The last different errors, the latest one last."""

    __slots__ = ("_format_at", "_known")

    def __init__(self) -> None:
        self._known: dict[tuple[str, ...], Incident] = {}
        self._format_at = 0.0

    def __len__(self) -> int:
        return len(self._known)

    @property
    def latest_first(self) -> list[Incident]:
        """The errors that are remembered, the latest one first."""
        return list(reversed(self._known.values()))

    def add(self, outcome: str, route: str, function: str, error: BaseException) -> None:
        """Remember ``error``; one that is known already is counted."""
        message = shortened(text_of(error), _MESSAGE_CHARACTERS)
        type_name = getattr(error, "type_name", "") or _name_of(type(error))
        # Errors whose texts differ only in numbers, a pid or a count, are the same error.
        key = (outcome, route, function, type_name, _NUMBERS.sub("#", message))
        now = time.time()
        incident = self._known.pop(key, None)
        if incident is None:
            incident = Incident(outcome, route, function, type_name, message, "", 0, now, now)
        incident.message = message
        incident.count += 1
        incident.last_at = now
        incident.traceback = self._traceback_of(error) or incident.traceback
        self._known[key] = incident
        if len(self._known) > _KEPT:
            del self._known[next(iter(self._known))]

    def _traceback_of(self, error: BaseException) -> str:
        remote = remote_traceback(error)
        if not remote:
            is_rare = bool(getattr(error, "stack", ""))  # a call was ended, and says where it was
            if time.monotonic() < self._format_at and not is_rare:
                return ""
            self._format_at = time.monotonic() + _FORMAT_EVERY_SECONDS
            remote = "".join(traceback.format_exception(error))
        return shortened(remote.strip(), _TRACEBACK_CHARACTERS)


def remote_traceback(error: BaseException) -> str:
    """The traceback that came from the worker, empty if the error arose here."""
    if isinstance(error, RemoteError):
        return error.remote_traceback
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if isinstance(link, RemoteTraceback):
            return link.text
        seen.add(id(link))
        link = link.__cause__
    return ""


def _name_of(cls: type) -> str:
    known = cls.__module__ == "builtins" or cls.__module__ == RemoteError.__module__
    return cls.__qualname__ if known else f"{cls.__module__}.{cls.__qualname__}"
