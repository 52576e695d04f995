# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Writes down what the pools do, minute by minute, and what happens to the server.

The counters are read on the event loop, twice a minute; everything else is done on a thread. What
could not be written is kept and written later, for an hour.
"""

from __future__ import annotations

import asyncio
import logging
import os
import platform
import socket
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

from ...executors import BaseExecutor
from ...executors.registry import ExecutorRegistry
from ...metrics.counters import OUTCOMES
from ...tasks.texts import cut
from ..history import History
from .figures import Counted, Entry, Figures, Marker, rise
from .file import HistoryFile, HistoryFileError
from .tables import ALL_POOLS

__all__ = ["Recorder"]

WRITE_SECONDS = 30.0
"""How often it is written: what a killed server loses at most is what it did since."""

END_SECONDS = 5.0
"""How long the end of the server waits for the last writing."""

MOST_ROUTES = 200
"""Of how many routes there are figures of their own in each writing: of those with most calls."""

MOST_WAITING = 3600.0
"""How long what could not be written is kept, in seconds."""

_MOST_ENTRIES_WAITING = 20_000
_MOST_MARKERS_WAITING = 1000
_MOST_CRASHES = 20
_WHAT_CHARS, _WHO_CHARS, _NAME_CHARS = 500, 200, 300

_logger = logging.getLogger("genro_executor_plugin")


class _Reading(NamedTuple):
    """The counters of one pool at one moment; of its routes, those that were called since."""

    pool: str
    routes: dict[str, Counted]
    wait: tuple[int, ...]
    busy: float
    queued: float
    queued_most: int


class Recorder:
    """Writes the history of the pools of ``registry`` into ``file`` while the server runs.

    Attributes:
        file: where it is written.
        trouble: why it was not written the last time, empty if it was.
    """

    def __init__(self, registry: ExecutorRegistry, history: History, file: HistoryFile) -> None:
        self._registry = registry
        self._history = history
        self.file = file
        self.trouble: str = ""
        self._running: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._at = time.monotonic()
        self._calls: dict[tuple[str, str], tuple[int, ...]] = {}
        self._crashes: dict[tuple[Any, ...], int] = {}
        self._died: dict[str, int] = {}
        self._markers: deque[Marker] = deque(maxlen=_MOST_MARKERS_WAITING)
        # From here on only the thread looks at these, of which there is one at a time.
        self._before: dict[tuple[str, str, str], Sequence[int]] = {}
        self._entries: deque[Entry] = deque(maxlen=_MOST_ENTRIES_WAITING)

    def note(self, kind: str, what: str, who: str = "") -> None:
        """Remember that something happened now; it is written with the figures."""
        now = round(time.time(), 3)
        self._markers.append(Marker(now, kind, cut(what, _WHAT_CHARS), cut(who, _WHO_CHARS)))

    def start(self, version: str) -> None:
        """Begin to write, with a marker for the start of this process."""
        self.note("start", f"server started: {_this_process()}, version {version}")
        self._go_on()

    async def stop(self) -> None:
        """Write what there is, with a marker for the end of this process, and stop."""
        running, self._running = self._running, None
        if self._timer is not None:
            self._timer.cancel()
        if running is not None:
            self.note("end", f"server ended: {_this_process()}")
            last = asyncio.create_task(self._last(running))
            await asyncio.wait([last], timeout=END_SECONDS)
            # What a thread still does goes on, and nobody waits for it here.
            last.cancel()
            running.cancel()
            await asyncio.gather(last, running, return_exceptions=True)

    async def _last(self, running: asyncio.Task[None]) -> None:
        await asyncio.wait([running])
        await self._write()

    def _go_on(self) -> None:
        self._running = asyncio.create_task(self._once())

    async def _once(self) -> None:
        await self._write()
        if self._running is None:
            return  # it is being stopped
        # A timer, and no task that waits: after a start that fails nobody stops this.
        loop = asyncio.get_running_loop()
        wait = WRITE_SECONDS - time.time() % WRITE_SECONDS
        self._timer = loop.call_later(wait, self._go_on)

    async def _write(self) -> None:
        began, self._at = self._at, time.monotonic()
        seconds, now = self._at - began, time.time()
        readings = []
        for executor in list(self._registry.used.values()):
            readings.append(self._read(executor))
            await asyncio.sleep(0)  # with many routes, all of them together would take a while
        self._note_crashes()
        markers = list(self._markers)
        try:
            await asyncio.to_thread(self._on_thread, readings, markers, seconds, now)
        except HistoryFileError as error:
            self._tell(str(error))
        except Exception as error:
            # The console goes on without its history, whatever that is.
            self._tell(f"the history in {self.file.path} is not written: {error!r}", error)
        else:
            for _ in markers:
                self._markers.popleft()
            if self.trouble:
                _logger.info("the history in %s is written again", self.file.path)
            self.trouble = ""

    def _tell(self, trouble: str, error: Exception | None = None) -> None:
        if trouble != self.trouble:
            self.trouble = trouble
            _logger.warning("console: %s", trouble, exc_info=error)

    # -- on the event loop --------------------------------------------------------------------

    def _read(self, executor: BaseExecutor) -> _Reading:
        name, counters = executor.name, executor.counters
        called = {}
        for path, route in counters.routes.items():
            outcomes = tuple(getattr(route, outcome) for outcome in OUTCOMES)
            if self._calls.get((name, path)) != outcomes:
                self._calls[name, path] = outcomes
                called[path] = Counted(outcomes, tuple(route.run.counts))
        busy, queued, most = self._history.take_load(executor)
        return _Reading(name, called, tuple(counters.wait.counts), busy, queued, most)

    def _note_crashes(self) -> None:
        """Make markers of the calls whose worker has died since the last time, and of workers."""
        crashes, news = {}, []
        for pool, executor in self._registry.used.items():
            died = executor.restarts.get("crash", 0)
            without_a_call = died - self._died.get(pool, 0)
            self._died[pool] = died
            for one in executor.counters.incidents.latest_first:
                if one.outcome == "crashed":
                    key = (pool, one.route, one.function, one.type_name, one.first_at)
                    crashes[key] = one.count
                    if more := one.count - self._crashes.get(key, 0):
                        news.append((one, pool, more))
                        without_a_call -= more
            if without_a_call > 0:  # it ran none, or its call was repeated
                workers = "a worker" if without_a_call == 1 else f"{without_a_call} workers"
                self.note("crash", f"{workers} of pool {pool} died, and no call failed for that")
        self._crashes = crashes
        for one, pool, more in sorted(news, key=lambda new: new[0].last_at)[-_MOST_CRASHES:]:
            calls = "a call" if more == 1 else f"{more} calls"
            said = one.message.strip().partition("\n")[0]
            what = f"{calls} of {one.route or one.function} in pool {pool} crashed: {said}"
            self._markers.append(Marker(round(one.last_at, 3), "crash", cut(what, _WHAT_CHARS)))

    # -- on the thread ------------------------------------------------------------------------

    def _on_thread(
        self, readings: list[_Reading], markers: list[Marker], seconds: float, now: float
    ) -> None:
        middle = now - min(seconds, WRITE_SECONDS) / 2
        routes: list[Entry] = []
        together = Figures(seconds)
        for reading in readings:
            entry = self._entry_of(reading, seconds, middle, routes)
            together.add(entry.figures, seconds)
            self._entries.append(entry)
        self._entries.append(Entry(middle, ALL_POOLS, "", together))
        routes.sort(key=lambda entry: sum(entry.figures.outcomes))
        self._entries.extend(routes[-MOST_ROUTES:])
        while self._entries and not now - MOST_WAITING <= self._entries[0].at <= now:
            self._entries.popleft()
        self.file.write(self._entries, markers, now)
        self._entries.clear()

    def _entry_of(self, reading: _Reading, seconds: float, at: float, routes: list[Entry]) -> Entry:
        """What a pool has done; what its routes have done is appended to ``routes``."""
        pool = cut(reading.pool, _NAME_CHARS)
        together = Figures(
            seconds, busy=reading.busy * seconds, queued=reading.queued * seconds,
            queued_most=reading.queued_most, wait=self._rise((pool, "wait", ""), reading.wait),
        )  # fmt: skip
        for path, counted in reading.routes.items():
            rose = self._rise((pool, "outcomes", path), counted.outcomes)
            outcomes = tuple(rose.get(number, 0) for number in range(len(OUTCOMES)))
            figures = Figures(0.0, outcomes, run=self._rise((pool, "run", path), counted.run))
            together.add(figures, seconds)
            figures.seconds = seconds
            if path:
                routes.append(Entry(at, pool, cut(path, _NAME_CHARS), figures))
        return Entry(at, pool, "", together)

    def _rise(self, key: tuple[str, str, str], now: Sequence[int]) -> dict[int, int]:
        before, self._before[key] = self._before.get(key), now
        return rise(before, now)


def _this_process() -> str:
    return f"process {os.getpid()} on {socket.gethostname()}, Python {platform.python_version()}"
