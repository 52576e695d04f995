# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The controls of a pool, and its end.

Every pool has every control. One that its kind cannot keep is refused by capability.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Generator
from typing import Any, Self

from ..errors import ExecutorConfigError
from ..metrics.profiles import ProfileTarget, WorkerProfile, check_profile
from ..metrics.worker_state import RunningStack
from ..options.capabilities import Capability
from .state import PoolState

__all__ = ["Ending", "SteeredPool"]

_logger = logging.getLogger("genro_executor_plugin")


class Ending(Coroutine[Any, Any, None]):
    """The end of pools, to be awaited, or run like a coroutine; it may be left alone as well."""

    _running: Coroutine[Any, Any, None] | None = None

    def __init__(self, *ends: Callable[[], Awaitable[None]]) -> None:
        self._ends = ends

    def send(self, value: Any) -> Any:
        """Go on, as a coroutine does."""
        if self._running is None:
            self._running = self._all_ended()
        return self._running.send(value)

    def throw(self, *raised: Any) -> Any:
        """Raise where it waits, as a coroutine does."""
        if self._running is None:
            self._running = self._all_ended()
        return self._running.throw(*raised)

    def close(self) -> None:
        """Wait no longer."""
        if self._running is not None:
            self._running.close()

    def __await__(self) -> Generator[Any, Any, None]:
        return self._all_ended().__await__()

    async def _all_ended(self) -> None:
        outcomes = await asyncio.gather(*(end() for end in self._ends), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome


CLOSE_SECONDS = 30.0
"""How long an engine may take to close, before it is as if a second signal had come."""

CLOSE_IN_A_HURRY_SECONDS = 10.0
"""How long it may take from there."""


class SteeredPool(PoolState):
    """A pool as its operator uses it. How calls are made is ``BaseExecutor``'s."""

    _profiled: str = ""

    # -- controls -----------------------------------------------------------------------------

    def pause(self) -> None:
        """Begin no call until ``resume``: calls are admitted and wait; those that run go on."""
        if not self._paused:
            self._need(Capability.PAUSES, "pause")
            self._paused = True
            self._engine.set_paused(True)

    def resume(self) -> None:
        """Begin and admit calls again, after ``pause`` or ``drain``."""
        self._admission.draining = False
        if self._paused:
            self._paused = False
            self._engine.set_paused(False)

    async def drain(self) -> None:
        """Refuse new calls with ``ExecutorOverloadError`` until ``resume``; returns when the pool
        is empty. Cancelling this leaves the pool as it is: refusing.
        """
        self._admission.draining = True
        await self._admission.empty()

    async def warm(self) -> None:
        """Start ``min_workers`` workers (``max_workers`` with ``warm=True``) and wait for them.

        Raises:
            WorkerCrashedError: a worker could not be started; the message has the reason.
        """
        await self._engine.start()

    def resize(self, max_workers: int) -> None:
        """Have at most ``max_workers`` workers from now on. Nothing that runs is ended.

        Raises:
            ExecutorConfigError: not a whole number of at least 1, or below ``min_workers``; or
                pools of this kind do not resize.
        """
        self._need(Capability.RESIZES, "resize")
        self._options = self._options.resized(self._name, self._declared, max_workers)
        self._admission.options = self._on_threads.options = self._options
        self._engine.options = self._options
        self._engine.resize()

    async def restart(self) -> None:
        """Replace every worker between two of its calls; returns when the old ones are gone.

        Raises:
            WorkerCrashedError: no new worker can be started; the old ones go on working.
            ExecutorConfigError: a pool of this kind has no workers of its own.
        """
        self._need(Capability.WORKERS, "restart")
        await self._engine.restart()

    def kill_worker(self, pid: int) -> bool:
        """Kill the worker ``pid``; its calls fail with ``WorkerCrashedError``.

        Returns:
            ``False`` if this pool has no such worker.

        Raises:
            ExecutorConfigError: a pool of this kind has no workers of its own.
        """
        self._need(Capability.WORKERS, "kill")
        return self._engine.kill_worker(pid)

    def end_agent(self, name: str, *, again: bool = False) -> bool:
        """Tell the agent ``name`` to take no more calls, finish those that it runs, and end.

        Args:
            name: as ``worker_states`` has it.
            again: whether its process starts anew afterwards, with the code that lies there then.

        Returns:
            ``False`` if this pool knows no such agent.

        Raises:
            ExecutorConfigError: a pool of this kind has no agents.
            ExecutorError: the agent cannot be told.
        """
        self._need(Capability.AGENTS, "end_agent")
        return self._engine.end_agent(name, again)

    async def stacks(self, pid: int | None = None) -> list[RunningStack]:
        """Return where each running call is just now: its stack, for people to read.

        A call that answers meanwhile has none. Being asked may interrupt native code that waits in
        the system; Python waits on.

        Args:
            pid: a process; only its calls are asked.
        """
        return await self._engine.stacks(pid)

    async def profile(
        self, target: ProfileTarget, seconds: float = 10.0, rate: int = 100
    ) -> list[WorkerProfile]:
        """Take samples of where the calls of one route are, and return them for each process.

        One profile is made at a time. Cancelling this ends it.

        Args:
            target: whose calls; other calls in the same workers are not counted.
            seconds: how long, at most a minute.
            rate: how many samples in a second, at most 250.

        Raises:
            ExecutorConfigError: ``seconds`` or ``rate`` is not allowed, a profile is being made, or
                the calls of this kind of pool run where none can be made.
        """
        check_profile(seconds, rate)
        if Capability.PROFILES not in self.capabilities:
            raise ExecutorConfigError(
                f"Pool {self._name!r} is a {self.kind} pool: no samples can be taken of its calls. "
                "Take them on the machine where they run, or run the route in a process pool",
                pool=self._name,
            )
        if self._profiled:
            raise ExecutorConfigError(
                f"Pool {self._name!r} is being profiled for route {self._profiled!r}; ask again "
                "when that has ended",
                pool=self._name,
            )
        self._profiled = target.path or "?"
        try:
            return await self._engine.profile(target, float(seconds), rate)
        finally:
            self._profiled = ""

    def _need(self, capability: Capability, what: str) -> None:
        if capability not in self.capabilities:
            bypassed = " that is bypassed" if self.mode == "bypass" else ""
            raise ExecutorConfigError(
                f"Pool {self._name!r} is a {self.kind} pool{bypassed}: there is nothing to {what} "
                "in it",
                pool=self._name,
            )

    # -- the end ------------------------------------------------------------------------------

    def shutdown(self, wait: bool = True) -> Ending:
        """Refuse new calls, finish the admitted ones, and end the workers.

        Calls that are not done after ``shutdown_timeout`` seconds are ended with
        ``ExecutorClosedError``. It begins with the call, awaited or not (without a running event
        loop when it is awaited); calling it again is harmless.

        Args:
            wait: whether awaiting takes until the pool has ended, or no time.

        Returns:
            The end of the pool, to be awaited.
        """
        self._admission.close()
        if _is_loop_running():
            self._start_ending()
        return Ending(self._ended) if wait else Ending()

    async def _ended(self) -> None:
        ending = self._start_ending()
        if not ending.done():
            await asyncio.shield(ending)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.shutdown()

    def hurry(self) -> None:
        """Shut down without waiting for calls, also when a shutdown waits for them already.

        It returns at once; ``shutdown`` waits until everything has ended.
        """
        self._hurry.set()
        self._start_ending()

    def count_down(self) -> float:
        """Give the calls that it has now ``shutdown_timeout`` seconds; then end what still runs.

        It goes on taking calls meanwhile, for requests that are not answered yet.

        Returns:
            how long its calls may take from now on, 0 if it has none.
        """
        seconds = self._options.shutdown_timeout
        if self._counting_down is None and not self.closed:
            loop = asyncio.get_running_loop()
            self._counting_down = loop.call_later(seconds, self._time_is_up)
        return seconds if self._admission.admitted else 0.0

    def stop_counting_down(self) -> None:
        """End nothing by itself any more: ``shutdown`` is about to come, and gives calls time."""
        if self._counting_down is not None:
            self._counting_down.cancel()

    def _time_is_up(self) -> None:
        if self._admission.admitted:
            self.hurry()

    def _start_ending(self) -> asyncio.Task[None]:
        self._admission.close()
        if self._ending is None:
            self._ending = asyncio.create_task(self._end_all())
        return self._ending

    async def _end_all(self) -> None:
        try:
            await self._let_calls_finish()
        finally:
            await self._close_engine()  # also when a second signal ends the waiting

    async def _close_engine(self) -> None:
        """Close the engine; one that does not come to an end is left behind, with a log record."""
        closing = asyncio.create_task(self._engine.close())
        hurried = asyncio.create_task(self._hurry.wait())
        try:
            await asyncio.wait(
                {closing, hurried}, timeout=CLOSE_SECONDS, return_when="FIRST_COMPLETED"
            )
            await asyncio.wait({closing}, timeout=CLOSE_IN_A_HURRY_SECONDS)
        finally:
            for task in (closing, hurried):
                task.cancel()
        if closing.done():
            closing.result()
        else:
            _logger.error(
                "pool %r, a %s pool: its engine did not close in time and is left behind",
                *(self._name, self.kind),
            )
        await asyncio.wait({hurried})

    async def _let_calls_finish(self) -> None:
        if self._admission.admitted and not self._hurry.is_set():
            waits = [
                asyncio.create_task(wait()) for wait in (self._admission.empty, self._hurry.wait)
            ]
            await asyncio.wait(
                waits, timeout=self._options.shutdown_timeout, return_when="FIRST_COMPLETED"
            )
            for wait in waits:
                wait.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
