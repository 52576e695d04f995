# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Jobs that another process runs, and that somebody waits for or listens to in this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from .events import GONE, Events
from .live_job import LiveJob
from .results import not_found
from .status import TaskStatus

__all__ = ["Watched"]


class Watched:
    """The jobs of other processes that are looked at in the store, as long as somebody asks.

    Attributes:
        jobs: what is known of each of them, by id.
    """

    def __init__(self, events: Events, on_first: Callable[[], None]) -> None:
        """Publish what is seen by ``events``; ``on_first`` is called when there is one to see."""
        self.jobs: dict[str, LiveJob] = {}
        self._asked: dict[str, int] = {}
        self._events = events
        self._on_first = on_first

    @contextmanager
    def watch(self, status: TaskStatus) -> Iterator[LiveJob]:
        """The job of ``status``, looked at until the block ends."""
        task_id = status.task_id
        if not self.jobs:
            self._on_first()
        job = self.jobs.setdefault(task_id, LiveJob(status))
        self._asked[task_id] = self._asked.get(task_id, 0) + 1
        try:
            yield job
        finally:
            self._asked[task_id] -= 1
            if not self._asked[task_id]:
                del self._asked[task_id], self.jobs[task_id]

    def saw(self, found: Mapping[str, TaskStatus | None], own: Mapping[str, LiveJob]) -> None:
        """Take notice of what the store has of them now; those that are ``own`` tell themselves."""
        for task_id, status in found.items():
            job = self.jobs.get(task_id)
            if job is None or job.status.state.final:
                continue
            if status is None:
                job.abandon(not_found(task_id))
                self._events.publish(GONE, job.status)
                continue
            was = job.status
            if status != was:
                job.set(status)
                if task_id not in own:
                    state, asked = was.state, was.cancel_requested
                    moved = (status.state, status.cancel_requested) != (state, asked)
                    self._events.publish("state" if moved else "progress", status)

    def abandon(self) -> None:
        """Wake all who wait: the server stops."""
        for job in self.jobs.values():
            job.abandon()
