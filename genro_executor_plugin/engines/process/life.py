# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A worker process as what it is: how it starts, whether it can be used, and how it ends.

What it sends and is sent is in ``worker``. Signals go through the template, its parent, by a key
that never names another process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import perf_counter

from .calls import WorkerCalls
from .exit_report import ExitReport, starts_too_long
from .handover import Handover
from .job import Job
from .launcher import Launcher
from .link import Link
from .marks import Marks
from .oom import oom_kills
from .wire import STOP, frame

__all__ = ["WorkerLife"]


class WorkerLife(WorkerCalls):
    """A process and its calls. How it ends decides what becomes of them.

    Attributes:
        index: its number among the living workers of its pool, from 0 on.
        pid: its process id, ``None`` until it is up.
        ready: whether it has come up.
        leaving: whether it is sent nothing more.
        killed: whether it was killed: nothing that it still sends is read.
        taken_back: the number of the last call that was taken back from it and that it has not
            refused yet, 0 for none.
        to_be_replaced: whether it leaves as soon as another worker is up.
        memory: its resident memory in bytes when it was last read, ``None`` before.
        fault: what its faulthandler wrote when it died, empty for nothing.
        marks: what it had begun when it died, ``None`` where that is not known.
        nonsense: what is wrong with what it has sent, empty for nothing; it is killed for that.
        stacks: where its calls were when it was about to be killed.
    """

    __slots__ = (
        "_alarm",
        "_cut_off",
        "_key",
        "_launcher",
        "_link",
        "_oom_kills",
        "boot_error",
        "born_at",
        "fault",
        "idle_since",
        "index",
        "killed",
        "leaving",
        "marks",
        "memory",
        "nonsense",
        "pid",
        "ready",
        "stacks",
        "taken_back",
        "to_be_replaced",
    )

    def __init__(
        self,
        launcher: Launcher,
        index: int,
        run_begins: Callable[[Job], None],
        exited: Callable[[ExitReport], None],
    ) -> None:
        """Start the process.

        Args:
            launcher: what starts and kills it.
            index: its number among the living workers of its pool.
            run_begins: told of a call that was sent ahead and is taken to run now.
            exited: told how it has ended.
        """
        super().__init__(run_begins)
        self._launcher = launcher
        self.index: int = index
        self._key = 0
        self._alarm: asyncio.TimerHandle | None = None
        self.pid: int | None = None
        self.boot_error: BaseException | None = None
        self.born_at: float = perf_counter()
        self.idle_since: float = self.born_at
        self.ready: bool = False
        self.leaving: bool = False
        self.killed: bool = False
        self.taken_back: int = 0
        self.to_be_replaced: bool = False
        self._cut_off = False
        self.memory: int | None = None
        self.fault: str = ""
        self.nonsense: str = ""
        self.marks: Marks | None = None
        self.stacks: Mapping[Job, str] = {}
        self._oom_kills = oom_kills()

        def launch(descriptors: list[int]) -> None:
            self._key = launcher.start_worker(descriptors, exited)

        self._link = Link(launch)

    @property
    def usable(self) -> bool:
        """Whether it may be sent a call."""
        return self.ready and not self.leaving and self._link.open

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

    def take_back(self) -> Job | None:
        """Take the oldest call that has not started back from it; ``None`` if there is none."""
        number = self._link.claims.take_back() if self._link.open else None
        if number is None:
            return None
        self.taken_back = number
        return self._not_started(number)

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

    def _talks_nonsense(self, what: str) -> None:
        """Kill it for ``what`` it has sent: nothing behind that can be told apart."""
        self.nonsense = what
        self._hang_up()
        self._launcher.forget(self._key)

    def _hang_up(self) -> None:
        if self._link.open:
            while (job := self.take_back()) is not None:
                self.not_started.append(job)
            if not self.killed:
                self.fault, self.marks = self._link.handover.last_words()
            self._launcher.kill(self._key)  # first: it may have to look at what is below it
            self._link.close()
