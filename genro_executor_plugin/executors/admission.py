# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0
"""Who is let into a pool: ``max_pending`` calls at most; the others wait, or are refused."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress

__all__ = ["Door"]


class Door:
    """Counts the calls that are inside, and lets those that wait in, first come, first served.

    Attributes:
        inside: how many calls are admitted and not finished, running ones included.
        places: how many there may be.
        closed: whether nobody is let in any more.
        draining: whether nobody new is let in until ``reopen``.
    """

    __slots__ = ("_changed", "_waiting", "closed", "draining", "inside", "places")

    def __init__(self, places: int) -> None:
        self.places = places
        self.inside = 0
        self.closed = False
        self.draining = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._changed = asyncio.Event()

    @property
    def is_free(self) -> bool:
        """Whether a call can walk straight in."""
        return not (self._waiting or self.inside >= self.places or self.closed or self.draining)

    @property
    def is_empty(self) -> bool:
        """Whether nobody is inside and nobody waits."""
        return not self.inside and not self._waiting

    async def wait(self, deadline: float | None) -> None:
        """Wait until there is a place, and take it.

        Raises:
            TimeoutError: it was not there at loop time ``deadline``.
            Exception: what ``close`` was given to raise.
        """
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout_at(deadline):
                await waiter
        except BaseException:
            self._give_back(waiter)
            raise

    def _give_back(self, waiter: asyncio.Future[None]) -> None:
        """Hand on a place that was given to a caller who no longer wants it."""
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self.leave()
        else:
            with suppress(ValueError):
                self._waiting.remove(waiter)
            self._changed.set()

    def leave(self) -> None:
        """One call has finished."""
        self.inside -= 1
        if not self.closed:
            while self._waiting and self.inside < self.places:
                waiter = self._waiting.popleft()
                if not waiter.done():
                    self.inside += 1
                    waiter.set_result(None)
        if not self.inside:
            self._changed.set()

    def close(self, error: Callable[[], Exception]) -> None:
        """Let nobody in any more; each of those that wait is given an ``error()`` of its own."""
        self.closed = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(error())

    async def empty(self) -> None:
        """Wait until nobody is inside; with ``draining``, until nobody waits, either."""
        while self.inside or (self._waiting and not self.closed):
            self._changed.clear()
            await self._changed.wait()
