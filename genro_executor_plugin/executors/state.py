# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a pool is and how it does: its options, its engine, its counters, its health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar

from ..engines.base import Engine, Load
from ..engines.call import Call, Message
from ..engines.declared import kind_of
from ..engines.home import Home
from ..engines.inline import InlineEngine
from ..errors import ExecutorClosedError, ExecutorConfigError, ExecutorOverloadError
from ..metrics.counters import PoolMetrics, percentiles_ms
from ..metrics.meters import Meters, loaded_meters
from ..metrics.sentry import watch_events
from ..metrics.worker_state import WorkerState
from ..options.call import CALL_OPTIONS, CallOptions
from ..options.capabilities import Capability
from ..options.checks import check_option
from ..options.kinds import Kind
from ..options.pool import PoolOptions
from ..portable.main_module import inside_worker
from .admission import Admission

__all__ = ["PoolState"]

_logger = logging.getLogger("genro_executor_plugin")

T = TypeVar("T")


class PoolState:
    """The state of a pool. ``SteeredPool`` has its controls, ``BaseExecutor`` makes its calls."""

    engine_type: ClassVar[type[Engine] | None] = None
    """What a pool of this class runs its calls with, if it is not given another engine."""

    def __init__(
        self,
        name: str = "default",
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
        if self.engine_type is not None:
            options_of_none = {"engine": engine, "kind": kind}
            given.update({name: value for name, value in options_of_none.items() if value})
            engine, kind = self.engine_type, None
        if not isinstance(engine, type) or not issubclass(engine, Engine):
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
        self._on_threads = Admission(name, self._options, self._metrics)
        self._paused = False
        self.home: Home = Home()
        self._hurry = asyncio.Event()
        self._failed_to_tell: set[str] = set()
        self._ending: asyncio.Task[None] | None = None
        self._counting_down: asyncio.TimerHandle | None = None
        self._listeners: dict[str, Callable[[Message], None]] = {}
        # In a worker (its module declares a pool, say): pools do not nest.
        self._nested = inside_worker()
        if not self._nested:
            watch_events()
        self._engine = self._make_engine(engine)
        self._capabilities = kind_of(type(self._engine)).capabilities
        self._meters = None if self._nested else self._measured()

    def _measured(self) -> Meters | None:
        """The instruments that tell of this pool from now on; ``None`` if none are loaded."""
        meters = loaded_meters()
        if meters is not None:
            meters.watch_pool(self)
        return meters

    def _make_engine(self, engine: type[Engine]) -> Engine:
        """Return what runs the calls; one that runs them here if the pool is bypassed."""
        bypass = self._options.effective_bypass
        if bypass and Capability.PORTABLE in self._declared.capabilities:
            return InlineEngine(self, self._options, bypassed=bypass)
        return engine(self, self._options)

    def __repr__(self) -> str:
        closed = " closed" if self.closed else ""
        return f"<{type(self).__name__} {self._name!r}{closed} mode={self.mode}>"

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

    @property
    def needs_portable_calls(self) -> bool:
        """Whether what a call consists of must be able to leave this process.

        It is true for a pool that is bypassed or inline, too: these ask what a worker would ask.
        """
        leaves = Capability.PORTABLE in self._declared.capabilities
        return leaves or isinstance(self._engine, InlineEngine)

    # -- the options of a call ----------------------------------------------------------------

    def check_call(
        self, where: str, options: Mapping[str, Any], route: str | None = None, path: str = ""
    ) -> CallOptions:
        """``options`` of a call (from ``route``), checked against what this kind of pool can keep.

        Raises:
            ExecutorConfigError: naming ``where``, the option, the value and what is allowed.
        """
        checked: dict[str, Any] = {}
        for option, value in options.items():
            if option not in CALL_OPTIONS:
                raise ExecutorConfigError(
                    f"{where}: unknown option {option!r}; a call takes {', '.join(CALL_OPTIONS)}",
                    pool=self._name,
                )
            checked[option] = None if value is None else check_option(where, option, value)
        self._refuse_what_it_cannot_keep(where, checked)
        if checked.get("key_serial") and checked.get("key") is None:
            raise ExecutorConfigError(
                f"{where}: key_serial=True without a key, of which it would run one call at a "
                "time; give key= too",
                pool=self._name,
            )
        return CallOptions(**checked, route=route, path=path)

    def _refuse_what_it_cannot_keep(self, where: str, options: dict[str, Any]) -> None:
        kind = self._declared
        for option, value in options.items():
            if not value:
                continue
            if option == "timeout":
                reason = kind.why_no_timeout(self._options.abandon_on_timeout)
            else:
                reason = kind.why_not(option)
            if reason is not None:
                raise ExecutorConfigError(
                    f"{where}: {option}={value!r} is not for pool {self._name!r}, a {kind.name} "
                    f"pool: {reason}",
                    pool=self._name,
                )

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
        if self._paused:
            return "it is paused"
        return self.ask_engine("trouble", "its engine fails when it is asked; the log says how")

    def worker_states(self) -> list[WorkerState]:
        """Return every worker as it is now; empty for a kind that has none of its own."""
        return self.ask_engine("workers", [])

    @property
    def restarts(self) -> dict[str, int]:
        """How many workers ended before their time or were replaced, by reason."""
        return self.ask_engine("restarts", {})

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
        # Those that wait before their thread were not submitted yet, and will be.
        pending = counters.pending + self._on_threads.waiting
        load = self.ask_engine("load", Load(0, 0, 0))
        return {
            "name": self._name,
            "mode": self.mode,
            "pending": pending,
            "running": load.running,
            "queued": max(0, pending - load.running),
            "waiting": self._admission.waiting + self._on_threads.waiting,
            "submitted": counters.submitted,
            **counters.outcomes,
            "restarts": sum(self.restarts.values()),
            "workers": load.workers,
            "busy": load.busy,
            "max_workers": self._options.max_workers,
            "max_pending": self._options.max_pending,
            "max_waiting": self._options.places_to_wait,
            "avg_duration_ms": round(counters.mean_run * 1000, 3),
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

    def ask_engine(self, what: str, instead: T, *args: Any) -> T:
        """Return what the engine says of itself; ``instead``, and one log record, if it fails."""
        try:
            said: Any = getattr(self._engine, what)
            answer: T = said(*args) if callable(said) else said
            return answer
        except Exception:
            if what not in self._failed_to_tell:
                self._failed_to_tell.add(what)
                _logger.exception(
                    "pool %r, a %s pool: %s of its engine failed", self._name, self.kind, what
                )
            return instead
