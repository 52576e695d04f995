# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Every error this package raises, and the HTTP answer each one stands for.

::

    ExecutorError                     500
    ├── ExecutorConfigError           boot: an option, a pool or a route is written wrong
    │   └── UnknownExecutorError      boot, 500: no pool of that name
    ├── ExecutorOverloadError         503 + Retry-After: the queue is full
    ├── ExecutorClosedError           503 + Retry-After: the pool is shutting down
    ├── ExecutorTimeoutError          504: the run took too long (also a TimeoutError)
    ├── SoftTimeoutError              504: raised inside the function at its soft_timeout
    ├── ClientDisconnectedError       499: the HTTP client disconnected
    ├── WorkerCrashedError            500: the worker died during the call
    ├── SerializationError            500: something cannot travel
    ├── RemoteError                   500: an exception that could not be rebuilt here
    └── TaskError                     409: a long job is not in the state that was asked for
        ├── TaskNotFoundError         404: no long job has that id
        ├── TaskCancelledError        409: the long job was cancelled, it has no result
        ├── TaskLostError             500: the long job was running when its server ended
        ├── TaskLimitError            429: the submitter has too many long jobs in the store
        └── TaskStoreError            500: the store of long jobs cannot be used

Where a host is loaded, an instance is an ``HTTPException`` of the host too, so that the host
answers it; nothing here imports a host. Instances pickle, because they cross processes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Self

from .hosts.loaded import answerable

__all__ = [
    "ClientDisconnectedError",
    "ExecutorClosedError",
    "ExecutorConfigError",
    "ExecutorError",
    "ExecutorOverloadError",
    "ExecutorTimeoutError",
    "RemoteError",
    "RemoteTraceback",
    "SerializationError",
    "SoftTimeoutError",
    "TaskCancelledError",
    "TaskError",
    "TaskLimitError",
    "TaskLostError",
    "TaskNotFoundError",
    "TaskStoreError",
    "UnknownExecutorError",
    "WorkerCrashedError",
]


# Stored failures name it: it stays here under this name, with these parameters.
def _rebuild(cls: type[ExecutorError], message: str, facts: dict[str, Any]) -> ExecutorError:
    error = cls(message)
    error.__dict__.update(facts)
    return error


class ExecutorError(Exception):
    """The base of every error of this package.

    Attributes:
        pool: the name of the pool concerned, ``None`` when there is none.
        route: the route that was called, ``None`` for a call that came from no route.
        status: the HTTP status this error answers with.
        detail: what an HTTP client reads: a stable text with nothing from inside the server.
        headers: the ASGI header pairs of the answer.
    """

    status: int = 500
    detail: str = "Internal Server Error"
    _plain: type[ExecutorError] | None = None

    def __new__(cls, *_args: Any, **_kwargs: Any) -> Self:
        return super().__new__(answerable(cls))

    def __init__(self, message: str, *, pool: str | None = None, route: str | None = None) -> None:
        # Not super().__init__: HTTPException and OSError read their own meaning into arguments.
        self.args = (message,)
        self.pool = pool
        self.route = route

    def __str__(self) -> str:
        return str(self.args[0])

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return []

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._plain or type(self), str(self), dict(self.__dict__))


class _RetryLaterError(ExecutorError):
    """An error that says when to come back.

    Attributes:
        retry_after: whole seconds, at least 1.
        reason: one word for the metrics: ``"full"``, ``"queue_timeout"``, ``"closed"``, ...
    """

    status = 503
    _default_reason = "full"

    def __init__(
        self,
        message: str,
        *,
        pool: str | None = None,
        route: str | None = None,
        retry_after: int = 1,
        reason: str | None = None,
    ) -> None:
        super().__init__(message, pool=pool, route=route)
        self.retry_after = retry_after
        self.reason = reason or self._default_reason

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"retry-after", str(self.retry_after).encode("ascii"))]


class ExecutorConfigError(ExecutorError, ValueError):
    """Pools, options or routes are declared wrong. The message names them and what is allowed.

    Attributes:
        mistakes: every mistake that was found, one text each.
    """

    mistakes: tuple[str, ...]

    def __init__(self, message: str, *, pool: str | None = None, route: str | None = None) -> None:
        super().__init__(message, pool=pool, route=route)
        self.mistakes = (message,)

    @classmethod
    def of(cls, mistakes: Iterable[str], *, pool: str | None = None) -> Self:
        """The error that tells all of ``mistakes``."""
        found = tuple(mistakes)
        error = cls("; ".join(found), pool=pool)
        error.mistakes = found
        return error


class UnknownExecutorError(ExecutorConfigError, LookupError):
    """No pool of that name was declared. The message lists the pools that were."""


class ExecutorOverloadError(_RetryLaterError):
    """The queue of the pool is full, or ``queue_timeout`` passed before the run began.

    Nothing was started: repeating the call later is safe.
    """

    detail = "The server is busy. Try again later."


class ExecutorClosedError(_RetryLaterError):
    """The pool is shutting down or has shut down. Nothing was started."""

    _default_reason = "closed"
    detail = "The server is shutting down. Try again later."


class ExecutorTimeoutError(ExecutorError, TimeoutError):
    """The run took longer than ``timeout`` seconds.

    In a process pool the worker was killed; the call may have had effects before that.

    Attributes:
        timeout: the limit in seconds, counted from the start of the run.
    """

    status = 504
    detail = "The request took too long."

    def __init__(
        self,
        message: str,
        *,
        pool: str | None = None,
        route: str | None = None,
        timeout: float | None = None,
    ) -> None:
        super().__init__(message, pool=pool, route=route)
        self.timeout = timeout


class SoftTimeoutError(ExecutorError, TimeoutError):
    """Raised inside a function when its ``soft_timeout`` has passed, so that it can clean up.

    A function that does not catch it fails with it. The hard ``timeout`` goes on counting.
    """

    status = 504
    detail = "The request took too long."

    @classmethod
    def after(cls, seconds: float) -> Self:
        """The error for a limit of ``seconds``."""
        return cls(f"the call has run for {seconds:g} s, its soft_timeout; it should end now")


class ClientDisconnectedError(ExecutorError):
    """The HTTP client went away, and the call that it waited for was cancelled.

    Its answer reaches no client; the status is the one that access logs know for this case.
    """

    status = 499
    detail = "The client closed the request."


class WorkerCrashedError(ExecutorError):
    """The worker died during the call, or no worker could be started for it.

    The call may have had effects; the other calls of the pool are not concerned.

    Attributes:
        exit_code: the worker's exit code, negative for a signal (``-9`` is SIGKILL), ``None``
            when it is not known.
        pid: the worker's process id, ``None`` when it never started.
        peak_memory: the most memory it ever held, in bytes, ``None`` when it is not known.
        last_memory: what it held when it was last looked at (once a second while it works).

    What the worker's faulthandler wrote when native code crashed is a note of the error.
    """

    def __init__(
        self,
        message: str,
        *,
        pool: str | None = None,
        route: str | None = None,
        exit_code: int | None = None,
        pid: int | None = None,
        peak_memory: int | None = None,
        last_memory: int | None = None,
    ) -> None:
        super().__init__(message, pool=pool, route=route)
        self.exit_code = exit_code
        self.pid = pid
        self.peak_memory = peak_memory
        self.last_memory = last_memory


class SerializationError(ExecutorError):
    """A function, an argument, a result or an attribute of ``self`` cannot travel.

    The message names it, the reason and the cure. No worker was lost.
    """


class RemoteError(ExecutorError):
    """The function raised an exception that could not be rebuilt in this process.

    Attributes:
        type_name: the qualified name of the exception's class in the worker.
        remote_traceback: its traceback there, as text.
    """

    def __init__(
        self,
        message: str,
        *,
        pool: str | None = None,
        route: str | None = None,
        type_name: str = "",
        remote_traceback: str = "",
    ) -> None:
        super().__init__(message, pool=pool, route=route)
        self.type_name = type_name
        self.remote_traceback = remote_traceback


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
    detail = ExecutorError.detail


class RemoteTraceback(Exception):
    """The traceback an exception had in its worker, as text, set as the exception's cause."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text.rstrip()}\n"""'
