# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Worker processes: CPU-bound work, work that may crash, work that must be stoppable."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import copy_context
from time import perf_counter
from typing import Any, ClassVar

from ..engines.process.job import Job
from ..engines.process.pool import WorkerPool
from ..errors import SerializationError, WorkerCrashedError
from ..metrics.tracing import current_trace
from ..metrics.tracing import is_loaded as tracing_is_loaded
from ..metrics.worker_state import WorkerState
from ..options.capabilities import Capability
from ..options.pool import PoolOptions
from ..portable.extras import EXTRAS, pack_extras
from ..portable.hooks import pack_hooks
from ..portable.packing import CallPacker, PackedCall
from ..portable.pickling import why
from ..portable.shared_memory.segments import Segment, Segments
from ..worker.logs import (
    LOG,
    WARNING,
    arrived_record,
    show_warning,
)
from .base import BaseExecutor, Call, Message
from .inline import InlineExecutor

__all__ = ["ProcessExecutor"]

_KEEP_SECONDS = 10.0
"""How long shared memory is kept for the next large call."""


class ProcessExecutor(BaseExecutor):
    """A pool of worker processes, started when they are needed.

    A worker that dies fails only the call it ran; a run over its ``timeout`` is killed. The
    server itself is never forked.
    """

    kind: ClassVar[str] = "process"
    capabilities: ClassVar[frozenset[Capability]] = frozenset({Capability.PORTABLE})

    def __new__(cls, name: str, options: PoolOptions | None = None, **given: Any) -> Any:
        """A pool of processes, or what stands in for one that is bypassed."""
        options = options or PoolOptions.declare(name, cls.kind, given)
        if options.effective_bypass:
            return InlineExecutor(name, options, bypassed=options.effective_bypass)
        return super().__new__(cls)

    def __init__(self, name: str, options: PoolOptions | None = None, **given: Any) -> None:
        options = options or PoolOptions.declare(name, self.kind, given)
        super().__init__(name, options)
        self._segments = Segments()
        self._packer = CallPacker(self._segments)
        self._trim: asyncio.TimerHandle | None = None
        self._pool: WorkerPool | None = None
        self._hooks = pack_hooks(name, options)
        self._restarts_before: dict[str, int] = {}
        self.listen(LOG, self._logged)
        self.listen(WARNING, self._warned)
        self._ended = False

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that are up."""
        return self._pool.pids if self._pool is not None else []

    def _pack(self, call: Call) -> PackedCall:
        kwargs = call.kwargs
        if call.streams or self._options.context or tracing_is_loaded():
            trace = current_trace()
            extras = pack_extras(self._name, self._options.context, trace, call.streams)
            if extras is not None:
                kwargs = {**kwargs, EXTRAS: extras}
        return self._packer.pack(call.func, call.args, kwargs, call.cleanup)

    async def _execute(self, call: Call, packed: PackedCall) -> Any:
        try:
            pool = self._running_pool()
        except BaseException:
            self._give_up_on(packed)
            raise
        asked, options, loop = call.options, self._options, pool.loop
        job = call.handle = Job(
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
            if packed.segment is not None:
                await self._write(packed.segment, job, pool)
            pool.submit(job)
            if call.deadline is not None and job.started_at is None:
                alarm = loop.call_at(call.deadline, self._give_up, job, call)
            return await job.future
        except asyncio.CancelledError:
            pool.cancel(job)
            raise
        finally:
            call.raised = job.raised
            call.begun = job.begun
            call.handle = None  # or the two would wait for the garbage collector
            if packed.segment is not None:
                self._let_go(packed.segment, job, pool)
            if alarm is not None:
                alarm.cancel()
            if job.started_at is not None:
                self._ran(call, job.started_at - queued_at, perf_counter() - job.started_at)

    def _give_up_on(self, packed: PackedCall) -> None:
        if packed.segment is not None:
            packed.segment.close()

    def _give_up(self, job: Job, call: Call) -> None:
        if job.begun or job.future.done() or self._pool is None:
            return
        if self._pool.withdraw(job):
            job.fail(self._waited_too_long(call))

    async def _write(self, segment: Segment, job: Job, pool: WorkerPool) -> None:
        """Write large arguments that cannot change any more where workers read them."""
        writing = pool.copier.run(segment.finish)
        try:
            await asyncio.shield(writing)
        except OSError as error:
            raise SerializationError(
                f"the large arguments of {job.call.title} cannot be held in memory: {why(error)}"
            ) from error
        except asyncio.CancelledError:
            # The thread still writes: the descriptor must stay its own until it is done.
            held, job.call.segment = segment, None
            writing.add_done_callback(lambda _: held.close())
            raise

    def _let_go(self, segment: Segment, job: Job, pool: WorkerPool) -> None:
        if job.call.segment is None:
            return
        # A worker that has answered has read them; of another one nobody knows.
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

    def _running_pool(self) -> WorkerPool:
        if self._ended:
            raise self._closed_error()
        loop = asyncio.get_running_loop()
        pool = self._pool
        if pool is not None and pool.loop is loop:
            return pool
        if pool is not None:
            if not pool.loop.is_closed():
                raise RuntimeError(
                    f"pool {self._name!r} is in use on another event loop; "
                    "give every event loop a pool of its own"
                )
            self._restarts_before = self.restarts
            pool.abandon()
            pool = self._pool = None
        if pool is None:
            pool = self._pool = WorkerPool(self._name, self._options, self._hooks, self._arrived)
            if self._paused:
                pool.pause()
        return pool

    def _arrived(self, job: Job | None, pid: int | None, channel: str, value: Any) -> None:
        self._message(job.context if job is not None else None, pid, channel, value)

    def _logged(self, message: Message) -> None:
        call = message.call
        route = call.options.route if call is not None else None
        _in_context_of(call, arrived_record, message.value, message.pool, message.pid, route)

    def _warned(self, message: Message) -> None:
        _in_context_of(message.call, show_warning, message.value)

    def commit(self, call: Call) -> None:
        if isinstance(call.handle, Job):
            call.handle.retries = 0

    def tell(self, call: Call, channel: str, value: Any) -> bool:
        if self._pool is None or not isinstance(call.handle, Job):
            return False
        return self._pool.tell(call.handle, channel, value)

    async def _end(self) -> None:
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

    @property
    def unhealthy(self) -> str | None:
        reason = super().unhealthy
        if reason is None and self.start_error is not None:
            reason = str(self.start_error)
        if reason is None and self._options.warm:
            ready = self._pool.ready if self._pool is not None else 0
            if ready < self._options.max_workers:
                reason = f"{ready} of {self._options.max_workers} workers are up"
        return reason

    async def warm(self) -> None:
        """Start ``min_workers`` workers (``max_workers`` with ``warm=True``) and wait for them.

        Raises:
            WorkerCrashedError: a worker could not be started; the message has the reason.
        """
        await self._running_pool().warm()

    def resize(self, max_workers: int) -> None:
        """Have at most ``max_workers`` workers from now on. Nothing that runs is ended.

        Raises:
            ExecutorConfigError: not a whole number of at least 1, or below ``min_workers``.
        """
        self._options = self._options.resized(self._name, max_workers)
        if self._pool is not None:
            self._pool.resize(self._options.max_workers)

    async def restart(self) -> None:
        """Replace every worker between two of its calls; returns when the old ones are gone.

        Raises:
            WorkerCrashedError: no new worker can be started; the old ones go on working.
        """
        if self._pool is not None:
            await self._pool.restart()

    def kill_worker(self, pid: int) -> bool:
        """Kill the worker ``pid``; its calls fail with ``WorkerCrashedError``.

        Returns:
            ``False`` if this pool has no such worker.
        """
        return self._pool is not None and self._pool.kill_worker(pid)

    def worker_states(self) -> list[WorkerState]:
        return self._pool.worker_states() if self._pool is not None else []

    @property
    def restarts(self) -> dict[str, int]:
        now = self._pool.restarts if self._pool is not None else {}
        reasons = {*self._restarts_before, *now}
        return {
            reason: self._restarts_before.get(reason, 0) + now.get(reason, 0) for reason in reasons
        }

    def _pausing(self) -> None:
        if self._pool is not None:
            self._pool.pause() if self._paused else self._pool.resume()

    def _busy_now(self) -> int:
        return self._pool.busy if self._pool is not None else 0

    def _running_now(self) -> int:
        return self._pool.running if self._pool is not None else 0

    def _worker_count(self) -> int:
        return self._pool.size if self._pool is not None else 0


def _in_context_of(call: Call | None, func: Callable[..., None], *args: Any) -> None:
    """Call ``func`` with the caller's context variables, which handlers and filters may read."""
    if call is None or call.context is None:
        func(*args)
    else:
        call.context.run(func, *args)
