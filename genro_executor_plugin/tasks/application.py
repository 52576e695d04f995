# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``app.tasks``: long jobs, as an application's own code uses them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, ParamSpec, TypeVar, Unpack, overload

from ..engines.home import run_on
from ..errors import ExecutorConfigError
from ..options.numbers import check_seconds
from ..routing.tree import application_of
from .keywords import TaskKeywords
from .options import TaskOptions
from .service import LongTasks
from .status import Progress, StoredTaskId, TaskId, TaskState, TaskStatus

__all__ = ["ApplicationTasks", "long_tasks_of"]

P = ParamSpec("P")
T = TypeVar("T")


def long_tasks_of(instance: Any) -> LongTasks | None:
    """The long jobs of the server that ``instance`` is served by, ``None`` if it has none."""
    server = getattr(application_of(instance), "server", None)
    found = getattr(server, "long_tasks", None)
    return found if isinstance(found, LongTasks) else None


class ApplicationTasks:
    """The long jobs of the server, for the code of one application."""

    def __init__(self, application: Any, options: TaskOptions | None = None) -> None:
        self._application = application
        self._options = options or TaskOptions()

    def options(self, **options: Unpack[TaskKeywords]) -> ApplicationTasks:
        """Return the same with these options for the jobs that are submitted through it.

        Args:
            options: ``pool``, ``timeout``, ``retries``, ``backoff``, ``priority``, ``key``,
                ``eta``, ``keep``, ``repeatable``, ``durable``, ``submitter``.

        Raises:
            ExecutorConfigError: naming the option, the value and what is allowed.
        """
        return ApplicationTasks(self._application, self._options.changed(options))

    @overload
    def submit(self, job: str, /, *args: Any, **kwargs: Any) -> TaskId[Any]: ...
    @overload
    def submit(
        self, job: Callable[P, Awaitable[T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> TaskId[T]: ...
    @overload
    def submit(self, job: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> TaskId[T]: ...
    def submit(self, job: str | Callable[..., Any], /, *args: Any, **kwargs: Any) -> TaskId[Any]:
        """Submit ``job(*args, **kwargs)`` as a long job, and return its id at once.

        Await the id to be sure that the job survives the end of the server. On a thread (in a
        sync handler that is not offloaded) ``submit`` itself waits for that.

        Args:
            job: a function that can be imported, a handler of this or another application, or
                the path of a route: ``"yearly"`` of this application, ``"/reports/yearly"`` of
                the server.

        Raises:
            SerializationError: the function or an argument cannot be stored.
            TaskLimitError: the submitter has too much in the store.
            TaskStoreError: when the id is awaited: the store has refused the job.
            ExecutorConfigError: no such route or pool, or the pool cannot keep an option.
        """
        return self._long_tasks.submit(job, args, kwargs, self._options, self._application)

    async def status(self, task_id: str) -> TaskStatus:
        """What is known of the job.

        Raises:
            TaskNotFoundError: there is no job of that id.
        """
        return await self._on_its_loop(self._long_tasks.status, task_id)

    @overload
    async def result(self, task_id: StoredTaskId[T], timeout: float | None = None) -> T: ...
    @overload
    async def result(self, task_id: str, timeout: float | None = None) -> Any: ...
    async def result(self, task_id: str, timeout: float | None = None) -> Any:
        """Wait until the job has ended, and return what it returned.

        Raises:
            TimeoutError: it has not ended after ``timeout`` seconds; it goes on.
            ExecutorConfigError: ``timeout`` is not a finite number of seconds.
            TaskNotFoundError: there is no job of that id.
            TaskCancelledError: it was cancelled.
            TaskLostError: it was running when its server ended.
            ExecutorClosedError: the server stops; the job goes on with the next one.
            Exception: what the job raised, with the remote traceback as its cause.
        """
        patience = check_seconds(f"result of job {task_id}", "timeout", timeout)
        return await self._on_its_loop(self._long_tasks.result, task_id, patience)

    async def cancel(self, task_id: str, grace: float | None = None) -> TaskStatus:
        """Cancel the job: if it waits it never begins, if it runs it is asked to end, then killed.

        It returns when the job was asked; ``result`` waits for its end. In a pool that cannot
        end a running call, such as one of threads, the job is only asked.

        Args:
            task_id: the id of the job.
            grace: seconds it has to end by itself; by default the server's ``cancel_grace``.

        Raises:
            ExecutorConfigError: ``grace`` is not a finite number of seconds.
            TaskNotFoundError: there is no job of that id.
        """
        given = check_seconds(f"cancel of job {task_id}", "grace", grace)
        return await self._on_its_loop(self._long_tasks.cancel, task_id, given)

    async def progress(self, task_id: str) -> Progress | None:
        """The latest progress that the job has reported, ``None`` if it has reported none.

        Raises:
            TaskNotFoundError: there is no job of that id.
        """
        return (await self.status(task_id)).progress

    async def list(
        self,
        state: TaskState | str | None = None,
        submitter: str | None = None,
        limit: int = 100,
    ) -> list[TaskStatus]:
        """The jobs in ``state`` and of ``submitter``, the newest first, at most ``limit``."""
        wanted = TaskState(state) if state is not None else None
        return await self._on_its_loop(self._long_tasks.list, wanted, submitter, None, limit)

    async def forget(self, task_id: str) -> None:
        """Remove a job that has ended, with its result.

        Raises:
            TaskNotFoundError: there is no job of that id.
            TaskError: it has not ended.
        """
        await self._on_its_loop(self._long_tasks.forget, task_id)

    async def retry(self, task_id: str) -> TaskStatus:
        """Run a job again that has ended, under its id; what it returned or raised is forgotten.

        Raises:
            TaskNotFoundError: there is no job of that id.
            TaskError: it has not ended, or its arguments were not kept (``job_arguments``).
        """
        return await self._on_its_loop(self._long_tasks.retry, task_id)

    async def _on_its_loop(self, ask: Callable[..., Coroutine[Any, Any, T]], *args: Any) -> T:
        """What ``ask(*args)`` returns, run on the event loop of the server's jobs."""
        loop = self._long_tasks.loop
        if loop is None or not loop.is_running():
            return await ask(*args)
        outcome: T = await run_on(loop, partial(ask, *args))
        return outcome

    @property
    def _long_tasks(self) -> LongTasks:
        found = long_tasks_of(self._application)
        if found is None:
            raise ExecutorConfigError(
                f"application {self._application.code!r} has no long jobs here: it is not served "
                "by a server with executors, or this is a worker. Serve it with ExecutorServer, "
                "and submit from the server's side"
            )
        return found
