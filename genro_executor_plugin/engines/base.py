# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a kind of pool is: an engine, which runs the calls that a pool has admitted.

::

    pool (executors/base.py)                    engine
    ------------------------                    ------
    a call is made
      admission: a place, or a refusal
      pack        --------------------------->  makes it portable, where it has to be
      wait until there is a place
      run         --------------------------->  runs it; returns its result or raises
                  <---------------------------  message: what the run sends meanwhile
      tell        --------------------------->  gives the run a message
      count, trace
    warm, pause, resume, resize, restart, kill
      start, set_paused, resize, ... -------->  has the workers follow
    shutdown: waits for the calls
      close       --------------------------->  ends what still runs, and the workers

What all kinds do alike (admission, counting, tracing, streams, the options of a call) is done by
the pool. An engine declares what it can do as capabilities; options are taken or refused by them,
and ``declared.py`` checks that it has what they need. Engines that send calls to workers share
``run`` and ``pack``: ``jobs.py``.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from enum import Enum
from typing import Any, ClassVar, NamedTuple, Protocol

from ..errors import ExecutorClosedError, ExecutorOverloadError
from ..metrics.worker_state import WorkerState
from ..options.capabilities import Capability
from ..options.kinds import EngineOption
from ..options.pool import PoolOptions
from .call import Call, Message
from .insight import Insight

__all__ = ["Aside", "Engine", "Load", "Pool"]


class Aside(Enum):
    """What ``Engine.pack`` returns for a call that ``pack_aside`` has to pack, and when."""

    AT_ONCE = "at once"
    """It takes a while, and what cannot travel is told before the call waits."""

    WHEN_ADMITTED = "when admitted"
    """It is large: what waits must hold no memory."""


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


class Engine(Insight, ABC):
    """Runs calls. One instance works for one pool.

    A subclass has to write ``run``, ``load`` and ``close``. Everything else has a default that
    is right for an engine without the capability which it belongs to.

    Attributes:
        name: the kind's name in messages and metrics, such as ``"thread"``; the
            ``executor_type`` that it is registered under, if it is empty.
        capabilities: what it can do.
        default_workers: ``max_workers`` of a pool that gives none; ``None`` is one for each CPU
            that this process counts with.
        own_options: the options that only this kind has; checked, they are in ``options.own``.
        own_threads: identities of the threads of this process that it runs calls on.
        pool: the pool that it works for.
        options: the pool's options in force; ``resize`` follows a change of them.
    """

    name: ClassVar[str] = ""
    capabilities: ClassVar[frozenset[Capability]] = frozenset()
    default_workers: ClassVar[int | None] = 1
    own_options: ClassVar[Mapping[str, EngineOption]] = {}

    own_threads: Collection[int] = ()

    def __init__(self, pool: Pool, options: PoolOptions) -> None:
        self.pool = pool
        self.options = options

    @property
    def mode(self) -> str:
        """How calls run, as metrics and traces tell it; empty for the name of the kind."""
        return ""

    # -- calls --------------------------------------------------------------------------------

    def pack(self, call: Call) -> Any:
        """Return what ``run`` needs to send ``call`` elsewhere; ``None`` where nothing travels.

        It is called before the call waits: what cannot travel is told at once. For what would
        hold up the event loop, it returns an ``Aside``.

        Raises:
            SerializationError: the function or an argument cannot travel.
        """
        return None

    async def pack_aside(self, call: Call) -> Any:
        """Return what ``run`` needs for a ``call`` that is large, without holding up the loop.

        It is called for what ``pack`` has returned an ``Aside`` for.

        Raises:
            SerializationError: the function or an argument cannot travel.
        """
        raise NotImplementedError

    def discard(self, packed: Any) -> None:
        """Let go of what ``pack`` returned for a call that is not run after all."""
        return

    @abstractmethod
    async def run(self, call: Call, packed: Any) -> Any:
        """Run an admitted ``call`` and return what it returns.

        What every engine does:

        - It waits while there is no free worker, at most until ``call.deadline`` (a time of the
          event loop), and raises ``self.pool.waited_too_long(call)`` then.
        - It calls ``call.cleanup.route_cleanup()`` behind the run, where it ran, if
          ``call.cleanup`` is not ``None``.
        - It sets ``call.waited`` and ``call.ran``, in seconds, when the run has ended, and
          ``call.begun`` to false when a call ends whose run never began: only such a call may
          be repeated without asking.

        What an engine does for a capability that it declares:

        - ``KILLS``: it ends a run after ``call.options.timeout or self.options.timeout`` seconds
          with ``ExecutorTimeoutError``. When the caller is cancelled, it ends the run if
          ``call.kill_on_cancel`` is true or ``self.options.on_cancel`` is ``"kill"``.
        - ``ABANDONS``: the same limit ends the wait, and not the run.
        - ``ISOLATES``: a crash is ``WorkerCrashedError``, and is repeated
          ``call.options.retries`` times (``self.options.retries`` where that is ``None``),
          unless ``commit`` was called.
        - ``KEYS``: the same worker runs the calls of one ``call.options.key`` while it lives, and
          with ``key_serial`` no two of them at a time, also when one was told to end.
        - ``INTERRUPTS``, ``CONTEXT``, ``STREAMS``: it keeps ``soft_timeout``,
          ``self.options.context`` and ``call.streams``.

        Raises:
            ExecutorError: the call could not be run, or not to its end.
            Exception: what the function has raised; ``call.raised`` is set to true before.
                Any other exception counts as a fault of the engine, and its pool says so.
        """

    async def run_inside(self, call: Call) -> Any:
        """Run ``call`` at once, where its caller runs: on one of ``own_threads``.

        A call from there that waited for a place could wait for its own caller's.
        """
        result = call.func(*call.args, **call.kwargs)
        return await result if inspect.isawaitable(result) else result

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
        """Replace every worker between two of its calls. For kinds with workers.

        Raises:
            WorkerCrashedError: no new worker can be started; the old ones go on working.
        """
        return

    def kill_worker(self, pid: int) -> bool:
        """Kill the worker ``pid``; ``False`` if there is none. For kinds with workers."""
        return False

    def end_agent(self, name: str, again: bool) -> bool:
        """Have the agent ``name`` finish its calls and end; ``False`` if there is none."""
        return False

    # -- the end ------------------------------------------------------------------------------

    @abstractmethod
    async def close(self) -> None:
        """End what still runs with ``self.pool.closed_error()``, and let go of everything."""
