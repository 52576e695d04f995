# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Long jobs in the console: what the page shows of them, and which requests are about them."""

from __future__ import annotations

import time
from typing import Any

from ..errors import ExecutorError
from ..tasks.http.routes import TaskSection
from ..tasks.service import LongTasks
from ..tasks.status import TaskState, TaskStatus

__all__ = ["JOB_CHANGES", "JobSection", "is_about_jobs", "shown_jobs"]

SHOWN = 20
"""How many running jobs are shown at most, and how many of the newest jobs in addition."""

_ASKED = ("status", "result", "events")

JOB_CHANGES = ("cancel", "retry", "forget")
"""Requests that change a job. They have to be a POST from the console's own site."""


class JobSection(TaskSection):
    """The routes of long jobs in the console, whose front guards all of its requests."""

    guarded = True


def is_about_jobs(steps: list[str]) -> bool:
    """Return whether a path of these segments is one of the section ``tasks``."""
    first, *more = steps
    if first != "tasks":
        return False
    return not more or (len(more) == 2 and more[0] in (*_ASKED, *JOB_CHANGES))


async def shown_jobs(long_tasks: LongTasks) -> dict[str, Any] | None:
    """Return the number of jobs in each state, the running jobs and the newest ones.

    It is ``None`` for a server that has never had a job. It says nothing of what a job was given
    or has returned. When the store cannot be read, ``trouble`` says why and there are no jobs, so
    that the pools can be shown all the same.
    """
    if not long_tasks.in_use:
        return None
    try:
        counts = await long_tasks.counts()
        running = await long_tasks.list(TaskState.RUNNING, limit=SHOWN)
        newest = await long_tasks.list(limit=SHOWN)
    except ExecutorError as error:
        return {"counts": {}, "latest": [], "trouble": str(error)}
    together = {status.task_id: status for status in (*running, *newest)}
    now = time.time()
    return {
        "counts": counts,
        "latest": [_shown(status, now) for status in together.values()],
        "trouble": None,
    }


def _shown(status: TaskStatus, now: float) -> dict[str, Any]:
    begun = status.started_at
    if status.state is TaskState.QUEUED:
        since, lasted = status.submitted_at, now - status.submitted_at
    elif status.state is TaskState.RUNNING:
        since = begun if begun is not None else status.submitted_at
        lasted = now - since
    else:
        since = status.ended_at if status.ended_at is not None else status.submitted_at
        lasted = since - begun if begun is not None else 0.0
    progress = status.progress
    return {
        "id": status.task_id,
        "what": status.title,
        "pool": status.pool,
        "state": status.state.value,
        "cancel_requested": status.cancel_requested,
        "fraction": progress.fraction if progress is not None else None,
        "message": progress.message if progress is not None else "",
        "since": round(since, 3),
        "seconds": round(max(lasted, 0.0), 3),
        "attempts": status.attempts,
    }
