# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Worker processes: CPU-bound work, work that may crash, work that must be stoppable."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any, ClassVar

from ..calls import CallPacker, PackedCall, pack_initializer
from ..errors import WorkerCrashedError
from ..options import PoolOptions
from ..workers.job import Job
from ..workers.pool import WorkerPool
from .base import BaseExecutor, Call
from .inline import InlineExecutor

__all__ = ["ProcessExecutor"]


class ProcessExecutor(BaseExecutor):
    """A pool of worker processes, started when they are needed.

    A worker that dies fails only the call it ran; a run over its ``timeout`` is killed. The
    server itself is never forked.
    """

    kind: ClassVar[str] = "process"

    def __new__(cls, name: str, options: PoolOptions | None = None, **given: Any) -> Any:
        """A pool of processes, or what stands in for one that is bypassed."""
        options = options or PoolOptions.declare(name, cls.kind, given)
        if options.effective_bypass:
            return InlineExecutor(name, options, bypassed=options.effective_bypass)
        return super().__new__(cls)

    def __init__(self, name: str, options: PoolOptions | None = None, **given: Any) -> None:
        options = options or PoolOptions.declare(name, self.kind, given)
        super().__init__(name, options)
        self._packer = CallPacker()
        self._pool: WorkerPool | None = None
        self._initializer = pack_initializer(name, options)
        self._restarts_before = 0
        self._ended = False

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that are up."""
        return self._pool.pids if self._pool is not None else []

    def _pack(self, call: Call) -> PackedCall:
        return self._packer.pack(call.func, call.args, call.kwargs, call.cleanup)

    async def _execute(self, call: Call, packed: PackedCall) -> Any:
        pool = self._running_pool()
        loop = pool.loop
        job = Job(
            packed,
            loop.create_future(),
            timeout=call.options.timeout or self._options.timeout,
            soft_timeout=call.options.soft_timeout or self._options.soft_timeout,
            retries=self._options.retries if call.options.retries is None else call.options.retries,
            abandon=self._options.on_cancel == "abandon",
            route=call.options.route,
            context=call,
        )
        call.handle = job
        queued_at = perf_counter()
        pool.submit(job)
        alarm = None
        if call.deadline is not None and job.started_at is None:
            alarm = loop.call_at(call.deadline, self._give_up, job, call)
        try:
            return await job.future
        except asyncio.CancelledError:
            pool.cancel(job)
            raise
        finally:
            call.raised = job.raised
            call.handle = None  # or the two would wait for the garbage collector
            if alarm is not None:
                alarm.cancel()
            if job.started_at is not None:
                self._ran(job.started_at - queued_at, perf_counter() - job.started_at)

    def _give_up(self, job: Job, call: Call) -> None:
        if job.begun or job.future.done() or self._pool is None:
            return
        if self._pool.withdraw(job):
            job.fail(self._waited_too_long(call))

    def _running_pool(self) -> WorkerPool:
        if self._ended:
            raise self._closed_error()
        loop = asyncio.get_running_loop()
        pool = self._pool
        if pool is not None and pool.loop is not loop:
            if not pool.loop.is_closed():
                raise RuntimeError(
                    f"pool {self._name!r} is in use on another event loop; "
                    "give every event loop a pool of its own"
                )
            self._restarts_before += sum(pool.restarts.values())
            pool.abandon()
            pool = None
        if pool is None:
            pool = self._pool = WorkerPool(
                self._name, self._options, self._initializer, self._arrived
            )
        return pool

    def _arrived(self, job: Job | None, pid: int | None, channel: str, value: Any) -> None:
        self._message(job.context if job is not None else None, pid, channel, value)

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
        self._restarts_before += sum(pool.restarts.values())
        self._pool = None

    @property
    def start_error(self) -> WorkerCrashedError | None:
        """Why no worker can be started just now; ``None`` while the pool is healthy."""
        return self._pool.start_error if self._pool is not None else None

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

    def _busy_now(self) -> int:
        return self._pool.busy if self._pool is not None else 0

    def _running_now(self) -> int:
        return self._pool.running if self._pool is not None else 0

    def _worker_count(self) -> int:
        return self._pool.size if self._pool is not None else 0

    def _restarts(self) -> int:
        now = sum(self._pool.restarts.values()) if self._pool is not None else 0
        return self._restarts_before + now
