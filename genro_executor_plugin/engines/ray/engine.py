# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The engine of pools whose calls run on a Ray cluster."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import copy_context
from time import perf_counter
from typing import Any, ClassVar

from ...errors import WorkerCrashedError
from ...metrics.tracing import current_trace
from ...metrics.worker_state import WorkerState
from ...options.capabilities import Capability
from ...options.kinds import EngineOption
from ...options.pool import PoolOptions
from ...portable.calls import PackedCall
from ...portable.extras import pack_extras
from ...portable.heaviness import SlowError, TooLargeError
from ...portable.hooks import pack_hooks
from ...portable.packing import CallPacker
from ...worker.forks import when_forked
from ..base import Aside, Engine, Load, Pool
from ..call import Call
from ..process.job import Job
from ..process.records import handle_record
from .connection import RAY
from .options import OWN_OPTIONS
from .pool import RayPool
from .stored import StoredSegments
from .worker import RayWorker

__all__ = ["RayEngine"]


class RayEngine(Engine):
    """Runs calls in actors on a Ray cluster."""

    name = "ray"
    default_workers: ClassVar[int | None] = None
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {
            Capability.CONNECTS,
            Capability.CONTEXT,
            Capability.INITIALIZES,
            Capability.ISOLATES,
            Capability.KILLS,
            Capability.PAUSES,
            Capability.PORTABLE,
            Capability.PRELOADS,
            Capability.RESIZES,
            Capability.STREAMS,
            Capability.WORKERS,
        }
    )
    own_options: ClassVar[Mapping[str, EngineOption]] = OWN_OPTIONS

    def __init__(self, pool: Pool, options: PoolOptions) -> None:
        super().__init__(pool, options)
        self._packer = CallPacker(StoredSegments(), options.context)
        self._hooks = pack_hooks(pool.name, options)
        self._pool: RayPool | None = None
        self._opening: asyncio.Task[RayPool] | None = None
        self._restarts_before: dict[str, int] = {}
        self._ended = False
        when_forked(self.let_go)

    def let_go(self) -> None:
        """Have no workers in a forked child of the server."""
        self._pool = self._opening = None

    # -- calls ------------------------------------------------------------------------------------

    def pack(self, call: Call) -> Any:
        extras = self._extras(call)
        try:
            return self._packer.pack(call.func, call.args, call.kwargs, call.cleanup, extras)
        except TooLargeError:
            return Aside.WHEN_ADMITTED
        except SlowError:
            return Aside.AT_ONCE

    async def pack_aside(self, call: Call) -> PackedCall:
        pool, extras = await self._reach(), self._extras(call)
        large = self._packer.aside(call.func, call.args, call.kwargs, call.cleanup, extras)
        writing = pool.arrivals.values.run(large.write)
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            writing.add_done_callback(large.drop)  # the thread still writes
            raise
        finally:
            del writing  # it holds the error whose traceback holds this frame
        return large.packed()

    def _extras(self, call: Call) -> bytes | None:
        if not (call.streams or self.options.context or call.traced):
            return None
        trace = current_trace() if call.traced else {}
        return pack_extras(self.pool.name, self.options.context, trace, call.streams)

    def discard(self, packed: PackedCall) -> None:
        if packed.segment is not None:
            packed.segment.close()

    async def run(self, call: Call, packed: PackedCall) -> Any:
        pool = self._pool
        if pool is None or pool.loop is not asyncio.get_running_loop():
            call.begun = False
            try:
                pool = await self._reach()
            except BaseException:
                self.discard(packed)
                raise
        asked, options = call.options, self.options
        job = call.handle = Job(
            packed,
            pool.loop.create_future(),
            asked.timeout or options.timeout,
            None,
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
                alarm = pool.loop.call_at(call.deadline, self._give_up, job, call)
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
            self.discard(packed)
            if alarm is not None:
                alarm.cancel()
            if job.started_at is not None:
                call.waited = job.started_at - queued_at
                call.ran = perf_counter() - job.started_at

    def _give_up(self, job: Job, call: Call) -> None:
        try:
            if job.begun or job.future.done() or self._pool is None:
                return
            if self._pool.withdraw(job):
                job.fail(self.pool.waited_too_long(call))
        except Exception as error:
            job.fail(error)  # the call has no limit any more

    async def _reach(self) -> RayPool:
        """The pool of the running event loop, which is connected to Ray.

        Raises:
            ExecutorError: Ray cannot be reached, or is not installed.
        """
        if self._ended:
            raise self.pool.closed_error()
        loop = asyncio.get_running_loop()
        if self._pool is not None and self._pool.loop is loop:
            return self._pool
        if self._opening is None or self._opening.get_loop() is not loop:
            self._opening = loop.create_task(self._open())
        return await asyncio.shield(self._opening)

    async def _open(self) -> RayPool:
        self._restarts_before, before, self._pool = self.restarts, self._pool, None
        try:
            entering = asyncio.create_task(
                asyncio.to_thread(RAY.enter, self.pool.name, self.options.own["address"])
            )
            try:
                await asyncio.shield(entering)
            except asyncio.CancelledError:
                await asyncio.wait({entering})  # a thread cannot be ended
                if entering.exception() is None:
                    await asyncio.to_thread(RAY.leave)
                raise
            if before is not None:
                await asyncio.to_thread(before.abandon)
        finally:
            self._opening = None
        self._pool = RayPool(self.pool, self.options, self._hooks, self._arrived, self._record)
        return self._pool

    # -- what runs send ---------------------------------------------------------------------------

    def _arrived(self, job: Job, pid: int | None, channel: str, value: Any) -> None:
        self.pool.message(job.owner, pid, channel, value)

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

    # -- workers ----------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect, and start the workers that are to be kept.

        Raises:
            ExecutorError: Ray cannot be reached, or is not installed.
            WorkerCrashedError: a worker could not be started.
        """
        await (await self._reach()).warm()

    async def restart(self) -> None:
        if self._pool is not None:
            await self._pool.workers.replace_all()

    def kill_worker(self, pid: int) -> bool:
        return self._pool is not None and self._pool.kill_worker(pid)

    @property
    def start_error(self) -> WorkerCrashedError | None:
        """Why no worker could be started the last time; ``None`` if one could."""
        return self._pool.workers.start_error if self._pool is not None else None

    @property
    def restarts(self) -> dict[str, int]:
        found = dict(self._restarts_before)
        for reason, number in (self._pool.workers.restarts if self._pool else {}).items():
            found[reason] = found.get(reason, 0) + number
        return found

    def load(self) -> Load:
        pool = self._pool
        if pool is None:
            return Load(0, 0, 0)
        return Load(pool.running, pool.running, len(pool.workers.all))

    def workers(self) -> list[WorkerState]:
        return [_state(worker) for worker in (self._pool.workers.all if self._pool else ())]

    def trouble(self) -> str | None:
        pool = self._pool
        if pool is None or any(worker.ready for worker in pool.workers.all):
            return None
        if pool.workers.start_error is not None:
            return str(pool.workers.start_error)
        if pool.workers.starting:
            return "its workers are being started, or wait for room on the cluster"
        return "none of its workers is up" if self.options.warm else None

    def set_paused(self, paused: bool) -> None:
        if self._pool is not None:
            self._pool.set_paused(paused)

    def resize(self) -> None:
        if self._pool is not None:
            self._pool.resize(self.options)

    async def close(self) -> None:
        self._ended = True
        opening, self._opening = self._opening, None
        here = asyncio.get_running_loop()
        if opening is not None and opening.get_loop() is here:
            opening.cancel()
            await asyncio.gather(opening, return_exceptions=True)
        self._restarts_before, pool = self.restarts, self._pool
        self._pool = None
        if pool is not None and pool.loop is here:
            await pool.close()
        elif pool is not None:
            await asyncio.to_thread(pool.abandon)


def _state(worker: RayWorker) -> WorkerState:
    job = worker.job
    began = job.started_at if job is not None else None
    up = "leaving" if worker.leaving else "busy" if job is not None else "idle"
    return WorkerState(
        pid=worker.pid,
        state=up if worker.pid is not None else "starting",
        route=job.route if job is not None else None,
        function=job.packed.title if job is not None else None,
        running_seconds=perf_counter() - began if began is not None else 0.0,
        running=int(job is not None),
        calls=worker.calls,
        host=worker.host,
        version=worker.version or None,
        places=1,
    )
