# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The actors of a pool: how many there are, how each starts and ends."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Callable, Coroutine
from itertools import count
from time import perf_counter
from typing import Any

from ...errors import ExecutorError, WorkerCrashedError
from ...options.pool import PoolOptions
from ...portable.hooks import PackedHooks
from ...portable.modules import ModuleSources
from ...portable.process_settings import ProcessSettings
from ..process.arrivals import Arrivals
from ..process.threads import Threads
from .actor import ActorBoot, CallActor
from .connection import RAY, Head
from .options import resources_of
from .worker import CONCURRENCY, Owner, RayWorker

__all__ = ["Workers"]

_logger = logging.getLogger("genro_executor_plugin")

STOP_SECONDS = 10.0
"""How long the hooks of a worker's end may take."""

_END_SECONDS = STOP_SECONDS + 5.0
"""How long the pool's end waits for its actors, which a cluster that is away cannot end."""

_AWAY_SECONDS = 0.5
"""How long to wait before a head that is away is looked for again."""

_ANSWER_SECONDS = 5.0
"""How long the cluster may take to say what it has free."""


class Workers:
    """The actors of one pool.

    Attributes:
        all: those that start, those that are up, and those that end when their call has ended.
        start_error: why no worker could be started the last time, ``None`` if one could.
        restarts: how many ended before their time or were replaced, by reason.
    """

    def __init__(
        self,
        owner: Owner,
        name: str,
        options: PoolOptions,
        hooks: PackedHooks,
        arrivals: Arrivals,
        threads: Threads,
        changed: Callable[[], None],
    ) -> None:
        self._owner, self._name, self._hooks, self._arrivals = owner, name, hooks, arrivals
        self._threads, self._changed = threads, changed
        self.options: PoolOptions = options
        self._asked = resources_of(options.own)
        self._class: Any = None
        self._is_doubtful = False
        self._starting: dict[RayWorker, asyncio.Task[None]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self.all: list[RayWorker] = []
        self.start_error: WorkerCrashedError | None = None
        self.restarts: dict[str, int] = {}

    @property
    def staying(self) -> list[RayWorker]:
        """Those that start or are up, and are not to leave."""
        return [worker for worker in self.all if not worker.leaving]

    @property
    def starting(self) -> int:
        """How many start."""
        return sum(not worker.leaving for worker in self._starting)

    @property
    def kept(self) -> int:
        """How many are kept though they are idle."""
        return self.options.max_workers if self.options.warm else self.options.min_workers

    def free(self) -> RayWorker | None:
        """A worker that can run a call now: the one that has run one last."""
        idle = [worker for worker in self.all if worker.ready and worker.job is None]
        if len(idle) < 2:
            return idle[0] if idle else None
        return max(idle, key=lambda worker: worker.idle_since, default=None)

    def doubt(self) -> None:
        """Look before the next start whether the cluster is there."""
        self._is_doubtful = True

    def count_restart(self, reason: str) -> None:
        """Count a worker that has ended before its time."""
        self.restarts[reason] = self.restarts.get(reason, 0) + 1

    # -- they come --------------------------------------------------------------------------------

    def grow(self, waiting: int) -> None:
        """Start workers for so many calls that wait, and those that are to be kept."""
        if not waiting and len(self.all) >= self.kept:
            return  # as before and behind nearly every call
        staying = len(self.staying)
        wanted = max(self.kept - staying, min(waiting - self.starting, 1000))
        for _ in range(min(wanted, self.options.max_workers - staying)):
            self.start_one()

    def start_one(self) -> asyncio.Task[None]:
        """Start a worker; the task ends when it is up, or cannot be started."""
        taken = {worker.index for worker in self.all}
        index = next(number for number in count() if number not in taken)
        worker = RayWorker(self._owner, self._name, self._arrivals, self._threads, index)
        self.all.append(worker)
        task = self._starting[worker] = asyncio.create_task(self._start(worker))
        return task

    async def _start(self, worker: RayWorker) -> None:
        try:
            boot = ActorBoot(
                worker.index,
                ModuleSources.here(),
                self.options.preload,
                self._hooks,
                ProcessSettings.here(),
            )
            limit = self.options.start_timeout
            await asyncio.wait_for(self._up(worker, pickle.dumps(boot, 5)), limit)
        except asyncio.CancelledError:
            await worker.end()
            raise
        except BaseException as error:
            self.start_error, self._is_doubtful = await self._why_not(error), True
            self.forget(worker)
            self._in_the_background(
                worker.end()
            )  # a cluster that does not answer is not waited for
        else:
            self.start_error, self._is_doubtful = None, False
        finally:
            self._starting.pop(worker, None)
            if worker.leaving and worker in self.all:
                self.retire(worker)
        self._changed()

    async def _up(self, worker: RayWorker, boot: bytes) -> None:
        # An actor that is asked for while the head is away may never come.
        while self._is_doubtful:
            if await self._threads.run(RAY.settle, self._name):
                break
            await asyncio.sleep(_AWAY_SECONDS)
        await worker.start(boot, self._actor)

    def _actor(self) -> Any:
        """A new actor; on a thread, as Ray asks the cluster."""
        with RAY.lock:
            if self._class is None:  # Ray pickles a class once, and sends it to the cluster
                given = {**CONCURRENCY, **self._asked}
                self._class = RAY.module.remote(**given)(CallActor)
            return self._class.remote()

    async def _why_not(self, error: BaseException) -> WorkerCrashedError:
        said = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, TimeoutError) and not isinstance(error, ExecutorError):
            said = (
                f"it was not up after start_timeout={self.options.start_timeout:g} s. It asks for "
                f"{self._asked}, and "
            )
            try:
                asking = self._threads.run(_said_by_the_cluster)
                said += await asyncio.wait_for(asking, _ANSWER_SECONDS)
            except Exception as unknown:
                said += f"the cluster does not say what it has free: {unknown!r}"
        failed = WorkerCrashedError(
            f"pool {self._name!r} cannot start a worker on Ray: {said}", pool=self._name
        )
        failed.__cause__ = error
        return failed

    # -- they go ----------------------------------------------------------------------------------

    def retire(self, worker: RayWorker) -> None:
        """Send ``worker`` nothing more, and end it when it runs nothing."""
        worker.leaving, worker.ready = True, False
        if worker.job is None and worker not in self._starting and worker in self.all:
            self.all.remove(worker)
            self._in_the_background(worker.stop(max(self.options.shutdown_timeout, STOP_SECONDS)))

    def kill(self, worker: RayWorker, reason: str) -> None:
        """End ``worker`` at once."""
        self.count_restart(reason)
        self.forget(worker)
        self._in_the_background(worker.end())

    def forget(self, worker: RayWorker) -> None:
        """Take in that ``worker`` is gone."""
        worker.ready, worker.leaving = False, True
        if worker in self.all:
            self.all.remove(worker)

    def _in_the_background(self, ending: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(ending)
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    def look(self) -> float | None:
        """End those that are idle for too long; return in how many seconds to look again."""
        limit, now = self.options.idle_timeout, perf_counter()
        if limit is None:
            return None
        waits = [limit]
        for worker in list(self.all):
            if not worker.ready or worker.job is not None:
                continue
            left = worker.idle_since + limit - now
            if left > 0:
                waits.append(left)
            elif len(self.staying) > self.kept:
                self.retire(worker)
        return max(0.05, min(waits))

    def shrink(self) -> None:
        """Have those leave that are more than ``max_workers``, idle ones first."""
        staying = sorted(self.staying, key=lambda worker: worker.job is not None)
        for worker in staying[: max(0, len(staying) - self.options.max_workers)]:
            self.retire(worker)

    async def replace_all(self) -> None:
        """Replace every worker between two of its calls, one behind the other.

        Raises:
            WorkerCrashedError: no new worker can be started; the others go on working.
        """
        for worker in self.staying:
            has_room = await self._threads.run(_has_room, self._asked)
            if not has_room:
                self.count_restart("restart")
                self.retire(worker)
                await worker.gone.wait()
            started = self.start_one()
            await asyncio.wait({started})
            if self.start_error is not None:
                raise self.start_error
            if has_room and worker in self.all:
                self.count_restart("restart")
                self.retire(worker)
                await worker.gone.wait()

    async def close(self) -> None:
        """End all of them."""
        for starting in list(self._starting.values()):
            starting.cancel()
        await asyncio.gather(*self._starting.values(), return_exceptions=True)
        for worker in list(self.all):
            self.all.remove(worker)
            ending = worker.end() if worker.job is not None else worker.stop(STOP_SECONDS)
            self._in_the_background(ending)
        if self._ending:
            await asyncio.wait(set(self._ending), timeout=_END_SECONDS)

    def abandon(self) -> None:
        """Kill all of them without the event loop, which is closed already."""
        for worker in self.all:
            worker.kill()


def _said_by_the_cluster() -> str:
    head = RAY.head()
    if head is not Head.UP:
        return f"of the cluster's head at {RAY.where} there is to say: {head.value}"
    free = RAY.module.available_resources()
    free = {name: amount for name, amount in free.items() if ":" not in name}
    return f"the cluster has {free} free"


def _has_room(asked: dict[str, Any]) -> bool:
    """Whether the cluster has what one more worker asks for; roughly, as nodes are not told apart.

    What Ray has not heard of yet may be missing, so that a worker may be ended too early. A cluster
    that does not answer is not asked: the start of the new worker tells of it.
    """
    if RAY.head() is not Head.UP:
        return True
    free = RAY.module.available_resources()
    wanted = {
        "CPU": asked.get("num_cpus", 0),
        "GPU": asked.get("num_gpus", 0),
        "memory": asked.get("memory", 0),
        **asked.get("resources", {}),
    }
    return all(free.get(name, 0) >= amount for name, amount in wanted.items() if amount)
