# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Server-Sent Events of jobs for many listeners: each event is encoded once for all of them.

What a listener is sent is a state of the job, and each replaces the one before. Few listeners get
every event. Many get the latest one, in slices between which the event loop does other work, and
the more there are, the less often.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import aclosing
from typing import Any

from .status import TaskStatus

__all__ = ["END", "Listeners"]

END = "end"
"""The id of a job's last event. A browser sends it when it comes back, and is told to stay away."""

FEW = 16
"""Up to so many listeners get every event; it is also how many are woken in one go."""

SECONDS_PER_LISTENER = 0.001
"""How long the next round waits for each listener that there is."""

KEEPALIVE_SECONDS = 15.0

_Follow = Callable[[str], AsyncIterator[tuple[str, TaskStatus]]]


class Listeners:
    """All that listen to jobs, by the caller that each belongs to."""

    def __init__(self, follow: _Follow) -> None:
        self._follow = follow
        self._feeds: dict[Hashable, _Feed] = {}
        self._of_caller: dict[Hashable, int] = {}

    def count(self, caller: Hashable) -> int:
        """How many listeners ``caller`` has."""
        return self._of_caller.get(caller, 0)

    def add(self, caller: Hashable) -> Callable[[], None]:
        """Count one more listener of ``caller``; return what stops counting it."""
        self._of_caller[caller] = self.count(caller) + 1

        def release() -> None:
            left = self.count(caller) - 1
            if left:
                self._of_caller[caller] = left
            else:
                del self._of_caller[caller]

        return release

    async def listen(
        self, task_id: str, view: str, shown: Callable[[TaskStatus], dict[str, Any]]
    ) -> AsyncIterator[bytes]:
        """Yield the events of a job as they are sent, from its state now to its end.

        Args:
            task_id: the job.
            view: which of several views of the job the listener gets.
            shown: what this view shows of a status.
        """
        key = task_id, view
        feed = self._feeds.get(key)
        if feed is None:
            feed = self._feeds[key] = _Feed(self._follow(task_id), shown)
        mine = feed.join()
        try:
            async for frame in mine:
                yield frame
        finally:
            feed.leave(mine)
            if not feed.listeners:
                if self._feeds.get(key) is feed:
                    del self._feeds[key]
                await feed.stop()


class _Listener:
    """One listener: frames that wait for it, and whether more will come."""

    def __init__(self) -> None:
        self._frames: deque[bytes] = deque(maxlen=4 * FEW)
        self._arrived = asyncio.Event()
        self._ended = False

    def give(self, frames: list[bytes], *, latest: bool) -> None:
        if latest:
            self._frames.clear()
        self._frames.extend(frames)
        self._arrived.set()

    def end(self) -> None:
        self._ended = True
        self._arrived.set()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            while self._frames:
                yield self._frames.popleft()
            if self._ended:
                return
            self._arrived.clear()
            try:
                async with asyncio.timeout(KEEPALIVE_SECONDS):
                    await self._arrived.wait()
            except TimeoutError:
                yield b": keepalive\n\n"


class _Feed:
    """The events of one job in one view, read and encoded once."""

    def __init__(
        self,
        events: AsyncIterator[tuple[str, TaskStatus]],
        shown: Callable[[TaskStatus], dict[str, Any]],
    ) -> None:
        self.listeners: dict[_Listener, None] = {}
        self._events = events
        self._shown = shown
        self._now = ""
        self._final = False
        self._fresh: list[bytes] = []
        self._arrived = asyncio.Event()
        self._ended = False
        self._error: BaseException | None = None
        self._reading = asyncio.create_task(self._read())
        self._giving = asyncio.create_task(self._give())

    def join(self) -> _Listener:
        mine = _Listener()
        self.listeners[mine] = None
        if self._now:
            mine.give([self._frame("state", self._now)], latest=False)
        if self._ended:
            mine.end()
        return mine

    def leave(self, mine: _Listener) -> None:
        self.listeners.pop(mine, None)

    async def stop(self) -> None:
        for task in (self._reading, self._giving):
            task.cancel()
        await asyncio.gather(self._reading, self._giving, return_exceptions=True)

    def _frame(self, kind: str, text: str) -> bytes:
        name = f"id: {END}\n" if self._final else ""
        return f"{name}event: {kind}\ndata: {text}\n\n".encode()

    async def _read(self) -> None:
        try:
            async with aclosing(self._events) as events:  # type: ignore[type-var]
                async for kind, status in events:
                    self._final = status.state.final
                    self._now = json.dumps(self._shown(status), default=str)
                    self._fresh.append(self._frame(kind, self._now))
                    self._arrived.set()
        finally:
            self._ended = True
            self._arrived.set()

    async def _give(self) -> None:
        while not self._ended or self._fresh:
            await self._arrived.wait()
            self._arrived.clear()
            few = len(self.listeners) <= FEW
            frames, self._fresh = self._fresh if few else self._fresh[-1:], []
            waiting = list(self.listeners)
            for start in range(0, len(waiting), FEW):
                for listener in waiting[start : start + FEW]:
                    listener.give(frames, latest=not few)
                await asyncio.sleep(0)  # let these be sent before the next ones
            if not few and not self._ended:
                await asyncio.sleep(SECONDS_PER_LISTENER * len(waiting))
        for listener in self.listeners:
            listener.end()
