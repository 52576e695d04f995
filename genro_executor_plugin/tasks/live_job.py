# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A job that has no final state yet, as the server that has it knows it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..errors import ExecutorClosedError
from .status import TaskStatus

if TYPE_CHECKING:
    from .attempt import Attempt

__all__ = ["LiveJob"]


class LiveJob:
    """One job between its submission and its end.

    Attributes:
        status: what is known of it.
        couriers: whom the hub tells of it, besides those who ask for the job itself.
        asked: somebody wants it to end.
        goes_on: the server stops, and the job's thread does not.
        run: the task that claims, runs and settles it, ``None`` while it waits.
        attempt: its run in a pool, ``None`` while it is in none.
        noted_at: when its progress was last written down, by ``time.monotonic()``.
    """

    __slots__ = ("_waiting", "asked", "attempt", "couriers", "goes_on", "noted_at", "run", "status")

    def __init__(self, status: TaskStatus, couriers: tuple[str, ...] = ()) -> None:
        self.status = status
        self.couriers = couriers
        self.asked = status.cancel_requested
        self.goes_on = False
        self.noted_at = 0.0
        self.run: asyncio.Task[None] | None = None
        self.attempt: Attempt | None = None
        self._waiting: asyncio.Future[None] | None = None

    def set(self, status: TaskStatus) -> None:
        """``status`` is the news; at a final one, those who wait go on."""
        self.status = status
        if status.state.final and self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def ended(self) -> None:
        """Wait until it has a final state.

        Raises:
            ExecutorClosedError: the server stops before that.
        """
        if not self.status.state.final:
            if self._waiting is None:
                self._waiting = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waiting)

    def forsake(self) -> None:
        """The server stops: those who wait here wait in vain."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(
                ExecutorClosedError(
                    f"the server stops; job {self.status.task_id} goes on with the next one"
                )
            )
            self._waiting.exception()  # its waiters may be gone
