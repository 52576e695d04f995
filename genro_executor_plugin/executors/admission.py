# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Which calls a pool admits: ``max_pending`` at most; some more wait, the others are refused."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from ..engines.call import Call
from ..errors import ExecutorClosedError, ExecutorOverloadError
from ..metrics.counters import PoolMetrics
from ..options.pool import PoolOptions
from .turns import Turn, Turns

__all__ = ["Admission"]


class Admission:
    """Counts the calls that are admitted, and admits those that wait, first come, first served.

    Attributes:
        options: the pool's options in force.
        admitted: how many calls are admitted and not finished, running ones included.
        closed: whether no call is admitted any more.
        draining: whether no new call is admitted until the pool is resumed.
    """

    __slots__ = (
        "_changed",
        "_counters",
        "_name",
        "_places",
        "_turns",
        "_waiting",
        "admitted",
        "closed",
        "draining",
        "options",
    )

    def __init__(self, name: str, options: PoolOptions, counters: PoolMetrics) -> None:
        self._name = name
        self._counters = counters
        self._places = options.max_pending
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._turns: Turns | None = None  # made by the first call that has a key
        self._changed: asyncio.Event | None = None  # made by the first one who waits for it
        self.options: PoolOptions = options
        self.admitted: int = 0
        self.closed: bool = False
        self.draining: bool = False

    def of_key(self, call: Call) -> Turn:
        """What admits ``call``, which has a key, in the place of this."""
        if self._turns is None:
            self._turns = Turns(self)
        return self._turns.of(call)

    def admit(self, call: Call) -> bool:
        """Take a place for ``call`` if there is one; ``False`` if it has to ``wait`` for it.

        It also notes on ``call`` until when its run must have begun.

        Raises:
            ExecutorClosedError: the pool is shut down.
            ExecutorOverloadError: the pool is draining, or full while the call must not wait.
        """
        limit = call.options.queue_timeout or self.options.queue_timeout
        if limit is not None:
            call.deadline = asyncio.get_running_loop().time() + limit
        if self._waiting or self.admitted >= self._places or self.closed or self.draining:
            self._refuse(call)
            return False
        self.admitted += 1
        return True

    def _refuse(self, call: Call) -> None:
        """Raise what ``call`` is refused with; return if it may wait for a place instead."""
        if self.closed:
            raise self.closed_error()
        if self.draining:
            raise self._overload(
                "is drained: it takes no new calls until it is resumed", "draining"
            )
        if self._must_not_wait(call):
            raise self._overload(f"has {self.admitted} calls, its max_pending", "full")
        asked = call.options.max_waiting
        places = self.options.places_to_wait if asked is None else asked
        if self.waiting >= places:
            raise self._overload(
                f"has {self.admitted} calls, its max_pending, and {self.waiting} more wait; "
                f"max_waiting is {places}",
                "waiting",
            )

    def _must_not_wait(self, call: Call) -> bool:
        return (call.options.on_overload or self.options.on_overload) == "fail"

    def must_wait(self, call: Call, room: int, why: Callable[[], str]) -> None:
        """Return if ``call`` may wait for the turn of its key.

        It also notes on ``call`` until when its run must have begun.

        Args:
            call: a call with a key, whose turn has not come.
            room: how many more may wait.
            why: says how many calls are before it.

        Raises:
            ExecutorClosedError: the pool is shut down.
            ExecutorOverloadError: there is no room, or the call must not wait.
        """
        limit = call.options.queue_timeout or self.options.queue_timeout
        if limit is not None:
            call.deadline = asyncio.get_running_loop().time() + limit
        if self._must_not_wait(call) and not (self.closed or self.draining):
            raise self._overload(why(), "full")
        self._refuse(call)
        if room <= 0:
            raise self._overload(why(), "waiting")

    def take(self) -> bool:
        """Take a place if there is one that nobody waits for."""
        if self._waiting or self.admitted >= self._places or self.closed:
            return False
        self.admitted += 1
        return True

    @property
    def waiting(self) -> int:
        """How many calls wait for a place, or for the turn of their key."""
        return len(self._waiting) + (self._turns.waiting if self._turns is not None else 0)

    async def wait(self, call: Call) -> None:
        """Wait until there is a place for ``call``, and take it.

        Raises:
            ExecutorOverloadError: there was none before the call's deadline.
            ExecutorClosedError: the pool was shut down meanwhile.
        """
        if self.closed:  # since it was admitted: what is large was packed meanwhile
            raise self.closed_error()
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout_at(call.deadline):
                await waiter
        except BaseException as error:
            self._give_back(waiter)
            if isinstance(error, TimeoutError):
                raise self.waited_too_long(call) from None
            raise

    def _give_back(self, waiter: asyncio.Future[None]) -> None:
        """Hand on a place that was given to a caller who no longer wants it."""
        if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
            self.leave()
        else:
            with suppress(ValueError):
                self._waiting.remove(waiter)
            if self._changed is not None:
                self._changed.set()

    def leave(self) -> None:
        """Give the place of a call that has finished to the next one that waits."""
        self.admitted -= 1
        if not self.closed:
            while self._waiting and self.admitted < self._places:
                waiter = self._waiting.popleft()
                if not waiter.done():
                    self.admitted += 1
                    waiter.set_result(None)
        if not self.admitted and self._changed is not None:
            self._changed.set()

    def close(self) -> None:
        """Admit nothing any more; every call that waits ends with ``ExecutorClosedError``."""
        self.closed = True
        for waiter in self._waiting:
            if not waiter.done():
                waiter.set_exception(self.closed_error())
        if self._turns is not None:
            self._turns.close(self.closed_error)

    def look(self) -> None:
        """Have those who wait in ``empty`` look again: a call waits no more."""
        if self._changed is not None:
            self._changed.set()

    async def empty(self) -> None:
        """Wait until no call is admitted; while draining, until none waits either."""
        if self._changed is None:
            self._changed = asyncio.Event()
        while self.admitted or (self.waiting and not self.closed):
            self._changed.clear()
            await self._changed.wait()

    # -- errors of calls that are not admitted ------------------------------------------------

    def waited_too_long(self, call: Call) -> ExecutorOverloadError:
        """Return the error of a call whose run did not begin in time."""
        limit = call.options.queue_timeout or self.options.queue_timeout
        within = "in time" if limit is None else f"within its queue_timeout of {limit:g} s"
        return self._overload(f"did not begin the call {within}", "queue_timeout")

    def closed_error(self) -> ExecutorClosedError:
        """Return the error of a call that comes to a pool which is shut down."""
        return ExecutorClosedError(f"pool {self._name!r} is shut down", pool=self._name)

    @property
    def retry_after(self) -> int:
        """Whole seconds until the queue should have moved: its length times the mean run time."""
        counters = self._counters
        seconds = counters.pending * counters.run.mean / self.options.max_workers
        return max(1, math.ceil(seconds))

    def _overload(self, fact: str, reason: str) -> ExecutorOverloadError:
        return ExecutorOverloadError(
            f"pool {self._name!r} {fact}; try again in {self.retry_after} s",
            pool=self._name,
            retry_after=self.retry_after,
            reason=reason,
        )
