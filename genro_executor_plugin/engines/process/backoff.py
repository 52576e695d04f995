# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Backoff after failed starts: why no worker can start, and when the next one is tried.

Called by the supervisor of a pool when a worker ended before it was ready, or could not be
started at all. It starts nothing itself.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable

from ...errors import WorkerCrashedError
from ...options.lacks import cure_for
from ...portable.pickling import why
from .exit_report import ExitReport
from .job import Job
from .worker import Worker

__all__ = ["StartBackoff", "refused"]

FIRST_BACKOFF_SECONDS = 0.1
LAST_BACKOFF_SECONDS = 10.0
"""After a failed start the next try waits; the wait doubles from the first to the last."""

_AGAIN_SECONDS = 1.0
"""After how long a try is made again in which something else went wrong."""

_logger = logging.getLogger("genro_executor_plugin")


class StartBackoff:
    """Remembers the failed starts of one pool until a start succeeds.

    Attributes:
        error: why workers cannot be started now, ``None`` when the last start succeeded.
    """

    def __init__(
        self, pool: str, loop: asyncio.AbstractEventLoop, try_again: Callable[[], None]
    ) -> None:
        self._pool = pool
        self._loop = loop
        self._try_again = try_again
        self._failures = 0
        self._not_before = self._delay = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._stopped = False
        self._not_forked = ""
        self._last_reason: tuple[str, BaseException | None] | None = None
        self.error: WorkerCrashedError | None = None

    @property
    def wanted(self) -> int:
        """How many workers to start although no job waits: one finds out whether it works again.

        Without it a pool that is called by nobody, because it said that it is unhealthy, would say
        so for ever.
        """
        return int(self.error is not None)

    def succeeded(self) -> None:
        """Forget the failed starts: a worker is up."""
        self._failures = 0
        self._not_before = 0.0
        self._last_reason = None
        self.error = None

    def failed(self, worker: Worker, report: ExitReport) -> None:
        """Take in that ``worker`` ended before it was ready."""
        if worker.boot_error is not None:
            self.impossible(why(worker.boot_error), worker.boot_error)
        elif worker.nonsense:
            self.impossible(f"it sent {worker.nonsense}", None)
        elif report.exit_code is None and not report.reason and self._last_reason is not None:
            self.impossible(*self._last_reason)  # the report knows nothing; the reason before does
        else:
            self.impossible(report.in_words(), None, report.exit_code)

    def impossible(
        self, reason: str, cause: BaseException | None, exit_code: int | None = None
    ) -> None:
        """Take in that no worker came up, for ``reason``."""
        now = self._loop.time()
        # Workers that were started together fail together, for one reason.
        last = self._last_reason[0] if self._last_reason is not None else None
        again = now < self._not_before and last == reason
        known = last == reason and self._delay >= LAST_BACKOFF_SECONDS
        if not again:
            self._delay = min(FIRST_BACKOFF_SECONDS * 2**self._failures, LAST_BACKOFF_SECONDS)
            self._failures += 1
            self._not_before = now + self._delay
        self._last_reason = reason, cause
        self.error = WorkerCrashedError(
            f"pool {self._pool!r} cannot start a worker: {reason}. It tries again "
            f"after {self._delay:g} s",
            pool=self._pool,
            exit_code=exit_code,
        )
        self.error.__cause__ = cause
        self._set_timer()
        if not again and not known:
            _logger.error("%s", self.error, exc_info=cause)

    def not_forked(self, reason: str) -> None:
        """Tell why this pool's workers are spawned, though they were to be forked."""
        if reason != self._not_forked:  # a template that was killed finds the same again
            self._not_forked = reason
            _logger.warning(
                "pool %r: %s\nThe workers of this pool are started as new interpreters instead "
                "(start_method='spawn'), which takes longer and shares no memory. To have them "
                "forked, make it at its first use, in on_worker_startup, or in the pool's "
                "initializer, and not when the module is imported",
                *(self._pool, reason),
            )

    def must_wait(self) -> bool:
        """Whether it is too early to start a worker; ``try_again`` is called when it is time."""
        if self._loop.time() >= self._not_before:
            return False
        self._set_timer()
        return True

    def _set_timer(self) -> None:
        if self._timer is None and not self._stopped:
            self._timer = self._loop.call_at(self._not_before, self._time_is_up)

    def refuse(self, jobs: Iterable[Job]) -> None:
        """Fail ``jobs``, which no worker can run, with the reason."""
        for job in jobs:
            job.fail(self.fresh_error())

    def fresh_error(self) -> WorkerCrashedError:
        """The reason as a new exception, so that callers do not share one and its traceback."""
        assert self.error is not None
        error = WorkerCrashedError(str(self.error), pool=self._pool, exit_code=self.error.exit_code)
        error.__cause__ = self.error.__cause__
        return error

    def stop(self) -> None:
        """Call ``try_again`` no more."""
        self._stopped = True
        if self._timer is not None:
            self._timer.cancel()

    def _time_is_up(self) -> None:
        try:
            self._timer = None
            self._try_again()
        except Exception:
            _logger.exception("pool %r: no worker was started; this is tried again", self._pool)
            self._timer = self._loop.call_later(_AGAIN_SECONDS, self._time_is_up)


def refused(error: OSError) -> str:
    """Why no worker can be started, when the system has refused with ``error``, and the cure."""
    cure = cure_for(error)
    return f"{why(error)}. {cure}" if cure else why(error)
