# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Messages that were refused: all of them counted, and one a minute of each source logged."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from .envelope import RefusedError

__all__ = ["Refusals"]

_logger = logging.getLogger("genro_executor_plugin")

_QUIET_SECONDS = 60.0
_MOST_SOURCES = 256
"""Of how many sources it is remembered when they were last logged: whoever sends nonsense may
choose where to."""


class Refusals:
    """Counts refused messages.

    Attributes:
        counts: how many there were, by reason.
    """

    def __init__(self, who: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Count what ``who`` refuses, such as ``"pool 'heavy'"``."""
        self.counts: Counter[str] = Counter()
        self._who = who
        self._clock = clock
        self._logged: dict[tuple[str, str], float] = {}

    def add(self, subject: str, error: RefusedError) -> None:
        """Count a message that came through ``subject``, and log it if none was lately."""
        self.counts[error.reason] += 1
        now, source = self._clock(), (subject, error.reason)
        if now - self._logged.get(source, -_QUIET_SECONDS) < _QUIET_SECONDS:
            return
        if len(self._logged) >= _MOST_SOURCES:
            del self._logged[next(iter(self._logged))]
        self._logged[source] = now
        _logger.warning(
            "%s: a message on the subject %r was refused: %s (%d of this sort so far; further ones "
            "are counted, and logged once a minute)",
            *(self._who, subject, error, self.counts[error.reason]),
        )
