# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Watches an event loop, and tells where this package has held it up.

A thread asks the loop for a sign of life again and again. When none comes, it looks where the
loop's thread is, and what the kernel says of it (``schedstat``): a busy machine takes the processor
away from a thread, and that is not counted. What counts is the time that the thread has computed,
and a much longer one in which it has waited for something else. What a test itself does on the loop
is not counted either, nor is garbage collection, which looks through all that the tests have made.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, thread_time
from types import FrameType

import genro_executor_plugin

__all__ = ["MOST_SECONDS", "MOST_WAITED_SECONDS", "LoopWatch", "programs_per_processor"]

MOST_SECONDS = 0.1
"""How long, at most, a turn of the event loop may take because of this package."""

MOST_WAITED_SECONDS = 0.5
"""How long, at most, this package may wait for something on the event loop's thread.

It is longer, because waiting for the interpreter looks the same, and a busy machine takes the
processor from whichever thread has it.
"""

_ASK_EVERY_SECONDS = 0.02
_PACKAGE = str(Path(genro_executor_plugin.__file__).parent)
_STARTUPS = {
    (str(Path(_PACKAGE) / "serving" / "lifecycle.py"), "start"),
    (str(Path(_PACKAGE) / "serving" / "server.py"), "__init__"),
    (str(Path(_PACKAGE) / "hosts" / "stock.py"), "looking_startup"),
}
_TESTS = str(Path(__file__).parent)


def programs_per_processor() -> float:
    """How many threads of all programs have to share a processor just now, at least 1."""
    try:
        running = int(Path("/proc/loadavg").read_text().split()[3].partition("/")[0])
    except (OSError, ValueError):
        running = 1
    return max(1.0, max(running, os.getloadavg()[0]) / (os.cpu_count() or 1))


class LoopWatch:
    """Watches the running event loop between ``start`` and ``stop``; ``found`` has what it saw."""

    def __init__(self, slower: Callable[[], float] = lambda: 1.0) -> None:
        """Watch the running event loop.

        Args:
            slower: tells how many times as long all may take. What shares a processor with others
                computes more slowly, because they take its caches, too.
        """
        self._slower = slower
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._schedstat = Path(f"/proc/self/task/{threading.get_native_id()}/schedstat")
        self._stopped = threading.Event()
        self._watching = threading.Thread(target=self._watch, name="loop-watch", daemon=True)
        self._collecting = self._collected = 0.0
        self.found: list[str] = []

    def start(self) -> None:
        gc.callbacks.append(self._collects)
        self._watching.start()

    def stop(self) -> None:
        gc.callbacks.remove(self._collects)
        self._stopped.set()
        self._watching.join()

    def _collects(self, phase: str, info: dict[str, int]) -> None:
        if threading.get_ident() != self._thread:
            return
        if phase == "start":
            self._collecting = thread_time()
        else:
            self._collected += thread_time() - self._collecting

    def _watch(self) -> None:
        while not self._stopped.wait(_ASK_EVERY_SECONDS):
            self._ask()

    def _ask(self) -> None:
        answered = threading.Event()
        answered_at = began = perf_counter()
        before, collected = self._computed_and_queued(), self._collected
        samples: list[FrameType | None] = []

        def answer() -> None:
            nonlocal answered_at
            answered_at = perf_counter()
            answered.set()

        try:
            self._loop.call_soon_threadsafe(answer)
        except RuntimeError:
            return  # the loop is closed
        while not answered.wait(MOST_SECONDS / 4):
            if self._stopped.is_set():
                return
            samples.append(_culprit(sys._current_frames().get(self._thread)))
        ours = [frame for frame in samples if frame is not None]
        # One callback, and not the sum of many that were ready in the same turn.
        if 2 * len(ours) <= len(samples) or len({id(_callback(frame)) for frame in ours}) > 1:
            return
        after = self._computed_and_queued()
        if before is None or after is None:
            return
        computed, queued = (late - early for late, early in zip(after, before, strict=True))
        waited = answered_at - began - computed - queued
        computed -= self._collected - collected
        slower = self._slower()
        if computed > slower * MOST_SECONDS or waited > slower * MOST_WAITED_SECONDS:
            stack = "".join(traceback.format_stack(ours[0]))
            self.found.append(
                f"the event loop was held up: {computed:.2f} s computed, {waited:.2f} s waited:\n"
                f"{stack}"
            )

    def _computed_and_queued(self) -> tuple[float, float] | None:
        """How long the loop's thread has computed, and has waited for a processor, in seconds."""
        try:
            computed, queued = map(int, self._schedstat.read_text().split()[:2])
        except (OSError, ValueError):
            return None  # not Linux: a busy machine would look like a loop that is held up
        return computed / 1e9, queued / 1e9


def _culprit(frame: FrameType | None) -> FrameType | None:
    """``frame`` if the innermost code of ours or of the tests in its stack is ours.

    A server that starts may take its time: nobody is served yet.
    """
    link = frame
    found: FrameType | None = None
    while link is not None:
        name = link.f_code.co_filename
        if found is None and name.startswith(_TESTS):
            return None
        if found is None and name.startswith(_PACKAGE):
            found = frame
        if (name, link.f_code.co_name) in _STARTUPS:
            return None
        link = link.f_back
    return found


def _callback(frame: FrameType) -> FrameType:
    """The outermost frame of the callback that the event loop runs."""
    link, outermost = frame, frame
    while link.f_back is not None and link.f_code.co_name not in _LOOPS:
        link, outermost = link.f_back, link
    return outermost


_LOOPS = frozenset({"_run", "_run_once", "run_forever", "run_until_complete"})
