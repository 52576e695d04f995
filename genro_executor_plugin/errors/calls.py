# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Errors of one call: how its run ended, or why it could not travel."""

from __future__ import annotations

from typing import Self

from .base import ExecutorError

__all__ = [
    "ClientDisconnectedError",
    "ExecutorKeyError",
    "ExecutorTimeoutError",
    "MemoryLimitError",
    "RemoteError",
    "RemoteTraceback",
    "SerializationError",
    "SoftTimeoutError",
    "WorkerCrashedError",
    "WorkerLostError",
]


class ExecutorTimeoutError(ExecutorError, TimeoutError):
    """The run took longer than ``timeout`` seconds.

    In a process pool the worker was killed; the call may have had effects before that.

    Attributes:
        timeout: the limit in seconds, counted from the start of the run.
        stack: where the run was when it was ended, as a traceback has it; empty if that is not
            known. It is a note of the error as well.
    """

    stack: str = ""

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


class ExecutorKeyError(ExecutorError):
    """The call has no key, though its route names one (``executor_key=``), or it cannot be one.

    Nothing was started.
    """

    status = 400
    detail = "The request lacks what says which worker is to serve it."


class WorkerCrashedError(ExecutorError):
    """The worker died during the call, or no worker could be started for it.

    The call may have had effects; the other calls of the pool are not concerned.

    Attributes:
        exit_code: the worker's exit code, negative for a signal (``-9`` is SIGKILL), ``None``
            when it is not known.
        pid: the worker's process id, ``None`` when it never started.
        peak_memory: the most memory it ever held, in bytes, ``None`` when it is not known.
        last_memory: what it held when it was last looked at (once a second while it works).
        stack: where the call was when its worker was killed on purpose, as a traceback has it;
            empty if that is not known. It is a note of the error as well.

    What the worker's faulthandler wrote when native code crashed is a note of the error.
    """

    stack: str = ""

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


class MemoryLimitError(WorkerCrashedError):
    """The call held more memory than the pool's ``memory_limit``; its worker was ended.

    It is not repeated, whatever ``retries`` says. ``peak_memory`` is the most that was seen.

    Attributes:
        limit: the limit in bytes.
    """

    def __init__(
        self,
        message: str,
        *,
        pool: str | None = None,
        route: str | None = None,
        pid: int | None = None,
        peak_memory: int | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(message, pool=pool, route=route, pid=pid, peak_memory=peak_memory)
        self.limit = limit


class WorkerLostError(WorkerCrashedError):
    """The call was sent to another machine, and it is not known what became of it.

    The agent there, or the network, is gone: the call may have run, or run still, with all of its
    effects. It was repeated elsewhere only if its ``retries`` said so.

    Attributes:
        agent: the name of the agent that it was sent to.
        host: the name of its machine.
    """

    def __init__(
        self,
        message: str,
        *,
        pool: str | None = None,
        route: str | None = None,
        pid: int | None = None,
        agent: str | None = None,
        host: str | None = None,
    ) -> None:
        super().__init__(message, pool=pool, route=route, pid=pid)
        self.agent = agent
        self.host = host


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


class RemoteTraceback(Exception):
    """The traceback an exception had in its worker, as text, set as the exception's cause."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text.rstrip()}\n"""'
