# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A call that answers in chunks: the side of the one who takes them."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, Protocol

from ..engines.call import Call
from ..errors import ExecutorTimeoutError
from ..options.capabilities import Capability
from ..options.pool import PoolOptions
from ..portable.files import discard_result
from ..portable.references import describe
from ..worker.streaming import STREAM, Chunk, Head

__all__ = ["CallStream"]

LEAVE_SECONDS = 5.0
"""How long a function whose stream was closed has to come to its next chunk."""


class Runner(Protocol):
    """What a stream needs of its pool."""

    @property
    def name(self) -> str: ...

    @property
    def pool_options(self) -> PoolOptions: ...

    @property
    def capabilities(self) -> frozenset[Capability]: ...

    async def run(self, call: Call) -> Any: ...

    def tell(self, call: Call, channel: str, value: Any) -> bool: ...

    def commit(self, call: Call) -> None: ...


class CallStream:
    """Runs a call and gives its chunks one by one; ``aclose`` ends it wherever it stands.

    The call runs in a task of its own, admitted, limited and counted as any other. It is ahead of
    the consumer of its chunks by a bounded number only.

    Attributes:
        send_timeout: seconds that who is sent the chunks may take to read one, ``None`` for ever.
    """

    def __init__(self, executor: Runner, call: Call) -> None:
        call.streams = Capability.STREAMS in executor.capabilities
        self._others = call.on_message
        call.on_message = self._arrived
        self._executor = executor
        self._call = call
        self._handle: Any = None
        self._chunks: deque[Chunk] = deque()
        self._changed = asyncio.Event()
        self._idle = call.options.idle or executor.pool_options.idle
        self.send_timeout: float | None = (
            call.options.send_timeout or executor.pool_options.send_timeout
        )
        self._head: Head | None = None
        self._task = asyncio.create_task(executor.run(call))
        self._task.add_done_callback(self._ended)

    # -- what comes from the run ----------------------------------------------------------------

    def _arrived(self, channel: str, value: Any) -> None:
        if channel != STREAM:
            if self._others is not None:
                self._others(channel, value)
            return
        if self._handle is None:
            self._executor.commit(self._call)  # a run that is repeated would begin its chunks anew
        self._handle = self._call.handle
        if isinstance(value, Head):
            self._head = value
        else:
            self._chunks.append(value)
        self._changed.set()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._changed.set()
        if task.cancelled() or task.exception() is not None:
            self._tell_left()  # a thread may still wait for a chunk to be taken, and none will be

    # -- what the taker asks ----------------------------------------------------------------------

    async def head(self) -> Head | None:
        """How the stream begins; ``None`` if the call has answered with a plain result.

        Raises:
            Exception: what the call raised before there was anything to take.
        """
        try:
            while self._head is None and not self._task.done():
                await self._wait(None)  # it may wait in the queue: that is not the function's time
        except BaseException:
            await self.aclose()
            if not self._task.cancelled() and self._task.exception() is None:
                discard_result(self._task.result())  # it came too late for anyone to take it
            raise
        if self._head is None:
            self._task.result()
        return self._head

    def result(self) -> Any:
        """The plain result, where ``head`` has told that there is one."""
        return self._task.result()

    def __aiter__(self) -> CallStream:
        return self

    async def __anext__(self) -> Any:
        while not self._chunks:
            if self._task.done():
                self._task.result()
                raise StopAsyncIteration
            await self._wait(self._idle)
        chunk = self._chunks.popleft()
        self._executor.tell(self._call, STREAM, chunk.size)
        return chunk.value

    async def _wait(self, idle: float | None) -> None:
        self._changed.clear()
        while not self._changed.is_set():
            try:
                async with asyncio.timeout(idle):
                    await self._changed.wait()
            except TimeoutError:
                if self._changed.is_set() or self._call.held:
                    continue  # the time at a breakpoint does not count
                await self._end_now()
                pool = self._executor.name
                raise ExecutorTimeoutError(
                    f"{describe(self._call.func)} sent nothing for {idle:g} s in pool {pool!r}; "
                    "it was ended",
                    pool=pool,
                    route=self._call.options.route,
                    timeout=idle,
                ) from None

    async def aclose(self) -> None:
        """End the run: its generator is closed, its worker killed if it does not come to that."""
        if not self._task.done() and self._tell_left():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({self._task}, timeout=LEAVE_SECONDS)
        await self._end_now()

    async def _end_now(self) -> None:
        self._tell_left()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def abandon(self) -> None:
        """End the run without waiting for it: the stream is not used. Any thread may call it."""
        if not self._task.done():
            with suppress(RuntimeError):  # its event loop is closed, and the run with it
                self._task.get_loop().call_soon_threadsafe(self._leave)

    def _leave(self) -> None:
        leaving = asyncio.ensure_future(self.aclose())
        self._task.add_done_callback(lambda _: leaving)  # asyncio holds tasks weakly only

    def _tell_left(self) -> bool:
        handle, self._call.handle = self._call.handle, self._call.handle or self._handle
        try:
            return self._executor.tell(self._call, STREAM, None)
        finally:
            self._call.handle = handle
