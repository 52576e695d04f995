# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a worker tells the pool that owns it."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from .exit_report import ExitReport
from .job import Job

__all__ = ["WorkerOwner"]


W = TypeVar("W", contravariant=True)


class WorkerOwner(Protocol[W]):
    """The pool that owns a worker, and what the worker tells it.

    Attributes:
        closing: whether it has begun to end.
    """

    closing: bool

    def worker_started(self, worker: W) -> None:
        """``worker`` is up and can take its first call."""

    def unclaimed(self, worker: W, job: Job) -> None:
        """``worker`` does not run ``job``, which it was sent ahead: its token got lost."""

    def run_begins(self, job: Job) -> None:
        """``job``, which was sent ahead, is taken to run now."""

    def judged(self, worker: W, job: Job, error: BaseException) -> BaseException:
        """What the caller of ``job`` is given for ``error``, which it has raised in ``worker``."""

    def job_done(self, worker: W, job: Job) -> None:
        """``worker`` has settled ``job``, or has all that is needed to settle it."""

    def freed(self, worker: W) -> None:
        """``worker`` may be able to take a call, though no call of it is done."""

    def message(self, worker: W, job: Job | None, channel: str, value: Any) -> None:
        """``job``, or code outside of any call (``None``), has sent ``value``."""

    def worker_ended(self, worker: W, report: ExitReport) -> None:
        """``worker`` is gone; its unfinished jobs are still in its attributes."""
