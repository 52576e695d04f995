# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a long job can be, and what is told of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Progress", "TaskFailure", "TaskState", "TaskStatus"]


class TaskState(StrEnum):
    """The state of a long job. A job reaches exactly one of the final ones."""

    QUEUED = "queued"
    """Accepted, and not begun: it waits for its time, for a retry or for its pool."""
    RUNNING = "running"
    """Handed to its pool."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    """It was running when its server ended, and was not declared repeatable."""

    @property
    def final(self) -> bool:
        """Whether a job stays in this state."""
        return self not in (TaskState.QUEUED, TaskState.RUNNING)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a job says it is.

    Attributes:
        fraction: from 0.0 to 1.0, ``None`` if the job cannot tell.
        message: what it does just now.
        data: what else it told, as JSON has it.
        at: when, in seconds since the epoch.
    """

    fraction: float | None
    message: str
    data: dict[str, Any]
    at: float


@dataclass(frozen=True, slots=True)
class TaskFailure:
    """Why a job did not succeed.

    Attributes:
        type_name: the qualified name of the exception's class.
        message: its text.
        traceback: its traceback, the remote one included.
    """

    type_name: str
    message: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """What is known of a long job. Times are seconds since the epoch.

    Attributes:
        task_id: the job's id.
        state: its state.
        title: the function or the route.
        pool: the pool it runs in.
        submitter: the identity of who submitted it, empty for the application itself.
        session: the session it was submitted from, empty for none.
        open_to_id: it was submitted over HTTP by somebody without identity and session: who
            knows the id may ask for it.
        priority: higher ones run first.
        submitted_at: when it was accepted.
        eta: not begun before, ``None`` for at once.
        started_at: when the last attempt began, ``None`` before the first.
        ended_at: when it reached its final state, ``None`` before.
        attempts: how often it was begun.
        retries: how often a failed attempt is repeated.
        backoff: seconds before the first repetition; twice as many before each further one.
        repeatable: it runs again when its server ended while it was running.
        timeout: seconds an attempt may take, ``None`` for as the pool says.
        keep: seconds its final state is kept.
        cancel_requested: somebody asked it to end.
        progress: the last word it gave, ``None`` for none.
        failure: why it failed, was lost, or why its last attempt failed; ``None`` otherwise.
        stored_bytes: what its arguments and its result take in the store.
    """

    task_id: str
    state: TaskState
    title: str
    pool: str
    submitter: str = ""
    session: str = ""
    open_to_id: bool = False
    priority: int = 0
    submitted_at: float = 0.0
    eta: float | None = None
    started_at: float | None = None
    ended_at: float | None = None
    attempts: int = 0
    retries: int = 0
    backoff: float = 1.0
    repeatable: bool = False
    timeout: float | None = None
    keep: float = 0.0
    cancel_requested: bool = False
    progress: Progress | None = None
    failure: TaskFailure | None = None
    stored_bytes: int = field(default=0, compare=False)

    def as_dict(self) -> dict[str, Any]:
        """The status as JSON has it; without the session, which is a secret."""
        values = asdict(self)
        del values["session"], values["open_to_id"]
        values["state"] = self.state.value
        return values


def progress_text(progress: Progress | None) -> str | None:
    """``progress`` as it is stored."""
    return None if progress is None else json.dumps(asdict(progress), default=str)


def failure_text(failure: TaskFailure | None) -> str | None:
    """``failure`` as it is stored."""
    return None if failure is None else json.dumps(asdict(failure))
