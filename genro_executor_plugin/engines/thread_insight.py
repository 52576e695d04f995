# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where the calls are that run on threads of this process: at one moment, or in many samples."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from time import perf_counter
from types import FrameType

from ..metrics.profiles import ProfileTarget, WorkerProfile
from ..metrics.worker_state import RunningStack
from ..worker.forks import CALLED, is_frame_of
from ..worker.sampled_tasks import points_of_task
from ..worker.sampling import MOST_CALLS, Point, Sampler, Seen, points_of
from .insight import Insight
from .stacks import stacks_of_runs
from .thread_run import ThreadRun

__all__ = ["ThreadInsight"]


_DOORS = frozenset({id(CALLED)})


class ThreadInsight(Insight):
    """The look into an engine's own threads."""

    _begun: set[ThreadRun]

    async def stacks(self, pid: int | None = None) -> list[RunningStack]:
        return stacks_of_runs(self._begun, pid)

    async def profile(
        self, target: ProfileTarget, seconds: float, rate: int
    ) -> list[WorkerProfile]:
        profile = WorkerProfile(os.getpid(), rate)
        loop, done = asyncio.get_running_loop(), asyncio.Event()
        wanted = threading.Event()
        wanted.set()
        begin = perf_counter()
        sampler = Sampler(
            rate, begin, begin + seconds, lambda: self._seen(target.path), wanted.is_set
        )

        def work() -> None:
            try:
                for _ in sampler.run():
                    pass
            finally:
                if wanted.is_set():
                    loop.call_soon_threadsafe(done.set)

        thread = threading.Thread(target=work, name="genro-executor-samples", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:
            profile.why_not = f"the system has no thread for it: {error}"
            return [profile]
        try:
            await done.wait()
        finally:
            wanted.clear()
        profile.add(sampler.told())
        return [profile]

    def _seen(self, path: str) -> Iterator[Seen]:
        """Where each call of the route at ``path`` is just now."""
        runs = [run for run in list(self._begun) if run.call.options.path == path and run.thread]
        if not runs:
            return
        frames = sys._current_frames()
        try:
            for run in runs[:MOST_CALLS]:
                points = _points_of_run(run, frames.get(run.thread))
                yield Seen(id(run), points, run.started_at)
        finally:
            frames.clear()  # this very frame is among them, and would hold itself


def _points_of_run(run: ThreadRun, frame: FrameType | None) -> list[Point]:
    """Where ``run`` is, on a thread whose most recent frame is ``frame``; empty for nowhere."""
    if run.task is None:
        points, door = points_of(frame, _DOORS)
        # It may have returned, and its thread run another one already.
        return points if door is not None and is_frame_of(run.body, door) else []
    coroutine = run.task.get_coro()
    return points_of_task(run.task, coroutine, frame, lambda call: call is run.running)
