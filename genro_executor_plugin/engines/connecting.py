# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What engines do alike whose workers are reached through a connection, which takes a while."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from typing import Protocol, TypeVar

from ..options.pool import PoolOptions
from ..portable.shared_memory.segments import Segments
from .base import Pool
from .jobs import JobEngine, JobPool

__all__ = ["ConnectingEngine"]


class _ClosingPool(JobPool, Protocol):
    async def close(self) -> None:
        """Fail every call that is still here, and disconnect."""


P = TypeVar("P", bound=_ClosingPool)


class ConnectingEngine(JobEngine[P]):
    """An engine that connects with its first call, or when it is started.

    A subclass has to write ``_open``.
    """

    def __init__(self, pool: Pool, options: PoolOptions, segments: Segments | None = None) -> None:
        super().__init__(pool, options, segments)
        self._opening: asyncio.Task[P] | None = None

    def let_go(self) -> None:
        self._pool = self._opening = None

    async def start(self) -> None:
        """Connect.

        Raises:
            ExecutorError: there is no connection, and why.
        """
        await self.reach()

    async def reach(self) -> P:
        if self._ended:
            raise self.pool.closed_error()
        loop = asyncio.get_running_loop()
        if self._pool is not None and self._pool.loop is loop:
            return self._pool
        if self._opening is None or self._opening.get_loop() is not loop:
            self._opening = loop.create_task(self._connect())
        return await asyncio.shield(self._opening)

    async def _connect(self) -> P:
        before, self._pool = self._pool, None
        try:
            pool = self._pool = await self._open()
            return pool
        finally:
            self._opening = None
            if before is not None:
                await self._leave_behind(before)

    @abstractmethod
    async def _open(self) -> P:
        """Return a pool of workers of the running event loop, connected.

        Raises:
            ExecutorError: there is no connection, and why.
        """

    async def _leave_behind(self, pool: P) -> None:
        """Let go of ``pool``, whose event loop is another one, and closed."""
        pool.arrivals.abandon()

    async def close(self) -> None:
        self._ended = True
        opening, self._opening = self._opening, None
        here = asyncio.get_running_loop()
        if opening is not None and opening.get_loop() is here:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        pool, self._pool = self._pool, None
        if pool is not None and pool.loop is here:
            await pool.close()
        elif pool is not None:
            await self._leave_behind(pool)
