# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The totals of long jobs for scrapes, which are many and must not wait for the store."""

from __future__ import annotations

import asyncio
import time

from ..errors import ExecutorError
from ..tasks.service import LongTasks
from ..tasks.store.totals import JobTotals

__all__ = ["KeptTotals"]

PATIENCE_SECONDS = 1.0
"""How long a scrape waits for the store."""

KEPT_SECONDS = 5.0
"""How long an answer holds: anybody may scrape, and counting many jobs takes a while."""


class KeptTotals:
    """What is known of the jobs of ``long_tasks``.

    Attributes:
        found: their totals, why they could not be read, or ``None`` without a store.
    """

    def __init__(self, long_tasks: LongTasks) -> None:
        self._long_tasks = long_tasks
        self._asked_at = -KEPT_SECONDS
        self.found: JobTotals | str | None = None

    async def refresh(self) -> None:
        """Ask the store again if the last answer is old."""
        now = time.monotonic()
        if now - self._asked_at < KEPT_SECONDS:
            return
        # Noted first: those who ask meanwhile must not all ask the store.
        self._asked_at = now
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                self.found = await self._long_tasks.totals()
        except TimeoutError:
            self.found = f"the store has not answered for {PATIENCE_SECONDS:g} s"
        except ExecutorError as error:
            self.found = str(error)
