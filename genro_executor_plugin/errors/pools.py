# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Errors of pools: declared wrong, unknown, full, or ending."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

from .base import ExecutorError, RetryLaterError

__all__ = [
    "ExecutorClosedError",
    "ExecutorConfigError",
    "ExecutorOverloadError",
    "NoAgentError",
    "UnknownExecutorError",
]


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


class ExecutorOverloadError(RetryLaterError):
    """The queue of the pool is full, or ``queue_timeout`` passed before the run began.

    Nothing was started: repeating the call later is safe.
    """

    detail = "The server is busy. Try again later."


class NoAgentError(ExecutorOverloadError):
    """No agent on another machine takes the call: none is there, or none that has the same code.

    Nothing was sent: repeating the call later is safe.
    """

    _default_reason = "no_agent"


class ExecutorClosedError(RetryLaterError):
    """The pool is shutting down or has shut down. Nothing was started."""

    _default_reason = "closed"
    detail = "The server is shutting down. Try again later."
