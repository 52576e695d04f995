# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Errors of long jobs and of their store."""

from __future__ import annotations

from .base import ExecutorError

__all__ = [
    "TaskCancelledError",
    "TaskError",
    "TaskLimitError",
    "TaskLostError",
    "TaskNotFoundError",
    "TaskStoreError",
]


class TaskError(ExecutorError):
    """A long job cannot do what was asked of it, in the state it is in.

    Attributes:
        task_id: the job's id, ``None`` when none is concerned.
    """

    status = 409
    detail = "The job is not in a state for that."

    def __init__(
        self,
        message: str,
        *,
        pool: str | None = None,
        route: str | None = None,
        task_id: str | None = None,
    ) -> None:
        super().__init__(message, pool=pool, route=route)
        self.task_id = task_id


class TaskNotFoundError(TaskError, LookupError):
    """No long job has that id: it never existed, was forgotten, or its ``keep`` has passed."""

    status = 404
    detail = "There is no such job."


class TaskCancelledError(TaskError):
    """The long job was cancelled. It has no result."""

    detail = "The job was cancelled."


class TaskLostError(TaskError):
    """The long job was running when its server ended, and was not declared repeatable.

    It may have had effects.
    """

    status = 500
    detail = "The job was lost."


class TaskLimitError(TaskError):
    """The submitter has as many long jobs in the store, or as much data, as is allowed."""

    status = 429
    detail = "Too many jobs. Wait until some are done, or forget some."


class TaskStoreError(TaskError):
    """The store of long jobs cannot be used: it is locked, full or damaged. The message says it."""

    status = 500
    detail: str = ExecutorError.detail
