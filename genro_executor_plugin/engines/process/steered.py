# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What an operator does with the workers of a pool, and how they end."""

from __future__ import annotations

from ...portable.reloads import ReloadWatch
from .ended import EndedWorkers
from .keyed import KeyedCalls
from .view import PoolView

__all__ = ["SteeredWorkers"]


class SteeredWorkers(PoolView):
    """The workers of a pool, as they are started, replaced and let go.

    Attributes:
        closing: whether the pool has begun to end.
    """

    _keyed: KeyedCalls
    _ended_workers: EndedWorkers
    closing: bool
    _reloads: ReloadWatch
    _reloads_seen: int

    async def warm(self) -> None:
        """Start ``min_workers`` (with ``warm``: ``max_workers``) workers and wait for them.

        Raises:
            WorkerCrashedError: a worker could not be started.
        """
        await self._supervisor.warm()

    def resize(self, max_workers: int) -> None:
        """Have at most ``max_workers`` workers; those that are too many end when they are free."""
        self._keyed.resize(max_workers)
        self._supervisor.resize(max_workers)

    async def restart(self) -> None:
        """Replace every worker, each between two calls; returns when the old ones are gone.

        Raises:
            WorkerCrashedError: no new worker can be started; the old ones go on working.
        """
        await self._supervisor.replace_all()

    def _renew(self) -> None:
        """Have workers that import everything anew take the places of those with old modules."""
        names = ", ".join(self._reloads.since(self._reloads_seen))
        self._reloads_seen = self._reloads.count
        self._supervisor.renew(f"modules were imported anew ({names})")

    def kill_worker(self, pid: int) -> bool:
        """Kill the worker ``pid``; its calls fail. ``False`` if there is no such worker."""
        for worker in self._supervisor.workers:
            if worker.pid == pid and not worker.killed:
                self._ended_workers.on_request(worker)
                return True
        return False

    def abandon(self) -> None:
        """End every worker without the pool's event loop, which is closed already."""
        self._supervisor.abandon()

    def let_go(self) -> None:
        """Close every descriptor in a forked child of the server, and touch nothing shared."""
        self._supervisor.let_go()
