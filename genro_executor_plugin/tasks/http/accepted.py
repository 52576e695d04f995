# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""202 Accepted: the answer to a request whose work goes on as a long job."""

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
from .guard import refuse_foreign_forms

__all__ = ["MOUNT", "JsonAnswer", "accepted", "answer_later", "urls_of"]

MOUNT = "_tasks"
"""The first segment of the URLs under which a server answers for its long jobs."""


class JsonAnswer(StreamingResponse):
    """A JSON document with a status and headers of its own.

    Converted to text it is the document, for callers without HTTP that show a result as text, as
    MCP does.
    """

    __slots__ = ("document",)

    def __init__(self, document: Any, status: int, **headers: str) -> None:
        self.document: Any = document
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
    """The URLs of the job, below the server's root."""
    return {
        f"{what}_url": f"/{MOUNT}/{what}/{task_id}"
        for what in ("status", "result", "page", "events", "cancel", "retry", "forget")
    }


def accepted(task_id: str, state: TaskState = TaskState.QUEUED) -> JsonAnswer:
    """The answer 202 with the job's id, state and URLs, and a ``Location`` header."""
    urls = urls_of(task_id)
    document = {"task_id": task_id, "state": state.value, **urls}
    return JsonAnswer(document, 202, location=urls["status_url"])


async def answer_later(
    instance: Any, handler: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> JsonAnswer:
    """Submit a call of ``handler`` of ``instance`` as a long job, and return the answer.

    Raises:
        HTTPForbidden: a page of another site has sent a form.
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
    refuse_foreign_forms(application_of(instance).server)
    return accepted(await long_tasks.submit_handler(handler, args, kwargs))
