# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0
"""Copies large values on threads of their own: the event loop goes on meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from ...portable.shared_memory.reading import read_value, total_length
from .job import Job

__all__ = ["LargeValueCopier"]

T = TypeVar("T")

_THREADS = 2

_AT_ONCE_BYTES = 512 * 1024
"""Up to this size a value is copied where one stands: a thread would cost more."""


class LargeValueCopier:
    """Reads results out of segments and writes arguments into them, for one pool."""

    def __init__(self, pool: str, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop
        self._threads: ThreadPoolExecutor | None = None

    def run(self, work: Callable[..., T], *args: Any) -> asyncio.Future[T]:
        """``work(*args)`` on a thread."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(_THREADS, f"genro-executor-{self._pool}-copier")
        return self._loop.run_in_executor(self._threads, work, *args)

    def deliver(
        self, job: Job, fd: int, layout: bytes | memoryview, has_read: Callable[[], None]
    ) -> None:
        """Settle ``job`` with the value in segment ``fd``; then say that it was read."""
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
        """End the threads, when what they do is done."""
        threads, self._threads = self._threads, None
        if threads is not None:
            await asyncio.to_thread(threads.shutdown)
