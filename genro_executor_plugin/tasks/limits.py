# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How much each submitter has in the store, and how much it may have."""

from __future__ import annotations

import threading

from ..errors import TaskLimitError
from .options import TaskSettings

__all__ = ["Limits"]


class Limits:
    """Counts jobs and bytes per submitter. Any thread may ask."""

    def __init__(self, settings: TaskSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._used: dict[str, tuple[int, int]] = {}

    def load(self, used: dict[str, tuple[int, int]]) -> None:
        """Add what the store had when it was opened."""
        for submitter, (jobs, size) in used.items():
            self._add(submitter, jobs, size)

    def take(self, submitter: str, size: int, title: str) -> None:
        """Count a new job with a call of ``size`` bytes.

        Raises:
            TaskLimitError: it would be too much; nothing was counted.
        """
        settings = self._settings
        if size > settings.max_call_bytes:
            raise TaskLimitError(
                f"the arguments of {title} take {size} bytes, and max_call_bytes is "
                f"{int(settings.max_call_bytes)}. Store the data elsewhere and pass where it is"
            )
        with self._lock:
            jobs, used = self._used.get(submitter, (0, 0))
            if jobs + 1 > settings.max_jobs_per_submitter:
                raise TaskLimitError(
                    f"{_named(submitter)} has {jobs} jobs in the store, and "
                    f"max_jobs_per_submitter is {settings.max_jobs_per_submitter}. Forget what "
                    "is done, or keep results for a shorter time"
                )
            if used + size > settings.max_bytes_per_submitter:
                raise TaskLimitError(
                    f"{_named(submitter)} has {used} bytes in the store, and {size} more are "
                    f"above max_bytes_per_submitter, {int(settings.max_bytes_per_submitter)}. "
                    "Forget what is done, or keep results for a shorter time"
                )
            self._used[submitter] = (jobs + 1, used + size)

    def give_back(self, submitter: str, size: int) -> None:
        """A job is no longer there."""
        self._add(submitter, -1, -size)

    def resize(self, submitter: str, before: int, after: int) -> None:
        """A job takes ``after`` bytes now."""
        self._add(submitter, 0, after - before)

    def _add(self, submitter: str, jobs: int, size: int) -> None:
        with self._lock:
            had_jobs, had_size = self._used.get(submitter, (0, 0))
            now = had_jobs + jobs, had_size + size
            if now[0] > 0:
                self._used[submitter] = now
            else:
                self._used.pop(submitter, None)


def _named(submitter: str) -> str:
    return f"submitter {submitter!r}" if submitter else "the application itself"
