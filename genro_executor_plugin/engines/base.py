# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a kind of pool is: an engine, which runs the calls that a pool has admitted.

::

    pool (executors/base.py)                    engine
    ------------------------                    ------
    a call is made
      pack        --------------------------->  makes it portable, where it has to be
      admission: wait, or refuse
      run         --------------------------->  runs it; returns its result or raises
                  <---------------------------  message: what the run sends meanwhile
      tell        --------------------------->  gives the run a message
      count, trace
    warm, pause, resume, resize, restart, kill
      start, set_paused, resize, ... -------->  has the workers follow
    shutdown: waits for the calls
      close       --------------------------->  ends what still runs, and the workers

What all kinds do alike (admission, counting, tracing, streams, the options of a call) is done by
the pool. An engine declares what it can do as capabilities; options are taken or refused by them.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

from ..errors import ExecutorClosedError, ExecutorConfigError, ExecutorOverloadError
from ..metrics.worker_state import WorkerState
from ..options.capabilities import Capability
from ..options.kinds import EngineOption, Kind
from ..options.pool import PoolOptions
from .call import Call, Message

__all__ = ["Engine", "Load", "Pool", "kind_of"]


class Load(NamedTuple):
    """How busy an engine is.

    Attributes:
        running: how many calls run.
        busy: how many workers run at least one call.
        workers: how many workers there are, starting ones included.
    """

    running: int
    busy: int
    workers: int


class Pool(Protocol):
    """What an engine may ask of the pool that it works for."""

    @property
    def name(self) -> str:
        """The pool's name, for messages."""

    @property
    def paused(self) -> bool:
        """Whether no call may be begun now."""

    def message(self, call: Call | None, pid: int | None, channel: str, value: Any) -> None:
        """Hand on what a run has sent; on the event loop, before the run's result."""

    def listen(self, channel: str, listener: Callable[[Message], None]) -> None:
        """Have ``listener`` called with every message of ``channel``, of whatever call."""

    def closed_error(self) -> ExecutorClosedError:
        """Return the error of a call that ends because the pool is shut down."""

    def waited_too_long(self, call: Call) -> ExecutorOverloadError:
        """Return the error of ``call``, whose run did not begin before ``call.deadline``."""


class Engine(ABC):
    """Runs calls. One instance works for one pool.

    A subclass has to write ``run``, ``load`` and ``close``. Everything else has a default that
    is right for an engine without the capability which it belongs to.

    Attributes:
        name: the kind's name in messages and metrics, such as ``"thread"``; the
            ``executor_type`` that it is registered under, if it is empty.
        capabilities: what it can do.
        default_workers: ``max_workers`` of a pool that gives none.
        own_options: the options that only this kind has; checked, they are in ``options.own``.
        pool: the pool that it works for.
        options: the pool's options in force; ``resize`` follows a change of them.
    """

    name: ClassVar[str] = ""
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    default_workers: ClassVar[int] = 1
    own_options: ClassVar[Mapping[str, EngineOption]] = {}

    def __init__(self, pool: Pool, options: PoolOptions) -> None:
        self.pool = pool
        self.options = options

    @classmethod
    def workers_by_default(cls) -> int:
        """Return ``max_workers`` of a pool that gives none."""
        return cls.default_workers

    @property
    def mode(self) -> str:
        """How calls run, as metrics and traces tell it."""
        return self.name

    # -- calls --------------------------------------------------------------------------------

    def pack(self, call: Call) -> Any:
        """Return what ``run`` needs to send ``call`` elsewhere; ``None`` where nothing travels.

        It is called before admission: what cannot travel must not cost anyone a place.

        Raises:
            SerializationError: the function or an argument cannot travel.
        """
        return None

    def discard(self, packed: Any) -> None:
        """Let go of what ``pack`` returned for a call that is not run after all."""
        return

    @abstractmethod
    async def run(self, call: Call, packed: Any) -> Any:
        """Run an admitted ``call`` and return what it returns.

        Wait while there is no free worker, at most until ``call.deadline`` (a time of the event
        loop; raise ``self.pool.waited_too_long(call)`` then). When the run has ended, set
        ``call.waited`` and ``call.ran`` to the seconds that it waited and ran. When the caller is
        cancelled, a kind that kills ends the run.

        Raises:
            ExecutorError: the call could not be run, or not to its end.
            Exception: what the function has raised; ``call.raised`` is set to true before.
                Any other exception counts as a fault of the engine, and its pool says so.
        """

    def tell(self, call: Call, channel: str, value: Any) -> bool:
        """Give the running ``call`` a message; ``False`` if it does not run (any more)."""
        return False

    def commit(self, call: Call) -> None:
        """Do not repeat the run of ``call`` from now on: something of it has been seen already."""
        return

    # -- workers ------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the workers that the options want to be up, and wait until they are.

        Raises:
            WorkerCrashedError: a worker could not be started; the message has the reason.
        """
        return

    @abstractmethod
    def load(self) -> Load:
        """Return how busy it is now."""

    def workers(self) -> list[WorkerState]:
        """Return every worker as it is now; empty for a kind that has none of its own."""
        return []

    def trouble(self) -> str | None:
        """Return why it cannot serve calls as it should just now, ``None`` if it can."""
        return None

    @property
    def restarts(self) -> dict[str, int]:
        """How many workers ended before their time or were replaced, by reason."""
        return {}

    def set_paused(self, paused: bool) -> None:
        """Begin no call from now on, or begin those that wait. For kinds that pause."""
        return

    def resize(self) -> None:
        """Follow ``options.max_workers``, which has changed. For kinds that resize."""
        return

    async def restart(self) -> None:
        """Replace every worker between two of its calls. For kinds with worker processes.

        Raises:
            WorkerCrashedError: no new worker can be started; the old ones go on working.
        """
        return

    def kill_worker(self, pid: int) -> bool:
        """Kill the worker ``pid``; ``False`` if there is none. For kinds with worker processes."""
        return False

    # -- the end ------------------------------------------------------------------------------

    @abstractmethod
    async def close(self) -> None:
        """End what still runs with ``self.pool.closed_error()``, and let go of everything."""


def kind_of(engine: type[Engine], name: str | None = None) -> Kind:
    """Return the kind of pools that ``engine`` makes, under ``name`` or its own one.

    Raises:
        ExecutorConfigError: the class breaks the contract of an engine: a method is missing, or
            what it declares is not what it has to be.
    """
    where = f"the engine {engine.__module__}.{engine.__qualname__}"
    if missing := sorted(getattr(engine, "__abstractmethods__", ())):
        raise ExecutorConfigError(f"{where} lacks {', '.join(missing)}; every engine has them")
    if not inspect.iscoroutinefunction(engine.run) or not inspect.iscoroutinefunction(engine.close):
        raise ExecutorConfigError(f"{where}: run and close are coroutine functions (async def)")
    declared: Any = engine.capabilities
    unknown = [item for item in declared if item not in list(Capability)]
    if unknown:
        known = ", ".join(sorted(Capability))
        raise ExecutorConfigError(
            f"{where} declares the unknown capability {unknown[0]!r}; there are {known}"
        )
    own: Mapping[Any, Any] = engine.own_options
    for option, what in own.items():
        if not isinstance(option, str) or not isinstance(what, EngineOption):
            raise ExecutorConfigError(
                f"{where}: own_options has {option!r}: {what!r}; give a name and an EngineOption"
            )
        if option in PoolOptions.__dataclass_fields__:
            raise ExecutorConfigError(f"{where}: {option!r} is an option of every pool already")
    capabilities = frozenset(Capability(item) for item in declared)
    return Kind(
        name or engine.name or engine.__name__, capabilities, engine.workers_by_default, own
    )
