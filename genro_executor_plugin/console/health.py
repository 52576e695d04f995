# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Whether a server lives, and whether it can serve: two questions of whoever restarts and balances.

Everybody may ask, so that an answer has names and one word. The reasons are texts of exceptions,
with addresses and passwords in them, and are for those who have the tag.
"""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any

from ..errors import ExecutorError
from ..tasks.http.accepted import JsonAnswer

__all__ = ["Health"]

STORE_SECONDS = 1.0
"""How long the store of long jobs may take to answer, and how long its answer holds."""

NOT_READY = "not ready"
"""What strangers read of whatever is wrong."""


class Health:
    """The health of the server of ``console``."""

    def __init__(self, console: Any) -> None:
        self._console = console
        self._store_trouble: str | None = None
        self._store_asked_at = -STORE_SECONDS

    def live(self) -> dict[str, Any]:
        """That the event loop answers: a server that does not say so has to be restarted."""
        return {"live": True}

    async def ready(self, *, reasons: bool) -> Any:
        """Whether calls and long jobs can be served: 200, or 503 with what cannot.

        Args:
            reasons: whether to say why.
        """
        registry = self._console.server.executors
        found = {f"pool {name}": why for name, why in registry.unhealthy.items()}
        trouble = await self._trouble_of_store()
        if trouble is not None:
            found["long jobs"] = trouble
        of_whom = self._of_whom(reasons=reasons)
        if not found:
            return {"healthy": True, **of_whom}
        said = found if reasons else dict.fromkeys(found, NOT_READY)
        return JsonAnswer({"healthy": False, "unhealthy": said, **of_whom}, 503, retry_after="1")

    def _of_whom(self, *, reasons: bool) -> dict[str, Any]:
        """Which process answers, if there are others, and how those are."""
        others = self._console.processes.others
        if not others:
            return {}
        said = {
            str(other["pid"]): other["unhealthy"]
            if reasons
            else dict.fromkeys(other["unhealthy"], NOT_READY)
            for other in others
        }
        return {"process": os.getpid(), "unhealthy_in_others": said}

    async def _trouble_of_store(self) -> str | None:
        """Why the store of long jobs does not answer; ``None`` if it does, or there is none."""
        long_tasks = self._console.server.long_tasks
        now = time.monotonic()
        if not long_tasks.in_use:
            return None
        if now - self._store_asked_at >= STORE_SECONDS:
            # Noted first: those who ask meanwhile must not all ask the store.
            self._store_asked_at = now
            try:
                async with asyncio.timeout(STORE_SECONDS):
                    await long_tasks.counts()
                self._store_trouble = None
            except TimeoutError:
                self._store_trouble = f"the store has not answered for {STORE_SECONDS:g} s"
            except ExecutorError as error:
                self._store_trouble = str(error)
        return self._store_trouble
