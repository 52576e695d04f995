# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A request answered before its work is done: 202, where to ask, and a job that goes on."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from types import MethodType
from typing import Any

from ...errors import ExecutorConfigError
from ...hosts.names import StreamingResponse
from ...portable.references import describe
from ...routing.tree import application_of
from ..application import long_tasks_of
from ..status import TaskState

__all__ = ["MOUNT", "JsonAnswer", "accepted", "answer_later", "urls_of"]

MOUNT = "_tasks"
"""The first segment of the URLs under which a server answers for its long jobs."""


class JsonAnswer(StreamingResponse):
    """A JSON document with a status and headers of its own.

    What calls a handler without HTTP and shows its result as text (MCP does) shows the document.
    """

    __slots__ = ("document",)

    def __init__(self, document: Any, status: int, **headers: str) -> None:
        self.document = document
        body = str(self).encode()
        super().__init__(
            _once(body),
            status_code=status,
            headers=[
                ("content-type", "application/json"),
                ("content-length", str(len(body))),
                *((name.replace("_", "-"), value) for name, value in headers.items()),
            ],
        )

    def __str__(self) -> str:
        return json.dumps(self.document, default=str)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


def urls_of(task_id: str) -> dict[str, str]:
    """Where to ask about the job, below the server's root."""
    return {
        f"{what}_url": f"/{MOUNT}/{what}/{task_id}"
        for what in ("status", "result", "events", "cancel", "forget")
    }


def accepted(task_id: str, state: TaskState = TaskState.QUEUED) -> JsonAnswer:
    """202 with the job's id and ``Location``."""
    urls = urls_of(task_id)
    document = {"task_id": task_id, "state": state.value, **urls}
    return JsonAnswer(document, 202, location=urls["status_url"])


async def answer_later(
    instance: Any, handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> JsonAnswer:
    """Submit a call of ``handler`` of ``instance`` as a long job; the answer to its request.

    Raises:
        ExecutorConfigError: the server has no long jobs.
        TaskLimitError: the caller has too much in the store.
        TaskStoreError: the store has refused it.
    """
    long_tasks = long_tasks_of(instance)
    if long_tasks is None:
        raise ExecutorConfigError(
            f"{describe(handler)} is to run in the background, and its server has no long jobs. "
            "Serve it with ExecutorServer"
        )
    if not isinstance(handler, MethodType):
        raise ExecutorConfigError(
            f"{describe(handler)} is to run in the background, which only handlers of "
            f"{describe(type(application_of(instance)))} and its sections can"
        )
    return accepted(await long_tasks.submit_handler(handler, args, kwargs))
