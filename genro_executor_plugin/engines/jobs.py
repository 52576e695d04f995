# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What engines do alike that send calls to workers: a call is packed, and becomes a job.

::

    pack     portable/packing.py: the call becomes bytes
    run      a Job, given to the pool of workers; its future is settled there
             at the call's deadline it is taken out of the queue
             a caller that was cancelled has it taken out, or its run ended

The pool of workers belongs to one event loop. What it does with a job is the kind's own matter.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from contextvars import copy_context
from time import perf_counter
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from ..metrics.tracing import current_trace
from ..options.pool import PoolOptions
from ..portable.calls import PackedCall
from ..portable.extras import pack_extras
from ..portable.heaviness import SlowError, TooLargeError
from ..portable.packing import CallPacker
from ..portable.shared_memory.segments import Segments
from ..worker.forks import when_forked
from .base import Aside, Engine, Pool
from .call import Call
from .process.arrivals import Arrivals
from .process.job import Job, KeyedJob
from .process.records import handle_record

__all__ = ["JobEngine", "JobPool"]


class JobPool(Protocol):
    """What runs the jobs of an engine: its workers, as one event loop has them.

    Attributes:
        loop: that event loop.
    """

    loop: asyncio.AbstractEventLoop

    @property
    def arrivals(self) -> Arrivals:
        """What comes from workers; its threads write large arguments, too."""

    def submit(self, job: Any) -> None:
        """Run ``job`` as soon as a worker is free, and settle it."""

    def withdraw(self, job: Any) -> bool:
        """Take ``job`` out of the queue; ``False`` if it is not there, because it begins."""

    def cancel(self, job: Any) -> None:
        """Take ``job``, whose caller does not wait any more, out of the queue, or end its run."""

    def tell(self, job: Any, channel: str, value: Any) -> bool:
        """Give the running ``job`` a message; ``False`` if it does not run (any more)."""


P = TypeVar("P", bound=JobPool)


class JobEngine(Engine, Generic[P]):
    """An engine whose calls are jobs of a pool of workers.

    A subclass has to write ``reach``, and everything that ``Engine`` has for workers.
    """

    job_type: ClassVar[type[Job]] = Job

    def __init__(self, pool: Pool, options: PoolOptions, segments: Segments | None = None) -> None:
        """Work for ``pool``.

        Args:
            pool: the pool.
            options: its options.
            segments: where large arguments are put; ``None`` packs them with the call.
        """
        super().__init__(pool, options)
        self._packer = CallPacker(segments, options.context)
        self._pool: P | None = None
        self._ended = False
        when_forked(self.let_go)

    def let_go(self) -> None:
        """Have no workers in a forked child of the server, which may have its own."""
        self._pool = None

    @abstractmethod
    async def reach(self) -> P:
        """Return the pool of workers of the running event loop, which may be made now.

        Raises:
            ExecutorError: there is none, and why.
        """

    # -- calls ------------------------------------------------------------------------------------

    def pack(self, call: Call) -> Any:
        extras = None
        if call.streams or self.options.context or call.traced:
            extras = self._extras(call)
        try:
            return self._packer.pack(call.func, call.args, call.kwargs, call.cleanup, extras)
        except TooLargeError:
            return Aside.WHEN_ADMITTED
        except SlowError:
            return Aside.AT_ONCE

    async def pack_aside(self, call: Call) -> PackedCall:
        pool, extras = await self.reach(), self._extras(call)
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

    def discard(self, packed: PackedCall) -> None:
        if packed.segment is not None:
            packed.segment.close()

    async def run(self, call: Call, packed: PackedCall) -> Any:
        pool = self._pool
        if pool is None or pool.loop is not call.loop:
            try:
                pool = await self.reach()
            except BaseException:
                call.begun = False
                self.discard(packed)
                raise
        asked, options, loop = call.options, self.options, pool.loop
        kind = self.job_type if asked.key is None else KeyedJob
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
                alarm = loop.call_at(call.deadline, self._give_up, pool, job, call)
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
                self._release(job, pool)
            if alarm is not None:
                alarm.cancel()
            if job.started_at is not None:
                call.waited = job.started_at - queued_at
                call.ran = perf_counter() - job.started_at

    def _give_up(self, pool: P, job: Job, call: Call) -> None:
        try:
            if not (job.begun or job.future.done()) and pool.withdraw(job):
                job.fail(self.pool.waited_too_long(call))
        except Exception as error:
            job.fail(error)  # the call has no limit any more

    def _release(self, job: Job, pool: P) -> None:
        """Let go of the large arguments of ``job``, which is over."""
        self.discard(job.packed)

    def commit(self, call: Call) -> None:
        if isinstance(call.handle, Job):
            call.handle.retries = 0

    def tell(self, call: Call, channel: str, value: Any) -> bool:
        if self._pool is None or not isinstance(call.handle, Job):
            return False
        return self._pool.tell(call.handle, channel, value)

    # -- what runs send ---------------------------------------------------------------------------

    def _arrived(self, job: Job | None, pid: int | None, channel: str, value: Any) -> None:
        """Hand on what ``job``, or code outside of any call, has sent."""
        self.pool.message(job.owner if job is not None else None, pid, channel, value)

    def _record(self, job: Job | None, pid: int | None, packed: bytes | memoryview) -> None:
        """Handle a record or a warning of a worker, on the pool's thread for records."""
        handle_record(self.pool.name, job, pid, packed)
