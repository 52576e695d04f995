# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A pool as its operator sees it: what it is, how it does, and the controls it has.

Every pool has every control. One that its kind cannot keep is refused by capability.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, ClassVar

from ..engines.base import Engine, kind_of
from ..engines.call import Call, Message
from ..engines.inline import InlineEngine
from ..errors import ExecutorClosedError, ExecutorConfigError, ExecutorOverloadError
from ..metrics.counters import PoolMetrics, percentiles_ms
from ..metrics.worker_state import WorkerState
from ..options.capabilities import Capability
from ..options.kinds import Kind
from ..options.pool import PoolOptions
from ..portable.modules import inside_worker
from .admission import Admission

__all__ = ["SteeredPool"]

_logger = logging.getLogger("genro_executor_plugin")


class SteeredPool:
    """The state of a pool, and its controls. How calls are made is ``BaseExecutor``'s."""

    engine_type: ClassVar[type[Engine] | None] = None
    """What a pool of this class runs its calls with, if it is not given another engine."""

    def __init__(
        self,
        name: str,
        options: PoolOptions | None = None,
        *,
        engine: type[Engine] | None = None,
        kind: Kind | None = None,
        **given: Any,
    ) -> None:
        """Make a pool; ``ExecutorRegistry`` does it for a server.

        Args:
            name: the pool's name, for messages and metrics.
            options: its options, complete and checked.
            engine: what its calls run with; ``ProcessExecutor`` and its kin have one.
            kind: what the options were checked against, if the engine has been registered.
            given: its options, where ``options`` is not given.

        Raises:
            ExecutorConfigError: an option is wrong, or the engine breaks its contract.
        """
        engine = engine or self.engine_type
        if engine is None:
            raise ExecutorConfigError(
                f"pool {name!r} has no engine; make a ProcessExecutor, a ThreadExecutor or an "
                "InlineExecutor, or give an Engine class as engine=",
                pool=name,
            )
        self._name = name
        self._declared = kind or kind_of(engine)
        self._options = options or PoolOptions.declare(name, self._declared, given)
        self._metrics = PoolMetrics()
        self._admission = Admission(name, self._options, self._metrics)
        self._paused = False
        self._hurry = asyncio.Event()
        self._ending: asyncio.Task[None] | None = None
        self._listeners: dict[str, Callable[[Message], None]] = {}
        # In a worker (its module declares a pool, say): pools do not nest.
        self._nested = inside_worker()
        self._engine = self._make_engine(engine)
        self._capabilities = kind_of(type(self._engine)).capabilities

    def _make_engine(self, engine: type[Engine]) -> Engine:
        """Return what runs the calls; one that runs them here if the pool is bypassed."""
        bypass = self._options.effective_bypass
        if bypass and Capability.PORTABLE in self._declared.capabilities:
            return InlineEngine(self, self._options, bypassed=bypass)
        return engine(self, self._options)

    # -- what it is ---------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The pool's name."""
        return self._name

    @property
    def pool_options(self) -> PoolOptions:
        """The options in force, complete and checked."""
        return self._options

    @property
    def kind(self) -> str:
        """The kind of pool that it is: ``process``, ``thread``, ``inline``, or one's own."""
        return self._declared.name

    @property
    def mode(self) -> str:
        """How calls run: the kind, or ``bypass``."""
        return self._engine.mode or self.kind

    @property
    def capabilities(self) -> frozenset[Capability]:
        """What this pool can do."""
        return self._capabilities

    # -- state --------------------------------------------------------------------------------

    @property
    def closed(self) -> bool:
        """Whether the pool has been shut down."""
        return self._admission.closed

    @property
    def paused(self) -> bool:
        """Whether the pool begins no calls."""
        return self._paused

    @property
    def draining(self) -> bool:
        """Whether the pool refuses new calls until it is resumed."""
        return self._admission.draining

    @property
    def unhealthy(self) -> str | None:
        """Why the pool cannot serve calls as it should just now; ``None`` if it can."""
        if self._admission.closed:
            return "it is shut down"
        if self._admission.draining:
            return "it is drained and refuses calls"
        return "it is paused" if self._paused else self._engine.trouble()

    def worker_states(self) -> list[WorkerState]:
        """Return every worker as it is now; empty for a kind that has none of its own."""
        return self._engine.workers()

    @property
    def restarts(self) -> dict[str, int]:
        """How many workers ended before their time or were replaced, by reason."""
        return self._engine.restarts

    @property
    def counters(self) -> PoolMetrics:
        """What the pool has counted so far, to be read only."""
        return self._metrics

    @property
    def retry_after(self) -> int:
        """Whole seconds until the queue should have moved: its length times the mean run time."""
        return self._admission.retry_after

    @property
    def metrics(self) -> dict[str, Any]:
        """The pool's state as plain values; durations in milliseconds."""
        counters = self._metrics
        pending = counters.pending
        load = self._engine.load()
        return {
            "name": self._name,
            "mode": self.mode,
            "pending": pending,
            "running": load.running,
            "queued": max(0, pending - load.running),
            "submitted": counters.submitted,
            **counters.outcomes,
            "restarts": sum(self.restarts.values()),
            "workers": load.workers,
            "busy": load.busy,
            "max_workers": self._options.max_workers,
            "max_pending": self._options.max_pending,
            "avg_duration_ms": round(counters.run.mean * 1000, 3),
            **percentiles_ms("wait", counters.last_waits),
            **percentiles_ms("run", counters.last_runs),
        }

    # -- what its engine asks of it -----------------------------------------------------------

    def listen(self, channel: str, listener: Callable[[Message], None]) -> None:
        """Have ``listener`` called, on the event loop, with every message of ``channel``.

        A channel has one listener; its messages do not reach ``on_message`` of their call.
        """
        self._listeners[channel] = listener

    def message(self, call: Call | None, pid: int | None, channel: str, value: Any) -> None:
        """Hand on what a run has sent."""
        listener = self._listeners.get(channel)
        try:
            if listener is not None:
                listener(Message(channel, value, self._name, pid, call))
            elif call is not None and call.on_message is not None:
                call.on_message(channel, value)
        except Exception:
            _logger.exception("pool %r: a message of channel %r was lost", self._name, channel)

    def closed_error(self) -> ExecutorClosedError:
        """Return the error of a call that ends because the pool is shut down."""
        return self._admission.closed_error()

    def waited_too_long(self, call: Call) -> ExecutorOverloadError:
        """Return the error of ``call``, whose run did not begin before its deadline."""
        return self._admission.waited_too_long(call)

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
        self._admission.options = self._engine.options = self._options
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

    def _need(self, capability: Capability, what: str) -> None:
        if capability not in self.capabilities:
            bypassed = " that is bypassed" if self.mode == "bypass" else ""
            raise ExecutorConfigError(
                f"Pool {self._name!r} is a {self.kind} pool{bypassed}: there is nothing to {what} "
                "in it",
                pool=self._name,
            )

    # -- the end ------------------------------------------------------------------------------

    async def shutdown(self) -> None:
        """Refuse new calls, finish the admitted ones, and end the workers.

        Calls that are not done after ``shutdown_timeout`` seconds are ended with
        ``ExecutorClosedError``. Calling it again is harmless.
        """
        ending = self._start_ending()
        if not ending.done():
            await asyncio.shield(ending)

    def hurry(self) -> None:
        """Shut down without waiting for calls, also when a shutdown waits for them already.

        It returns at once; ``shutdown`` waits until everything has ended.
        """
        self._hurry.set()
        self._start_ending()

    def _start_ending(self) -> asyncio.Task[None]:
        self._admission.close()
        if self._ending is None:
            self._ending = asyncio.create_task(self._end_all())
        return self._ending

    async def _end_all(self) -> None:
        try:
            await self._let_calls_finish()
        finally:
            await self._engine.close()  # also when a second signal ends the waiting

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
