# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A job that has no final state yet, in the memory of the server that runs it."""

from __future__ import annotations

import asyncio

from ..errors import ExecutorClosedError
from .attempt import Attempt
from .status import TaskStatus

__all__ = ["LiveJob"]


class LiveJob:
    """One job between its submission and its end.

    Attributes:
        status: what is known of it.
        couriers: channels of the hub that are told of it, besides the job's own.
        asked: whether it was asked to end.
        goes_on: whether it goes on in a thread although the server stops.
        run: the task that claims, runs and settles it, ``None`` while it waits.
        attempt: its run in a pool, ``None`` while it is in none.
        noted_at: when its progress was last stored, by ``time.monotonic()``.
    """

    __slots__ = ("_waiting", "asked", "attempt", "couriers", "goes_on", "noted_at", "run", "status")

    def __init__(self, status: TaskStatus, couriers: tuple[str, ...] = ()) -> None:
        self.status: TaskStatus = status
        self.couriers: tuple[str, ...] = couriers
        self.asked: bool = status.cancel_requested
        self.goes_on: bool = False
        self.noted_at: float = 0.0
        self.run: asyncio.Task[None] | None = None
        self.attempt: Attempt | None = None
        self._waiting: asyncio.Future[None] | None = None

    def set(self, status: TaskStatus) -> None:
        """Replace what is known of it; a final state wakes everything that waits in ``ended``."""
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

    def abandon(self, error: BaseException | None = None) -> None:
        """Wake all who wait in ``ended`` with ``error``, by default that the server stops."""
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_exception(
                error
                or ExecutorClosedError(
                    f"the server stops; job {self.status.task_id} goes on with the next one"
                )
            )
            self._waiting.exception()  # its waiters may be gone
