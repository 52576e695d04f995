# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Workers that cannot start: the reason, and how long to wait before the next try."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from ...errors import WorkerCrashedError
from ...portable.pickling import why
from .exit_report import ExitReport
from .job import Job
from .worker import Worker

__all__ = ["StartBackoff"]

FIRST_BACKOFF_SECONDS = 0.1
LAST_BACKOFF_SECONDS = 10.0
"""After a failed start the next try waits; the wait doubles from the first to the last."""

_logger = logging.getLogger("genro_executor_plugin")


class StartBackoff:
    """Remembers failed starts of one pool until one succeeds."""

    def __init__(
        self, pool: str, loop: asyncio.AbstractEventLoop, try_again: Callable[[], None]
    ) -> None:
        self._pool = pool
        self._loop = loop
        self._try_again = try_again
        self._failures = 0
        self._not_before = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._told: tuple[str, BaseException | None] | None = None
        self.error: WorkerCrashedError | None = None

    def succeeded(self) -> None:
        self._failures = 0
        self._not_before = 0.0
        self._told = None
        self.error = None

    def failed(self, worker: Worker, report: ExitReport) -> None:
        """``worker`` ended before it was ready."""
        if worker.boot_error is not None:
            self.impossible(why(worker.boot_error), worker.boot_error)
        elif report.exit_code is None and not report.reason and self._told is not None:
            self.impossible(*self._told)  # nobody could tell: what was told before says more
        else:
            self.impossible(report.in_words(), None, report.exit_code)

    def impossible(
        self, reason: str, cause: BaseException | None, exit_code: int | None = None
    ) -> None:
        """No worker came up, for ``reason``."""
        delay = min(FIRST_BACKOFF_SECONDS * 2**self._failures, LAST_BACKOFF_SECONDS)
        self._failures += 1
        self._told = reason, cause
        self._not_before = self._loop.time() + delay
        self.error = WorkerCrashedError(
            f"pool {self._pool!r} cannot start a worker: {reason}. It tries again when it is "
            f"called after {delay:g} s",
            pool=self._pool,
            exit_code=exit_code,
        )
        self.error.__cause__ = cause
        _logger.error("%s", self.error, exc_info=cause)

    def must_wait(self) -> bool:
        """Whether it is too early to start a worker; ``try_again`` is called when it is not."""
        if self._loop.time() >= self._not_before:
            return False
        if self._timer is None:
            self._timer = self._loop.call_at(self._not_before, self._time_is_up)
        return True

    def refuse(self, jobs: Iterable[Job]) -> None:
        """Fail ``jobs``, which nobody will run, with the reason."""
        for job in jobs:
            job.fail(self.fresh_error())

    def fresh_error(self) -> WorkerCrashedError:
        """The reason as an error of its own: raising it changes no other caller's."""
        assert self.error is not None
        error = WorkerCrashedError(str(self.error), pool=self._pool, exit_code=self.error.exit_code)
        error.__cause__ = self.error.__cause__
        return error

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _time_is_up(self) -> None:
        self._timer = None
        self._try_again()
