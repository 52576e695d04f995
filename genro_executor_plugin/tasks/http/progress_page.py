# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A page that shows a job to its submitter, for an application to link to or to frame.

It has no script: the browser asks again by itself until the job has ended, and then no more.
Everything that the job says is shown as text.
"""

from __future__ import annotations

import base64
import hashlib
import math
import time
from functools import cache
from html import escape
from importlib.resources import files
from string import Template

from ..status import TaskState, TaskStatus

__all__ = ["policy", "progress_page"]

_FASTEST_SECONDS, _SLOWEST_SECONDS = 2, 30
"""How often the page is asked for: less often, the longer the job has lasted."""

_WORDS = {
    TaskState.QUEUED: "Waiting to begin",
    TaskState.RUNNING: "Running",
    TaskState.SUCCEEDED: "Done",
    TaskState.FAILED: "It has failed",
    TaskState.CANCELLED: "Cancelled",
    TaskState.LOST: "It was interrupted, and does not go on",
}


@cache
def _resource(name: str) -> str:
    return files(__package__).joinpath("resources", name).read_text(encoding="utf-8")


@cache
def policy() -> str:
    """The content security policy of the page: its own style, and frames of this site only."""
    digest = base64.b64encode(hashlib.sha256(_resource("progress.css").encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; "
        "frame-ancestors 'self'; base-uri 'none'; form-action 'none'"
    )


def progress_page(status: TaskStatus, failure: str) -> str:
    """The page of a job; its links are relative to where the routes of jobs are.

    Args:
        status: what is known of it.
        failure: what its reader may know of why it has failed.
    """
    state, progress, now = status.state, status.progress, time.time()
    words = _WORDS[state]
    if status.cancel_requested and not state.final:
        words = "It was asked to end"
    fraction = progress.fraction if progress is not None else None
    percent = None
    if isinstance(fraction, float | int) and math.isfinite(fraction):
        percent = round(100 * min(max(fraction, 0.0), 1.0))
    bar = ""
    if state is TaskState.RUNNING or (percent is not None and not state.final):
        known = "" if percent is None else f' value="{percent}"'
        told = "" if percent is None else f"{percent} %"
        bar = f'<progress max="100"{known} aria-label="Progress">{told}</progress>\n'
    message = failure if state in (TaskState.FAILED, TaskState.LOST) else ""
    if not state.final and progress is not None:
        known = "" if percent is None else f"{percent} %"
        message = " · ".join(filter(None, (known, progress.message)))
    asked_again = ""
    if not state.final:
        lasted = max(0.0, now - status.submitted_at)
        every = min(max(round(lasted / 60), _FASTEST_SECONDS), _SLOWEST_SECONDS)
        asked_again = f'<meta http-equiv="refresh" content="{every}">\n'
    result = ""
    if state is TaskState.SUCCEEDED:
        link = f"../result/{escape(status.task_id)}"
        result = f'<p><a href="{link}" target="_top">Open the result</a></p>\n'
    short = f"{percent} %" if percent is not None and not state.final else words
    return Template(_resource("progress.html")).substitute(
        refresh=asked_again,
        head=escape(f"{short} - {status.title}"),
        style=_resource("progress.css"),
        state=state.value,
        title=escape(status.title),
        words=escape(words),
        bar=bar,
        message=escape(message),
        result=result,
        times=escape(_times(status, now)),
    )


def _times(status: TaskStatus, now: float) -> str:
    """How long it has waited or lasted. A moment of the day would be that of the server."""
    if status.started_at is None:
        return f"for {_lasting(now - status.submitted_at)}" if status.ended_at is None else ""
    until = status.ended_at if status.ended_at is not None else now
    return f"{'took' if status.ended_at else 'for'} {_lasting(until - status.started_at)}"


def _lasting(seconds: float) -> str:
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
