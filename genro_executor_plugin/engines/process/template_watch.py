# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Notices that a template process does not answer any more, because it was stopped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["TemplateWatch"]

_SILENT_SECONDS = 5.0
"""How long a template may take to answer when it has its modules, before it is replaced."""


class TemplateWatch:
    """Calls ``silent`` when a template that was asked something says nothing for a while."""

    def __init__(self, ping: Callable[[], None], silent: Callable[[str], None]) -> None:
        """Watch nothing yet.

        Args:
            ping: asks the template for a sign of life.
            silent: called with what is wrong, when none has come.
        """
        self._ping = ping
        self._silent = silent
        self._heard = self._asked = False
        self._timer: asyncio.TimerHandle | None = None

    def expect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Expect a sign of life: the template was just asked for something."""
        self._asked = True
        if self._timer is None:
            self._heard = self._asked = False
            self._ping()
            self._timer = loop.call_later(_SILENT_SECONDS, self._look, loop)

    def heard(self) -> None:
        """Take in that the template has said something."""
        self._heard = True

    def stop(self) -> None:
        """Expect nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if not self._heard:
            self._silent(f"has not answered for {_SILENT_SECONDS:g} s")
        elif self._asked:  # the answer may be older than what it was asked last
            self.expect(loop)
