# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls in pools, followed from outside: their progress, and a way to end them.

A long job follows the one call that it makes (``attempt.py``). The host's batch tasks and
schedules call handlers and know nothing of pools (``host_tasks.py``): ``follow`` makes a
``FollowedCall`` the current one, and the route's adapter attaches each call that it makes.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

from ..errors import TaskCancelledError
from ..executors import BaseExecutor, Call
from ..options.capabilities import Capability
from .progress import CANCEL, PROGRESS
from .status import Progress
from .texts import MAX_MESSAGE_CHARS, cut

__all__ = ["FollowedCall", "following"]

following: ContextVar[FollowedCall | None] = ContextVar("genro_executor_following", default=None)
"""What follows the calls that routes make in this context."""


class FollowedCall:
    """Work that makes one or more calls in pools.

    Attributes:
        asked: whether ``cancel`` has asked it to end.
    """

    def __init__(self, on_progress: Callable[[Progress], None]) -> None:
        self.asked: bool = False
        self._on_progress = on_progress
        self._calls: list[tuple[BaseExecutor, Call]] = []
        self._running: asyncio.Task[Any] | None = None
        self._kill: asyncio.TimerHandle | None = None
        self._over = False

    def attach(self, executor: BaseExecutor, call: Call) -> None:
        """Follow ``call``, which is about to run in ``executor``."""
        call.on_message = self._received
        call.kill_on_cancel = True
        self._calls.append((executor, call))

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run ``work``, which makes the calls, as a task that ``cancel`` and ``end`` can end."""
        self._running = asyncio.create_task(work)
        self._running.add_done_callback(self._stop_timer)
        return self._running

    async def follow(self, work: Coroutine[Any, Any, Any], title: str) -> Any:
        """Run ``work``, follow every call that routes make in it, and return what it returns.

        Raises:
            TaskCancelledError: ``cancel`` has ended it.
        """
        token = following.set(self)
        try:
            running = self.start(work)
        finally:
            following.reset(token)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            if self.asked and running.cancelled():
                raise TaskCancelledError(f"{title} was cancelled") from None
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            raise
        finally:
            self.close()

    def cancel(self, grace: float) -> bool:
        """Ask the calls to end, and kill after ``grace`` seconds what can be killed.

        A call that waits for a worker never begins. ``False`` when there is no call in a pool:
        the work runs in the server and cannot be ended.
        """
        if not self._calls or self._running is None:
            return False
        self.asked = True
        told = [executor.tell(call, CANCEL, True) for executor, call in self._calls]
        if not any(told):
            self.end()
        elif self._kill is None and self.can_be_killed and not self._running.done():
            self._kill = asyncio.get_running_loop().call_later(grace, self.end)
        return True

    def end(self) -> None:
        """End the work now, as far as its pools can."""
        if self._running is not None:
            self._running.cancel()

    def close(self) -> None:
        """Pass on no more progress: a call that was given up may go on in a thread, and report."""
        self._over = True

    @property
    def can_be_killed(self) -> bool:
        """Whether every call that it has made can be ended while it runs."""
        return all(Capability.KILLS in executor.capabilities for executor, _ in self._calls)

    def _received(self, channel: str, value: Any) -> None:
        if channel == PROGRESS and not self._over:
            fraction, message, data, at = value
            shown = json.loads(data) if data else {}
            self._on_progress(Progress(fraction, cut(message, MAX_MESSAGE_CHARS), shown, at))

    def _stop_timer(self, _: asyncio.Task[Any]) -> None:
        if self._kill is not None:
            self._kill.cancel()
