# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Who may begin a call on an agent: so many at a time, and servers that wait get turns.

A server that finds no free place says that it wants one. When a place becomes free, it is kept for
the server that has waited longest, which is told so. Each server waits once, whatever it has to
do: servers share an agent by turns, and none takes all.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

__all__ = ["Places"]

KEPT_SECONDS = 1.0
"""How long a place is kept for a server that was granted it."""


class Places:
    """The places of one agent.

    Attributes:
        count: how many there are.
        running: how many are taken by calls that run.
    """

    def __init__(
        self,
        count: int,
        grant: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Have ``count`` places.

        Args:
            count: how many calls may run at a time.
            grant: called with the name of a server for which a place is kept now.
            clock: the time in seconds.
        """
        self.count = count
        self.running: int = 0
        self._grant = grant
        self._clock = clock
        self._waiting: deque[str] = deque()
        self._kept: dict[str, deque[float]] = {}

    @property
    def kept(self) -> int:
        """How many places are kept for servers."""
        return sum(map(len, self._kept.values()))

    @property
    def free(self) -> int:
        """How many calls could begin now, of whatever server."""
        return max(0, self.count - self.running - self.kept)

    def take(self, server: str) -> bool:
        """Take a place for a call of ``server``: one that is kept for it, or a free one."""
        if server in self._kept:
            self._drop(server)
        elif not self.free:
            return False
        self.running += 1
        return True

    def leave(self) -> None:
        """Give back a place that was taken."""
        self.running -= 1
        self._give()

    def want(self, server: str) -> None:
        """Keep the next free place for ``server``, behind those that wait already."""
        if server not in self._waiting:
            self._waiting.append(server)
        self._give()

    def give_back(self, server: str) -> None:
        """Keep nothing for ``server``, which needs no place any more."""
        while server in self._kept:
            self._drop(server)
        if server in self._waiting:
            self._waiting.remove(server)
        self._give()

    def look(self) -> None:
        """Keep no place for longer than it may be; to be called now and then."""
        now = self._clock()
        for server, until in list(self._kept.items()):
            while until and until[0] < now:
                until.popleft()
            if not until:
                del self._kept[server]
        self._give()

    def _drop(self, server: str) -> None:
        kept = self._kept[server]
        kept.popleft()
        if not kept:
            del self._kept[server]

    def _give(self) -> None:
        while self._waiting and self.free:
            server = self._waiting.popleft()
            self._kept.setdefault(server, deque()).append(self._clock() + KEPT_SECONDS)
            self._grant(server)
