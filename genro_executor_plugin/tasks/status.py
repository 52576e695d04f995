# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What is known of a long job: its id, its state, its progress, why it failed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Generator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Generic, Self, TypeVar

__all__ = ["Progress", "StoredTaskId", "TaskFailure", "TaskId", "TaskState", "TaskStatus"]


T = TypeVar("T")

MAX_DOUBLINGS = 10
"""How often the wait before a repetition is doubled."""


class StoredTaskId(str, Generic[T]):
    """The id of a job, a string. A type checker knows from it what ``result`` of the job returns.

    Pickled, it is a plain string.
    """

    __slots__ = ()

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)


class TaskId(StoredTaskId[T]):
    """What ``submit`` returns: the id of the job, a string that can be awaited.

    Awaiting it waits until the job is stored, so that it survives the end of the server, and
    returns the id. There is nothing to wait for when the job was submitted from a thread or with
    ``durable=False``.
    """

    __slots__ = ("_accepted",)

    _accepted: Future[Any] | asyncio.Future[Any] | None

    def __new__(
        cls,
        task_id: str,
        accepted: Future[Any] | asyncio.Future[Any] | None,
        *,
        durable: bool = True,
    ) -> Self:
        made = super().__new__(cls, task_id)
        made._accepted = accepted if durable else None
        return made

    def __await__(self) -> Generator[Any, None, StoredTaskId[T]]:
        return self._until_accepted().__await__()

    async def _until_accepted(self) -> StoredTaskId[T]:
        accepted = self._accepted
        if isinstance(accepted, Future):
            # Not awaited directly: cancelling it would take it from those who hand the job over.
            await asyncio.shield(asyncio.wrap_future(accepted))
        elif accepted is not None:
            await asyncio.shield(accepted)
        return StoredTaskId(self)


class TaskState(StrEnum):
    """The state of a long job. A job reaches exactly one of the final ones."""

    QUEUED = "queued"
    """Accepted and not begun: it waits for its ``eta``, for a retry or for its pool."""
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
    """The progress that a job has reported.

    Attributes:
        fraction: from 0.0 to 1.0, ``None`` if the job does not know it.
        message: what it is doing.
        data: what else it has reported, as JSON values.
        at: when it was reported, in seconds since the epoch.
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
        traceback: its traceback, with the one from the worker.
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
        submitter: the identity of its submitter, empty for the application itself.
        session: the session it was submitted from, empty for none.
        open_to_id: whether it was submitted over HTTP without identity and session, so that
            everybody who knows its id may ask for it.
        priority: jobs with a higher one run first.
        submitted_at: when it was accepted.
        eta: it does not begin before this, ``None`` for at once.
        started_at: when the last attempt began, ``None`` before the first.
        ended_at: when it reached its final state, ``None`` before.
        attempts: how often it was begun.
        retries: how often a failed attempt is repeated.
        backoff: seconds before the first repetition; twice as many before each further one.
        repeatable: whether it runs again when its server ended while it was running.
        timeout: seconds an attempt may take, ``None`` for the timeout of its route or pool.
        keep: seconds for which it is kept after its end.
        cancel_requested: whether it was asked to end.
        progress: the latest progress it has reported, ``None`` for none.
        failure: why it failed, was lost, or why its last attempt failed; ``None`` otherwise.
        stored_bytes: how many bytes its arguments or its result take in the store.
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

    @property
    def pause(self) -> float:
        """Seconds before a failed attempt is repeated."""
        return self.backoff * 2.0 ** min(self.attempts - 1, MAX_DOUBLINGS)

    def as_dict(self) -> dict[str, Any]:
        """The status as JSON values, without the session, which is a secret."""
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
