# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Worker processes: CPU-bound work, work that may crash, work that must be stoppable.

::

    server                                             worker process
    ------                                             --------------
    pack    portable/packing.py: a call becomes bytes
    run     a Job, into engines/process/pool.py
              a free worker, or the queue
              engines/process/worker.py  -- socket ->  engines/process/child.py
                                                       worker/reading.py: bytes become a call
                                                       the handler runs
    message   progress, chunks               <-------  worker/running.py
    record    log records, on a thread       <-------  worker/logs.py
              the job's future is settled    <-------  portable/results.py, exceptions.py

Large values cross in shared memory beside the socket (portable/shared_memory/).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar

from ...errors import ExecutorError, WorkerCrashedError
from ...metrics.profiles import ProfileTarget, WorkerProfile
from ...metrics.worker_state import RunningStack, WorkerState
from ...options.capabilities import Capability
from ...options.pool import PoolOptions
from ...portable.hooks import pack_hooks
from ...portable.reloads import reload_watch
from ...portable.shared_memory.segments import Segments
from ...worker.breakpoint_words import BREAKPOINT
from ..base import Load, Pool
from ..jobs import JobEngine
from .holding import log_breakpoint
from .job import Job
from .pool import WorkerPool

__all__ = ["ProcessEngine"]

_logger = logging.getLogger("genro_executor_plugin")

_KEEP_SECONDS = 10.0
"""How long shared memory is kept for the next large call."""


class _OtherLoopError(ExecutorError, RuntimeError):
    """The pool is in use on another event loop."""


class ProcessEngine(JobEngine[WorkerPool]):
    """Runs calls in worker processes, which are started when they are needed."""

    name = "process"
    default_workers: ClassVar[int | None] = None
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.KILLS,
            Capability.INTERRUPTS,
            Capability.ISOLATES,
            Capability.KEYS,
            Capability.PORTABLE,
            Capability.PAUSES,
            Capability.PROFILES,
            Capability.RESIZES,
            Capability.PROCESSES,
            Capability.PRELOADS,
            Capability.WORKERS,
            Capability.RECYCLES,
            Capability.INITIALIZES,
            Capability.CONTEXT,
            Capability.STREAMS,
        }
    )

    def __init__(self, pool: Pool, options: PoolOptions) -> None:
        self._segments = Segments()
        super().__init__(pool, options, self._segments)
        self._trim: asyncio.TimerHandle | None = None
        self._hooks = pack_hooks(pool.name, options)
        self._restarts_before: dict[str, int] = {}
        reload_watch()

    def let_go(self) -> None:
        """Have no workers in a forked child of the server, which may start its own."""
        pool, self._pool, self._trim = self._pool, None, None
        self._segments.close()
        if pool is not None:
            pool.let_go()

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that are up."""
        return self._pool.pids if self._pool is not None else []

    def _release(self, job: Job, pool: WorkerPool) -> None:
        segment = job.packed.segment
        if segment is None:
            return
        # A worker that has answered has read them; any other one may still do so.
        if job.answered and not self._ended:
            self._segments.release(segment)
            self._trim_later(pool.loop)
        else:
            segment.close()

    def _trim_later(self, loop: asyncio.AbstractEventLoop) -> None:
        """Give memory back that no large call has used for a while."""
        if self._trim is not None:
            self._trim.cancel()
        self._trim = loop.call_later(_KEEP_SECONDS, self._segments.close)

    async def reach(self) -> WorkerPool:
        if self._ended:
            raise self.pool.closed_error()
        loop = asyncio.get_running_loop()
        pool = self._pool
        if pool is not None and pool.loop is loop:
            return pool
        if pool is not None:
            if not pool.loop.is_closed():
                raise _OtherLoopError(
                    f"pool {self.pool.name!r} is in use on another event loop; "
                    "give every event loop a pool of its own"
                )
            self._restarts_before = self.restarts
            pool.abandon()
        pool = self._pool = WorkerPool(
            *(self.pool.name, self.options, self._hooks, self._arrived, self._record)
        )
        if self.pool.paused:
            pool.pause()
        return pool

    def _arrived(self, job: Job | None, pid: int | None, channel: str, value: Any) -> None:
        if channel == BREAKPOINT and job is not None:
            if isinstance(value, bool):
                job.owner.held = value
            else:
                log_breakpoint(job.owner, job.packed.title, self.pool.name, pid, value)
            return
        self.pool.message(job.owner if job is not None else None, pid, channel, value)

    async def close(self) -> None:
        pool, self._ended = self._pool, True
        if pool is None:
            return
        if pool.loop.is_closed():
            pool.abandon()
        else:
            await pool.close()
        self._restarts_before = self.restarts
        self._pool = None
        self._segments.close()
        if self._trim is not None:
            self._trim.cancel()

    @property
    def start_error(self) -> WorkerCrashedError | None:
        """Why no worker can be started just now; ``None`` while the pool is healthy."""
        return self._pool.start_error if self._pool is not None else None

    def trouble(self) -> str | None:
        # Whether a call can be served, and not whether all workers are up: one that is replaced
        # is no reason to send calls elsewhere.
        if self._pool is not None and self._pool.ready:
            return None
        if self.start_error is not None:
            return str(self.start_error)
        return "none of its workers is up" if self.options.warm else None

    async def start(self) -> None:
        await (await self.reach()).warm()

    def resize(self) -> None:
        if self._pool is not None:
            self._pool.resize(self.options.max_workers)

    async def restart(self) -> None:
        if self._pool is not None:
            await self._pool.restart()

    def kill_worker(self, pid: int) -> bool:
        return self._pool is not None and self._pool.kill_worker(pid)

    async def stacks(self, pid: int | None = None) -> list[RunningStack]:
        return await self._pool.stacks(pid) if self._pool is not None else []

    async def profile(
        self, target: ProfileTarget, seconds: float, rate: int
    ) -> list[WorkerProfile]:
        known_as = self._packer.known_as(target.func)
        pool = await self.reach()
        return await pool.profile(known_as, seconds, rate)

    def workers(self) -> list[WorkerState]:
        return self._pool.worker_states() if self._pool is not None else []

    @property
    def restarts(self) -> dict[str, int]:
        now = self._pool.restarts if self._pool is not None else {}
        reasons = {*self._restarts_before, *now}
        return {
            reason: self._restarts_before.get(reason, 0) + now.get(reason, 0) for reason in reasons
        }

    def set_paused(self, paused: bool) -> None:
        if self._pool is not None:
            self._pool.pause() if paused else self._pool.resume()

    def load(self) -> Load:
        pool = self._pool
        return Load(0, 0, 0) if pool is None else Load(pool.running, pool.busy, pool.size)
