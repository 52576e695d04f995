# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Large values in shared memory, copied on threads so that the event loop is not held up.

The server's side of ``portable/shared_memory``: it reads large results, and writes what of large
arguments was left for later. It knows jobs, but neither the pool nor who runs what.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ...errors import SerializationError
from ...portable.pickling import why
from ...portable.shared_memory.reading import read_value, total_length
from .handover import Handover
from .job import Job

__all__ = ["LargeValueCopier"]

T = TypeVar("T")

_THREADS = 2

_AT_ONCE_BYTES = 512 * 1024
"""Up to this size a value is copied on the event loop's thread: another thread would cost more."""


class LargeValueCopier:
    """Reads results out of segments and writes arguments into them, for one pool."""

    def __init__(self, pool: str, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._threads: ThreadPoolExecutor | None = None

    def run(self, work: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """Run ``work(*args)`` on a thread."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, f"genro-executor-{self._pool}-copier")
        return self._loop.run_in_executor(self._threads, work, *args)

    def take_result(self, job: Job, handover: Handover, layout: bytes | memoryview) -> None:
        """Take a large result over from a worker, and settle ``job`` with it when it is read.

        Args:
            job: whose result it is.
            handover: where the worker has given the segment.
            layout: how the result lies in the segment.
        """
        try:
            fd, number = handover.take()
        except OSError as error:
            refusal = SerializationError(
                f"the result of {job.packed.title} cannot be taken over: {why(error)}"
            )
            refusal.__cause__ = error
            job.fail(refusal)
            return
        has_read = functools.partial(handover.has_read, number)
        if total_length(layout) <= _AT_ONCE_BYTES:
            job.settle(read_value, fd, layout)
            has_read()
            return
        reading = self.run(read_value, fd, bytes(layout))

        def done(reading: asyncio.Future[Any]) -> None:
            job.settle(reading.result)
            has_read()

        reading.add_done_callback(done)

    async def close(self) -> None:
        """End the threads as soon as they have finished what they do."""
        threads, self._threads = self._threads, None
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
