# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The base of every error: what each one holds, and how it crosses processes."""

from __future__ import annotations

from typing import Any, Self

from ..hosts.loaded import answerable

__all__ = ["ExecutorError", "RetryLaterError"]


# Stored failures name it: it stays in the package under this name, with these parameters.
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
        self.args: tuple[Any, ...] = (message,)
        self.pool = pool
        self.route = route

    def __str__(self) -> str:
        return str(self.args[0])

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return []

    def __reduce__(self) -> tuple[Any, ...]:
        return _rebuild, (self._plain or type(self), str(self), dict(self.__dict__))


class RetryLaterError(ExecutorError):
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
        self.reason: str = reason or self._default_reason

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        return [(b"retry-after", str(self.retry_after).encode("ascii"))]
