# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What ``result`` returns or raises for a job that has ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
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
from .status import TaskState, TaskStatus
from .store import TaskStore
from .store.signing import UnsignedError
from .stored_call import SMALL_BYTES

__all__ = ["is_expired", "not_found", "stored_outcome"]


async def stored_outcome(
    store: TaskStore, task_id: str, damaged: Callable[[TaskStore, str, str, str], Awaitable[None]]
) -> Any:
    """Return what a job returned that has ended in ``store``.

    Args:
        store: the store.
        task_id: the job.
        damaged: told which part of the job is damaged, and why, so that it is set aside.

    Raises:
        TaskNotFoundError: there is no job of that id.
        TaskStoreError: its result or its exception is damaged, or is not signed by our key.
        SerializationError: its result cannot be read here.
        Exception: what ``error_of`` says for a job that did not succeed.
    """
    try:
        found = await asyncio.wrap_future(store.outcome(task_id))
    except UnsignedError:
        raise
    except TaskStoreError as error:
        status = await asyncio.wrap_future(store.status(task_id))
        succeeded = status is not None and status.state is TaskState.SUCCEEDED
        await damaged(store, task_id, "result" if succeeded else "failure", str(error))
        raise
    if found is None:
        raise not_found(task_id)
    status, content = found
    if status.state is TaskState.SUCCEEDED:
        return await read_result(status, content)
    raise error_of(status, content)


async def read_result(status: TaskStatus, content: bytes | None) -> Any:
    """Return the result in ``content``.

    Raises:
        TaskStoreError: there is none: it was damaged and has been set aside.
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
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # a class may raise anything when it is unpickled
        raise SerializationError(
            f"the result of job {status.task_id} cannot be read here: {why(error)}. Its "
            "modules must import in this server"
        ) from error


def is_expired(status: TaskStatus) -> bool:
    """Whether the job has ended and its ``keep`` has passed."""
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
