# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The process of one worker, as the server handles it: its time to start, its stop, its signals.

What it sends and is sent is in ``worker``. Signals go through the template, its parent, by a key
that never names another process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from .calls import WorkerCalls
from .exit_report import starts_too_long
from .handover import Handover
from .job import Job
from .launcher import Launcher
from .link import Link
from .wire import STOP, frame

__all__ = ["WorkerLife"]


class WorkerLife(WorkerCalls):
    """The life of one worker process.

    Attributes:
        pid: its process id, ``None`` before it is up.
        ready: whether it is up.
        leaving: whether it takes no calls any more.
        killed: whether it was killed here; what it has sent since is not read.
        boot_error: why it could not start, as far as it could tell.
        stacks: where its calls were when it was about to be killed.
    """

    _launcher: Launcher
    _link: Link
    _key: int = 0
    _alarm: asyncio.TimerHandle | None = None
    pid: int | None
    ready: bool
    leaving: bool
    killed: bool
    boot_error: BaseException | None
    stacks: Mapping[Job, str] = {}

    def _hang_up(self) -> None:
        raise NotImplementedError

    @property
    def words(self) -> Handover:
        """What leads to the file in which it tells of itself."""
        return self._link.handover

    @property
    def is_there(self) -> bool:
        """Whether it can be asked something, as far as the server knows."""
        return self.ready and not self.killed and self._link.open

    def signal(self, number: int) -> bool:
        """Send it a signal; ``False`` if there is no template that could."""
        return self._launcher.signal(self._key, number)

    def stop(self, grace_seconds: float) -> None:
        """Have it end by itself; it is killed if it has not ended after ``grace_seconds``."""
        if not self.ready:
            self.kill()
            return
        self.leaving = True
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(grace_seconds, self.kill)
            self._link.write(frame(STOP))

    def must_start_within(self, seconds: float) -> None:
        """Kill it if it is not ready after ``seconds``."""
        self._alarm = asyncio.get_running_loop().call_later(seconds, self._starts_too_long, seconds)

    def _starts_too_long(self, seconds: float) -> None:
        self.boot_error = starts_too_long(seconds)
        self._launcher.give_up(self._key)

    def kill(self) -> None:
        """Kill it now. Nothing that it still sends is read."""
        self.leaving = self.killed = True
        self._hang_up()
        self._launcher.forget(self._key)

    def abandon(self) -> None:
        """Close its descriptors without the event loop, which is closed already; so it ends."""
        self._link.abandon()
