# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0
"""The errors that the calls of a worker end with when they do not end by themselves."""

from __future__ import annotations

from ...errors import ExecutorClosedError, ExecutorTimeoutError, WorkerCrashedError
from .exit_report import exit_words
from .job import Job
from .launcher import ExitReport
from .worker import Worker

__all__ = ["closed", "crashed", "killed", "timed_out"]


def crashed(pool: str, job: Job, worker: Worker, report: ExitReport) -> WorkerCrashedError:
    """``worker`` died while it ran ``job``."""
    error = WorkerCrashedError(
        f"the worker (pid {worker.pid}) died while it ran {job.call.title} in pool {pool!r}: "
        f"{exit_words(report, worker.memory)}",
        pool=pool,
        exit_code=report.exit_code,
        pid=worker.pid,
        peak_memory=report.peak_memory or None,
        last_memory=worker.memory,
    )
    if worker.fault:
        error.add_note(f"What the worker's faulthandler wrote:\n{worker.fault}")
    return error


def killed(pool: str, job: Job, worker: Worker, reason: str) -> WorkerCrashedError:
    """``worker`` was killed for a reason that is not ``job``'s."""
    return WorkerCrashedError(
        f"the worker (pid {worker.pid}) died while it ran {job.call.title} in pool {pool!r}: it "
        f"was killed because {reason}",
        pool=pool,
        pid=worker.pid,
    )


def timed_out(pool: str, job: Job, worker: Worker) -> ExecutorTimeoutError:
    """``job`` ran over its timeout."""
    return ExecutorTimeoutError(
        f"{job.call.title} ran longer than {job.timeout:g} s in pool {pool!r}; its worker (pid "
        f"{worker.pid}) was killed",
        pool=pool,
        timeout=job.timeout,
    )


def closed(pool: str, job: Job, when: str) -> ExecutorClosedError:
    """The pool was shut down before ``job`` was done."""
    return ExecutorClosedError(
        f"pool {pool!r} was shut down; {job.call.title} was ended {when}", pool=pool
    )
