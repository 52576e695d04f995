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
from contextvars import copy_context
from time import perf_counter
from typing import Any, ClassVar

from ...errors import ExecutorError, WorkerCrashedError
from ...metrics.tracing import current_trace
from ...metrics.worker_state import RunningStack, WorkerState
from ...options.capabilities import Capability
from ...options.pool import PoolOptions
from ...portable.calls import PackedCall
from ...portable.extras import pack_extras
from ...portable.heaviness import SlowError, TooLargeError
from ...portable.hooks import pack_hooks
from ...portable.packing import CallPacker
from ...portable.reloads import reload_watch
from ...portable.shared_memory.segments import Segment, Segments
from ...worker.breakpoint_words import BREAKPOINT
from ...worker.forks import when_forked
from ..base import Aside, Engine, Load, Pool
from ..call import Call
from .holding import log_breakpoint
from .job import Job, KeyedJob
from .pool import WorkerPool
from .records import handle_record

__all__ = ["ProcessEngine"]

_logger = logging.getLogger("genro_executor_plugin")

_KEEP_SECONDS = 10.0
"""How long shared memory is kept for the next large call."""


class _OtherLoopError(ExecutorError, RuntimeError):
    """The pool is in use on another event loop."""


class ProcessEngine(Engine):
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
        super().__init__(pool, options)
        self._segments = Segments()
        self._packer = CallPacker(self._segments, options.context)
        self._trim: asyncio.TimerHandle | None = None
        self._pool: WorkerPool | None = None
        self._hooks = pack_hooks(pool.name, options)
        self._restarts_before: dict[str, int] = {}
        self._reloads = reload_watch()
        self._reloads_seen = self._reloads.count
        self._ended = False
        when_forked(self.let_go)

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

    def pack(self, call: Call) -> Any:
        extras = None
        if call.streams or self.options.context or call.traced:
            extras = self._extras(call)
        try:
            packed = self._packer.pack(call.func, call.args, call.kwargs, call.cleanup, extras)
        except TooLargeError:
            return Aside.WHEN_ADMITTED
        except SlowError:
            return Aside.AT_ONCE
        pool = self._pool
        if (
            pool is None
            or pool.loop is not call.loop
            or self._reloads.count != self._reloads_seen
            or self._ended
        ):
            self._be_on_this_loop()
        return packed

    async def pack_aside(self, call: Call) -> PackedCall:
        pool, extras = self._be_on_this_loop(), self._extras(call)
        large = self._packer.aside(call.func, call.args, call.kwargs, call.cleanup, extras)
        writing = pool.arrivals.values.run(large.write)
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            # The thread still writes: the descriptor must stay its own until it is done.
            writing.add_done_callback(large.drop)
            raise
        finally:
            del writing  # it holds the error whose traceback holds this frame
        return large.packed()

    def _extras(self, call: Call) -> bytes | None:
        if not (call.streams or self.options.context or call.traced):
            return None
        trace = current_trace() if call.traced else {}
        return pack_extras(self.pool.name, self.options.context, trace, call.streams)

    async def run(self, call: Call, packed: PackedCall) -> Any:
        pool = self._pool
        if pool is None:
            self.discard(packed)
            raise self.pool.closed_error()
        asked, options, loop = call.options, self.options, pool.loop
        kind = Job if asked.key is None else KeyedJob
        job = call.handle = kind(
            packed,
            loop.create_future(),
            asked.timeout or options.timeout,
            asked.soft_timeout or options.soft_timeout,
            options.retries if asked.retries is None else asked.retries,
            options.on_cancel == "abandon" and not call.kill_on_cancel,
            asked.route,
            call,
        )
        call.context = copy_context()
        queued_at = perf_counter()
        alarm = None
        try:
            pool.submit(job)
            if call.deadline is not None and job.started_at is None:
                alarm = loop.call_at(call.deadline, self._give_up, job, call)
            return await job.future
        except BaseException:
            if not job.future.done() or job.future.cancelled():  # nobody waits for it any more
                pool.cancel(job)
            else:
                job.discard()
            job.let_go()
            raise
        finally:
            call.raised = job.raised
            call.begun = job.begun
            if call.on_message is not None:  # few calls have somebody who wants to know
                call.ran_by = job.ran_by
            call.handle = None  # or the two would wait for the garbage collector
            if packed.segment is not None:
                self._let_go(packed.segment, job, pool)
            if alarm is not None:
                alarm.cancel()
            if job.started_at is not None:
                call.waited = job.started_at - queued_at
                call.ran = perf_counter() - job.started_at

    def discard(self, packed: PackedCall) -> None:
        if packed.segment is not None:
            packed.segment.close()

    def _give_up(self, job: Job, call: Call) -> None:
        try:
            if job.begun or job.future.done() or self._pool is None:
                return
            if self._pool.withdraw(job):
                job.fail(self.pool.waited_too_long(call))
        except Exception as error:
            job.fail(error)  # the call has no limit any more

    def _let_go(self, segment: Segment, job: Job, pool: WorkerPool) -> None:
        if job.packed.segment is None:
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

    def _be_on_this_loop(self) -> WorkerPool:
        """Return the worker pool of the running event loop, made now if there is none."""
        if self._ended:
            raise self.pool.closed_error()
        loop = asyncio.get_running_loop()
        pool = self._pool
        if pool is not None and pool.loop is loop:
            if self._reloads.count != self._reloads_seen:
                names = ", ".join(self._reloads.since(self._reloads_seen))
                self._reloads_seen = self._reloads.count
                pool.renew(f"modules were imported anew ({names})")
            return pool
        if pool is not None:
            if not pool.loop.is_closed():
                raise _OtherLoopError(
                    f"pool {self.pool.name!r} is in use on another event loop; "
                    "give every event loop a pool of its own"
                )
            self._restarts_before = self.restarts
            pool.abandon()
            pool = self._pool = None
        if pool is None:
            self._reloads_seen = self._reloads.count
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

    def _record(self, job: Job | None, pid: int | None, packed: bytes | memoryview) -> None:
        """Handle a record or a warning of a worker, on the pool's thread for records."""
        handle_record(self.pool.name, job, pid, packed)

    def commit(self, call: Call) -> None:
        if isinstance(call.handle, Job):
            call.handle.retries = 0

    def tell(self, call: Call, channel: str, value: Any) -> bool:
        if self._pool is None or not isinstance(call.handle, Job):
            return False
        return self._pool.tell(call.handle, channel, value)

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
        await self._be_on_this_loop().warm()

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
