# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A program with long jobs whose runs are written down: ``recorded.py <store> <folder>``.

``job_histories`` asks it, and kills it.
"""

from __future__ import annotations

import logging
import os
import sys
import time
import uuid
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from genro_routes import route

from genro_executor_plugin import (
    ExecutorApplication,
    ExecutorClosedError,
    ExecutorServer,
    TaskCancelledError,
    TaskError,
    TaskLimitError,
    TaskLostError,
    TaskNotFoundError,
    TaskStatus,
    TaskStoreError,
    cancelled,
)

OPTIONS: dict[str, dict[str, Any]] = {
    "once": {},
    "repeatable": {"repeatable": True},
    "retried": {"retries": 20, "backoff": 0.01},
    "failing": {},
}
"""The kinds of jobs, and their options."""


def _write(folder: str, *words: object) -> None:
    descriptor = os.open(Path(folder, "runs"), os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, f"{' '.join(map(str, words))}\n".encode())
    finally:
        os.close(descriptor)


def work(folder: str, kind: str, name: str, seconds: float) -> str:
    """Run for ``seconds``, and return a token of this run or raise it."""
    token = uuid.uuid4().hex[:8]
    _write(folder, "run", name, token, time.monotonic(), os.getpid())
    end = time.monotonic() + seconds
    while time.monotonic() < end and not cancelled():
        time.sleep(min(0.005, seconds))
    first = kind == "retried" and not Path(folder, f"{name}.tried").exists()
    if first:
        Path(folder, f"{name}.tried").touch()
    raises = first or kind == "failing"
    _write(folder, "raise" if raises else "return", name, token, time.monotonic(), os.getpid())
    if raises:
        raise LookupError(token)
    return token


async def _told(answer: Awaitable[str]) -> dict[str, str]:
    try:
        return {"answer": await answer}
    except TaskNotFoundError:
        return {"answer": "absent"}
    except TaskCancelledError:
        return {"answer": "cancelled"}
    except TaskLostError:
        return {"answer": "lost"}
    except TimeoutError:
        return {"answer": "waits"}
    except (ExecutorClosedError, TaskLimitError, TaskStoreError):
        return {"answer": "unknown"}
    except TaskError:
        return {"answer": "refused"}
    except Exception as error:
        return {"answer": f"failed {type(error).__name__}: {error}"}


def _words(job: TaskStatus) -> str:
    failure = job.failure
    why = f" {failure.type_name}: {failure.message}" if failure is not None else ""
    return job.state.value + why


class Recorded(ExecutorApplication):
    """Every answer begins with a word that ``job_model`` knows."""

    mount = "recorded"
    folder = ""

    def on_startup(self) -> None:
        logging.getLogger("uvicorn.access").disabled = True  # nobody reads what it would fill

    @route()
    async def submit(self, kind: str, name: str, seconds: float = 0.0) -> dict[str, str]:
        tasks = self.tasks.options(key=name, **OPTIONS[kind])
        return {"answer": await tasks.submit(work, self.folder, kind, name, seconds)}

    @route()
    async def status(self, task_id: str) -> dict[str, str]:
        return await _told(self._state(task_id))

    async def _state(self, task_id: str) -> str:
        return _words(await self.tasks.status(task_id))

    @route()
    async def result(self, task_id: str, wait: float = 0.0) -> dict[str, str]:
        return await _told(self._result(task_id, wait))

    async def _result(self, task_id: str, wait: float) -> str:
        return f"succeeded {await self.tasks.result(task_id, timeout=wait)}"

    @route()
    async def cancel(self, task_id: str) -> dict[str, str]:
        return await _told(self._cancel(task_id))

    async def _cancel(self, task_id: str) -> str:
        return _words(await self.tasks.cancel(task_id, grace=5.0))

    @route()
    async def retry(self, task_id: str) -> dict[str, str]:
        return await _told(self._retry(task_id))

    async def _retry(self, task_id: str) -> str:
        await self.tasks.retry(task_id)
        return "done"

    @route()
    async def forget(self, task_id: str) -> dict[str, str]:
        return await _told(self._forget(task_id))

    async def _forget(self, task_id: str) -> str:
        await self.tasks.forget(task_id)
        return "done"

    @route()
    async def listed(self) -> dict[str, str]:
        return {job.task_id: _words(job) for job in await self.tasks.list(limit=10_000)}


def main(store: str, folder: str) -> None:
    Recorded.folder = folder
    server = ExecutorServer(
        applications=[Recorded],
        executors={"jobs": {"max_workers": 2}},
        long_tasks={"path": store, "pool": "jobs", "shutdown_timeout": 0.05},
        tasks=False,
        auth={"basic": {"ann": {"password": "secret"}}},
    )
    server.serve(port=0)


if __name__ == "__main__":
    main(*sys.argv[1:])
