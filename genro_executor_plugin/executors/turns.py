# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Which calls with a key a pool admits: a busy key leaves room for the calls of others.

Calls of one key can be run by one worker only. If they could take every place of the pool, the
other workers would have nothing to do. So each worker has its share of ``max_pending`` for calls
with a key, and of ``max_waiting``; the keys of one worker take turns, and each of them may have
half of the calls that wait for it. What is kept of a key is forgotten with its last call.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

from ..engines.call import Call
from ..errors import ExecutorClosedError, ExecutorOverloadError
from ..options.keys import Key, place_of
from ..options.pool import PoolOptions

__all__ = ["Turn", "Turns"]


class _Admission(Protocol):
    options: PoolOptions
    closed: bool

    def admit(self, call: Call) -> bool: ...

    def must_wait(self, call: Call, room: int, why: Callable[[], str]) -> None: ...

    def take(self) -> bool: ...

    async def wait(self, call: Call) -> None: ...

    def leave(self) -> None: ...

    def look(self) -> None: ...

    def waited_too_long(self, call: Call) -> ExecutorOverloadError: ...

    def closed_error(self) -> ExecutorClosedError: ...


class _Share:
    """The calls with a key of one worker: how many are admitted, and those that wait, by key."""

    __slots__ = ("admitted", "length", "waiting")

    def __init__(self) -> None:
        self.admitted = 0
        self.length = 0
        self.waiting: dict[Key, deque[Turn]] = {}


class Turns:
    """The calls of one pool that have a key.

    Attributes:
        admission: what admits the calls of the pool.
        waiting: how many calls wait for the turn of their key.
    """

    def __init__(self, admission: _Admission) -> None:
        self.admission = admission
        self.waiting: int = 0
        self._shares: dict[int, _Share] = {}
        self._admitted: dict[Key, int] = {}

    def of(self, call: Call) -> Turn:
        """The turn of ``call``, which has a key."""
        key = call.options.key
        assert isinstance(key, Key)
        return Turn(self, key, bool(call.options.key_serial))

    def close(self, error: Callable[[], ExecutorClosedError]) -> None:
        """End every call that waits."""
        for share in self._shares.values():
            for turns in share.waiting.values():
                for turn in turns:
                    turn.fail(error)

    def _number_of(self, key: Key) -> int:
        return place_of(key, self.admission.options.max_workers)

    def _share_of(self, key: Key) -> _Share:
        """The share of the worker that ``key`` leads to."""
        return self._shares.setdefault(self._number_of(key), _Share())

    def may_go(self, turn: Turn) -> bool:
        """Whether ``turn`` has come, and nobody waits who was there before.

        While there is room, others of its worker wait only for the end of a call of their own key.
        """
        share = self._shares.get(self._number_of(turn.key))
        if share is not None and (self._is_full(share) or turn.key in share.waiting):
            return False
        return not (turn.serial and self._admitted.get(turn.key))

    def _is_full(self, share: _Share) -> bool:
        options = self.admission.options
        return share.admitted >= -(-options.max_pending // options.max_workers)

    def take(self, turn: Turn, share: _Share | None = None) -> None:
        """Count the call of ``turn``, in the ``share`` that it has waited in."""
        turn.share = share or self._share_of(turn.key)
        turn.share.admitted += 1
        self._admitted[turn.key] = self._admitted.get(turn.key, 0) + 1

    def must_wait(self, call: Call, key: Key) -> None:
        """Return if ``call`` may wait for the turn of ``key``.

        Raises:
            ExecutorOverloadError: too many wait already, or the call must not wait.
            ExecutorClosedError: the pool is shut down.
        """
        options, asked = self.admission.options, call.options.max_waiting
        share = self._shares.get(self._number_of(key)) or _Share()
        places = options.places_to_wait if asked is None else asked
        places = -(-places // options.max_workers)
        own = len(share.waiting.get(key, ()))
        # One key alone must leave room for the others of its worker.
        room = min(places - share.length, -(-places // 2) - own)
        self.admission.must_wait(
            call,
            room,
            lambda: (
                f"has {share.admitted} calls that the worker of this call's key is to run, and "
                f"{share.length} more wait for it, {own} of them with that key"
            ),
        )

    def enqueue(self, turn: Turn) -> None:
        """Have ``turn`` wait behind the others of its key."""
        share = self._share_of(turn.key)
        share.waiting.setdefault(turn.key, deque()).append(turn)
        share.length += 1
        turn.waits_in = share

    def give_up(self, turn: Turn) -> None:
        """Have ``turn`` wait no more."""
        share = turn.waits_in
        turns = share.waiting.get(turn.key) if share is not None else None
        if share is not None and turns is not None and turn in turns:
            turns.remove(turn)
            share.length -= 1
            if not turns:
                del share.waiting[turn.key]
            self._go_on()

    def leave(self, turn: Turn) -> None:
        """Take in that the call of ``turn`` has ended: the next ones have their turn."""
        assert turn.share is not None
        turn.share.admitted -= 1
        left = self._admitted[turn.key] - 1
        if left:
            self._admitted[turn.key] = left
        else:
            del self._admitted[turn.key]
        self._go_on()

    def _go_on(self) -> None:
        """Let those go on whose turn has come, in every share: a resize moves keys."""
        for number, share in list(self._shares.items()):
            if share.waiting:
                self._next(share)
            elif not share.admitted:
                del self._shares[number]

    def _next(self, share: _Share) -> None:
        """Let those go on whose turn has come, one call of each key after the other."""
        went_on = True
        while went_on:
            went_on = False
            for key, turns in list(share.waiting.items()):
                if self._is_full(share):
                    return
                if turns[0].serial and self._admitted.get(key):
                    continue
                turn = turns.popleft()
                share.length -= 1
                del share.waiting[key]
                if turns:
                    share.waiting[key] = turns  # at the end: the other keys are before it
                went_on = True
                if turn.grant():
                    self.take(turn, share)


class Turn:
    """The turn of one call: what admits it, in the place of the pool's ``Admission``."""

    __slots__ = ("_future", "_turns", "key", "serial", "share", "waits_in")

    def __init__(self, turns: Turns, key: Key, serial: bool) -> None:
        self._turns = turns
        self._future: asyncio.Future[None] | None = None
        self.key = key
        self.serial = serial
        self.share: _Share | None = None
        self.waits_in: _Share | None = None

    def admit(self, call: Call) -> bool:
        """As ``Admission.admit``."""
        turns = self._turns
        if turns.may_go(self):
            if not turns.admission.admit(call):
                return False
            turns.take(self)
            return True
        turns.must_wait(call, self.key)
        return False

    async def wait(self, call: Call) -> None:
        """As ``Admission.wait``."""
        turns = self._turns
        if turns.may_go(self):
            turns.take(self)
        else:
            await self._wait_for_the_key(call)
        try:
            if not turns.admission.take():
                await turns.admission.wait(call)
        except BaseException:
            turns.leave(self)
            raise

    async def _wait_for_the_key(self, call: Call) -> None:
        turns = self._turns
        if turns.admission.closed:
            raise turns.admission.closed_error()
        self._future = asyncio.get_running_loop().create_future()
        turns.enqueue(self)
        turns.waiting += 1
        try:
            async with asyncio.timeout_at(call.deadline):
                await self._future
        except BaseException as error:
            if self.share is not None:
                turns.leave(self)
            else:
                turns.give_up(self)
            if isinstance(error, TimeoutError):
                raise turns.admission.waited_too_long(call) from None
            raise
        finally:
            # Only now, when it is about to take its place: a drain waits for it meanwhile.
            turns.waiting -= 1
            turns.admission.look()

    def grant(self) -> bool:
        """Let the call go on; ``False`` if its caller has left."""
        assert self._future is not None
        if self._future.done():
            return False
        self._future.set_result(None)
        return True

    def fail(self, error: Callable[[], ExecutorClosedError]) -> None:
        """End the call that waits."""
        if self._future is not None and not self._future.done():
            self._future.set_exception(error())

    def leave(self) -> None:
        """As ``Admission.leave``."""
        self._turns.admission.leave()
        self._turns.leave(self)
