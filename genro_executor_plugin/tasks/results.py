# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a job that has ended has to show: its result, or what ``result`` raises for it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from ..errors import (
    ExecutorClosedError,
    SerializationError,
    TaskCancelledError,
    TaskLostError,
    TaskNotFoundError,
    TaskStoreError,
)
from ..portable.exceptions import unpack_failure
from ..portable.pickling import why
from ..portable.stored import loads
from .orders import SMALL_BYTES
from .status import TaskState, TaskStatus

__all__ = ["error_of", "is_over", "not_found", "read_result"]


async def read_result(status: TaskStatus, content: bytes | None) -> Any:
    """The result in ``content``.

    Raises:
        TaskStoreError: it is not there.
        SerializationError: it cannot be read here.
    """
    if content is None:
        raise TaskStoreError(
            f"the result of job {status.task_id} is not in the store: it was damaged and has "
            "been set aside",
            task_id=status.task_id,
        )
    try:
        if len(content) <= SMALL_BYTES:
            return loads(content)
        return await asyncio.to_thread(loads, content)
    except Exception as error:
        raise SerializationError(
            f"the result of job {status.task_id} cannot be read here: {why(error)}. Its "
            "modules must import in this server"
        ) from error


def is_over(status: TaskStatus) -> bool:
    """Whether it was kept as long as it should be."""
    return status.ended_at is not None and status.ended_at + status.keep <= time.time()


def not_found(task_id: str) -> TaskNotFoundError:
    return TaskNotFoundError(
        f"there is no job {task_id!r}: it never was, was forgotten, or was kept long enough",
        task_id=task_id,
    )


def error_of(status: TaskStatus, content: bytes | None) -> BaseException:
    """What ``result`` raises for a job that did not succeed."""
    task_id, failure = status.task_id, status.failure
    words = failure.message if failure is not None else ""
    if not status.state.final:
        return ExecutorClosedError(f"the server stops; job {task_id} goes on with the next one")
    if status.state is TaskState.CANCELLED:
        return TaskCancelledError(f"job {task_id} was cancelled", task_id=task_id)
    if status.state is TaskState.LOST:
        return TaskLostError(
            f"job {task_id} is lost: {words}. It may have had effects; declare jobs that may run "
            "twice repeatable=True",
            task_id=task_id,
        )
    if content is None:
        return TaskStoreError(f"job {task_id} has failed: {words}", task_id=task_id)
    return unpack_failure(content, loads)
