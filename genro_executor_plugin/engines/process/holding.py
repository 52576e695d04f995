# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls that are held at a breakpoint: no limit of their worker counts, and the log says how to
get at them.

A coroutine that is held holds up its event loop, and all of its neighbours; so the limits of every
call in the worker wait, and the worker is given no new ones. Being cancelled, a client that has
gone and the end of the pool end a call that is held as they end any other.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Any

from ...worker.breakpoint_words import ATTACHED, BREAKPOINT, HELD, PASSED, WAITS
from ..call import Call
from .job import Job
from .supervisor import Supervisor
from .worker import Worker

__all__ = ["Holding", "log_breakpoint"]

_logger = logging.getLogger("genro_executor_plugin")

_HOLDING = (WAITS, ATTACHED, HELD)


class Holding:
    """The workers of one pool with a call that is held at a breakpoint.

    Args:
        supervisor: the pool's workers.
        on_message: is told, on the channel ``BREAKPOINT``, what a call says, and ``True`` or
            ``False`` for each call whose limits wait or count again.
        freed: called with a worker whose limits count again.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        on_message: Callable[[Job | None, int | None, str, Any], None],
        freed: Callable[[Worker], None],
    ) -> None:
        self._supervisor = supervisor
        self._on_message = on_message
        self._freed = freed

    def arrived(self, worker: Worker, job: Job, said: tuple[str, str, str | float]) -> None:
        """Take in what ``job`` says of a breakpoint that it has reached."""
        if job.answered:
            return
        self._on_message(job, worker.pid, BREAKPOINT, said)
        if said[0] == PASSED and worker.held is not None and worker.held[0] is not job:
            return
        if said[0] in _HOLDING:
            self._hold(worker, job)
        else:
            self.release(worker)

    def _hold(self, worker: Worker, job: Job) -> None:
        if worker.held is None and job.ending is None:
            worker.held = job, perf_counter()
            self._supervisor.not_free(worker)
            self._tell(worker, True)

    def release(self, worker: Worker) -> None:
        """Have the limits of what runs in ``worker`` count again, without the time it was held."""
        if worker.held is None:
            return
        since, worker.held = worker.held[1], None
        now = perf_counter()
        for job in worker.running.values():
            if job.started_at is not None:
                job.started_at += now - max(since, job.started_at)
        self._tell(worker, False)
        self._freed(worker)

    def _tell(self, worker: Worker, is_held: bool) -> None:
        for job in worker.running.values():
            self._on_message(job, worker.pid, BREAKPOINT, is_held)


def log_breakpoint(
    call: Call, title: str, pool: str, pid: int | None, said: tuple[str, str, str | float]
) -> None:
    """Log what becomes of ``call`` at a breakpoint, and how to get at it."""
    word, place, detail = said
    path = call.options.path or call.options.route
    what = f"route {path!r}" if path else title
    if call.options.path:
        back = (
            f'server.configure_route("{call.options.path}", executor_disabled=True), or start the '
            "server with GENRO_EXECUTOR_BYPASS=1"
        )
    else:
        back = "start the server with GENRO_EXECUTOR_BYPASS=1"
    if word == WAITS:
        _logger.warning(
            "%s is at a breakpoint (%s) in worker %s of pool %r, and waits %g s for a debugger. "
            "Attach one: genro-executor debug %s. To run it in the server's process: %s",
            *(what, place, pid, pool, detail, pid, back),
        )
    elif word == ATTACHED:
        _logger.warning(
            "%s: a debugger is attached to worker %s of pool %r; the limits of its calls wait",
            *(what, pid, pool),
        )
    elif word == PASSED:
        _logger.warning(
            "%s goes on behind a breakpoint (%s) in worker %s of pool %r: %s. To run it in the "
            "server's process: %s",
            *(what, place, pid, pool, detail, back),
        )
