# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A call that somebody made through a route, watched from outside: its progress, its end.

genro-asgi's batch tasks and schedules call handlers and know nothing of pools. Whoever wants to
hear of such a call, or to end it, makes a ``Watch`` the current one around it; the route's
adapter attaches the call to it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any

from ..errors import TaskCancelledError
from ..executors import BaseExecutor, Call, ThreadExecutor
from .progress import CANCEL, PROGRESS
from .status import Progress

__all__ = ["Watch", "watching"]

watching: ContextVar[Watch | None] = ContextVar("genro_executor_watching", default=None)
"""Who watches the calls that routes make here."""


class Watch:
    """Watches one run of ``title``; ``on_progress`` hears what it says."""

    def __init__(self, title: str, on_progress: Callable[[Progress], None]) -> None:
        self._title = title
        self._on_progress = on_progress
        self._calls: list[tuple[BaseExecutor, Call]] = []
        self._asked = False
        self._running: asyncio.Task[Any] | None = None
        self._kill: asyncio.TimerHandle | None = None

    def attach(self, executor: BaseExecutor, call: Call) -> None:
        """``call`` is about to run in ``executor``."""
        call.on_message = self._said
        call.kill_on_cancel = True
        self._calls.append((executor, call))

    def _said(self, channel: str, value: Any) -> None:
        if channel == PROGRESS:
            fraction, message, data, at = value
            self._on_progress(Progress(fraction, message, json.loads(data) if data else {}, at))

    async def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What ``work`` returns.

        Raises:
            TaskCancelledError: it was ended by ``cancel``.
        """
        token = watching.set(self)
        try:
            self._running = asyncio.create_task(work)
        finally:
            watching.reset(token)
        try:
            return await asyncio.shield(self._running)
        except asyncio.CancelledError:
            if self._asked and self._running.cancelled():
                raise TaskCancelledError(f"{self._title} was cancelled") from None
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)
            raise
        finally:
            if self._kill is not None:
                self._kill.cancel()

    def cancel(self, grace: float) -> bool:
        """Ask the run to end, and kill it after ``grace`` seconds.

        ``False`` when nothing of it is in a pool: it runs in the server and cannot be ended.
        """
        if not self._calls or self._running is None:
            return False
        self._asked = True
        told = [executor.tell(call, CANCEL, True) for executor, call in self._calls]
        if not any(told):
            self._running.cancel()
        elif self._kill is None and not self._in_threads:
            self._kill = asyncio.get_running_loop().call_later(grace, self._running.cancel)
        return True

    @property
    def _in_threads(self) -> bool:
        return any(isinstance(executor, ThreadExecutor) for executor, _ in self._calls)
