# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The other processes that share a store: what they ask for is done, what they left is taken over.

A process runs the jobs that it has accepted. It writes what it wants of another one's job into the
store, and reads there what others want. While it is the only one it only looks, once a second,
whether it still is.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from ..errors import ExecutorError
from ..hosts.contract import HostServer
from .limits import Limits
from .options import TaskSettings
from .runner import Runner
from .store import Recovered, TaskStore
from .store.facts import Glance
from .store.members import Member, Membership
from .watched import Watched

__all__ = ["Siblings", "digest_of_applications"]

_logger = logging.getLogger("genro_executor_plugin")

LOOK_SECONDS = 1.0
"""How often a process looks which others there are: so late the jobs of a killed one go on."""

GLANCE_SECONDS = 0.1
"""How often a process that is not alone looks into the store."""

USAGE_SECONDS = 0.5
"""How often, at most, the jobs of all submitters are counted anew."""


def digest_of_applications(server: HostServer) -> str:
    """What processes have in common that serve the same applications."""
    served = sorted(
        f"{code}={type(application).__module__}.{type(application).__qualname__}"
        for code, application in server.applications.items()
    )
    return hashlib.sha256("\0".join(served).encode("utf-8", "surrogateescape")).hexdigest()[:32]


_OWN_SESSIONS = (
    "the long jobs of this server are shared with another process (pid %s), and its sessions are "
    "not: each process keeps them in its memory. Who is not logged in is known by a session, so "
    "that another process answers 404 for their jobs. Give all processes one session_store, log "
    "submitters in, or keep each client at one process"
)


class Siblings:
    """What one process does about the others, from ``start`` until ``stop``.

    Attributes:
        others: the other processes that share the folder and live, as they were seen last.
        watched: the jobs of others that somebody waits for here, ``None`` without a store.
    """

    def __init__(
        self,
        membership: Membership,
        settings: TaskSettings,
        limits: Limits,
        take: Callable[[Recovered], None],
        open_store: Callable[[], Awaitable[None]],
        own_sessions: bool,
    ) -> None:
        """Look after the store that ``attach`` will be given.

        Args:
            membership: this process among the others.
            settings: of long jobs.
            limits: counted anew when others have changed the store.
            take: given the jobs of processes that have ended.
            open_store: opens the store, if there is one by now that others have made.
            own_sessions: whether no other process knows the sessions of this one.
        """
        self.others: list[Member] = []
        self.watched: Watched | None = None
        self._membership = membership
        self._settings = settings
        self._limits = limits
        self._take = take
        self._open_store = open_store
        self._own_sessions = own_sessions
        self._store: TaskStore | None = None
        self._runner: Runner | None = None
        self._version = -1
        self._counted_at = 0.0
        self._count_again = False
        self._woken = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._said = ""

    def attach(self, store: TaskStore, runner: Runner, watched: Watched) -> None:
        """Look after ``store``, which is open now."""
        self._store, self._runner, self.watched = store, runner, watched

    def start(self) -> None:
        """Begin to look. Doing it again changes nothing."""
        if self._running is None:
            self._running = asyncio.create_task(self._look_on())

    def wake(self) -> None:
        """Look now: somebody waits for what another process does."""
        self._woken.set()

    async def stop(self) -> None:
        """Look no more; whoever waits for another process's job is told."""
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
        if self.watched is not None:
            self.watched.abandon()

    # -- looking ----------------------------------------------------------------------------------

    async def _look_on(self) -> None:
        looked_at = -LOOK_SECONDS
        while True:
            try:
                if time.monotonic() - looked_at >= LOOK_SECONDS:
                    looked_at = time.monotonic()
                    await self._look()
                if self._busy:
                    await self._glance()
                self._said = ""
            except (ExecutorError, OSError) as error:
                self._say(error)
            self._woken.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(GLANCE_SECONDS if self._busy else LOOK_SECONDS):
                    await self._woken.wait()

    @property
    def _busy(self) -> bool:
        return bool(self.others or (self.watched is not None and self.watched.jobs))

    def _say(self, error: BaseException) -> None:
        """Log what goes wrong, once for each time that it begins to."""
        if str(error) != self._said:
            self._said = str(error)
            _logger.warning("what other processes do with the long jobs is not seen: %s", error)

    async def _look(self) -> None:
        """Find out which processes there are, and take over from those that have ended."""
        self._membership.beat()
        self.others = await asyncio.to_thread(self._membership.others)
        if self.others and self._own_sessions:
            self._own_sessions = False  # it is said once
            _logger.warning(_OWN_SESSIONS, self.others[0].pid)
        if self._store is None:
            await self._open_store()
            return
        await self._take_over()

    async def _take_over(self) -> None:
        store = self._store
        assert store is not None
        ended = await asyncio.to_thread(self._membership.ended)
        if not ended:
            return
        try:
            for one in ended:
                await asyncio.to_thread(one.await_workers)
            found = await asyncio.wrap_future(store.take_over(ended))
        except BaseException:
            for one in ended:
                one.release()
            raise
        for one in ended:
            one.remove()
        if found.waiting or found.ended or found.held:
            pids = ", ".join(str(one.member.pid) if one.member else one.name for one in ended)
            _logger.warning(
                "the server process with pid %s has ended; this one takes its long jobs over: %s "
                "wait or run again, %s were running and are cancelled or lost",
                pids,
                len(found.waiting) + len(found.held),
                len(found.ended),
            )
        self._take(found)

    async def _glance(self) -> None:
        """Do what others ask for, and tell those who wait here of their jobs."""
        store, runner, watched = self._store, self._runner, self.watched
        if store is None or runner is None or watched is None:
            return
        seen: Glance = await asyncio.wrap_future(store.glance(self._version, [*watched.jobs]))
        watched.saw(seen.found, runner.jobs)
        if seen.version != self._version:
            self._count_again = True
        if seen.left:
            self._take(await asyncio.wrap_future(store.take_over([])))
        if seen.orders:
            await self._follow(store, runner, seen)
        # Noted last: what could not be done is seen again.
        self._version = seen.version
        if self._count_again and time.monotonic() - self._counted_at >= USAGE_SECONDS:
            self._count_again, self._counted_at = False, time.monotonic()
            self._limits.load(await asyncio.wrap_future(store.usage()))

    async def _follow(self, store: TaskStore, runner: Runner, seen: Glance) -> None:
        for order in seen.orders:
            job = runner.jobs.get(order.task_id)
            if job is None:
                continue
            status = await asyncio.wrap_future(store.status(order.task_id))
            if status is None or status.state.final:
                runner.let_go(job, status)
            else:
                grace = self._settings.cancel_grace if order.grace is None else order.grace
                await runner.cancel(job, grace)
        await asyncio.wrap_future(store.orders_done(seen.orders))
