# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""One actor on a Ray cluster, as the server has it: what it is sent, and what it says."""

from __future__ import annotations

import asyncio
import logging
import pickle
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from time import perf_counter
from typing import Any, Protocol

from ...errors import ExecutorError, WorkerCrashedError
from ...portable.exceptions import unpack_failure
from ...remote.versions import CodeVersion
from ..process.arrivals import Arrivals, Window
from ..process.job import Job
from ..process.threads import Threads
from .actor import ANSWER, FAILED, RETURNED, code_here
from .connection import RAY
from .failures import Where, crash_of
from .outbox import STATE, STATE_OF
from .stored import StoredSegment, from_parts

__all__ = ["CONCURRENCY", "Owner", "RayWorker"]

_logger = logging.getLogger("genro_executor_plugin")

_AHEAD = 8
"""How many pieces of what an actor sends Ray may keep until the server takes them."""

_LAST_WORDS_SECONDS = 2.0
"""How long what an actor has sent before its end may take to arrive."""

_KILL_SECONDS = 5.0
"""How long the cluster may take to take in that an actor is to end."""

CONCURRENCY = {
    "max_restarts": 0,
    "max_task_retries": 0,
    "concurrency_groups": {"messages": 1, "told": 1},
}
"""What Ray is told of each actor's calls: none is repeated, and messages come beside them."""


class Owner(Protocol):
    """What has workers: the pool."""

    def answered(self, worker: RayWorker, job: Job) -> None:
        """Take in that ``worker`` has answered ``job``, and is free."""

    def ended(self, worker: RayWorker, error: BaseException) -> None:
        """Take in that ``worker`` is gone, with the job that it may have."""

    def message(self, job: Job | None, pid: int | None, channel: str, value: Any) -> None:
        """Hand on what a call has sent."""


class RayWorker:
    """One actor, from its creation to its end.

    Attributes:
        index: its number among the workers of its pool.
        pid: its process id, ``None`` while it starts.
        host: the name of its machine.
        node: the id that Ray has for its machine.
        version: what code it has.
        memory: its resident memory as it said last, ``None`` before.
        load: the load of each CPU of its machine as it said last, ``None`` before.
        job: the call that it runs.
        calls: how many calls it was given.
        ready: whether it takes calls.
        leaving: whether it takes none any more.
        idle_since: when its last call ended, or when it came up.
        gone: set when it has ended.
    """

    def __init__(
        self, owner: Owner, pool: str, arrivals: Arrivals, threads: Threads, index: int
    ) -> None:
        self._owner, self._pool, self._arrivals, self._threads = owner, pool, arrivals, threads
        self._loop = asyncio.get_running_loop()
        self.index: int = index
        self.pid: int | None = None
        self.host: str | None = None
        self.node: str = ""
        self.version: str = ""
        self.memory: int | None = None
        self.load: float | None = None
        self.job: Job | None = None
        self.calls: int = 0
        self.ready: bool = False
        self.leaving: bool = False
        self.idle_since: float = perf_counter()
        self.gone: asyncio.Event = asyncio.Event()
        self._known: dict[int, int] = {}
        self._turns = 0
        self._arrived = 0
        self._unsettled: tuple[int, Callable[[], None]] | None = None
        self._is_over = False
        self._actor: Any = None
        self._run: Any = None
        self._listening: asyncio.Task[None] | None = None
        self._window = Window(self, arrivals)
        self._may_read = asyncio.Event()
        self._may_read.set()

    def __str__(self) -> str:
        return f"worker {self.pid} on {self.host}"

    # -- its start --------------------------------------------------------------------------------

    async def start(self, boot: bytes, actor: Callable[[], Any]) -> None:
        """Create the actor, and wait until it can run calls.

        Args:
            boot: what it is told before its first call.
            actor: makes an actor, on a thread.

        Raises:
            ExecutorError: it has other code, or cannot be prepared.
            Exception: what Ray raises, or an initializer.
        """
        booted = await self._threads.run(self._create, boot, actor)
        answer: bytes = await asyncio.wrap_future(booted)
        kind, _ = ANSWER.unpack_from(answer)
        if kind == FAILED:
            raise unpack_failure(answer[ANSWER.size :])
        self.pid, self.host, code = pickle.loads(answer[ANSWER.size :])
        there = CodeVersion.from_dict(code)
        here = await self._threads.run(code_here)
        difference = here.difference(there, here.modules)
        if difference:
            raise ExecutorError(f"{self} has other code: {difference}. Install the same on all")
        self.version = f"{there.package}, {there.python}"
        if self._is_over:
            raise ExecutorError(f"{self} has ended while it started")
        self.ready = not self.leaving
        self.idle_since = perf_counter()

    def _create(self, boot: bytes, make: Callable[[], Any]) -> Any:
        self._actor = actor = make()
        if self._is_over:  # given up meanwhile: ``end`` has found no actor
            self.kill()
            raise ExecutorError("its start was given up")
        self._run = actor.run
        pieces = actor.messages.options(
            num_returns="streaming",
            concurrency_group="messages",
            _generator_backpressure_num_objects=_AHEAD,
        ).remote()
        self._loop.call_soon_threadsafe(self._listen_to, pieces)
        return actor.boot.remote(boot).future()

    # -- calls ------------------------------------------------------------------------------------

    def send(self, job: Job) -> None:
        """Have ``job`` run now."""
        packed, known = job.packed, self._known
        definitions = tuple(
            [
                (d.key, d.owner, d.kind, d.payload)
                for d in packed.definitions
                if known.get(d.key) != d.version
            ]
        )
        for definition in packed.definitions:
            known[definition.key] = definition.version
        job.pid = self.pid
        job.begins()
        self.job = job
        self.calls += 1  # the actor counts in the same way
        segment = packed.segment
        if isinstance(segment, StoredSegment):
            answer = self._run.remote(packed.payload, definitions, segment.reference)
        elif definitions:
            answer = self._run.remote(packed.payload, definitions)
        else:
            answer = self._run.remote(packed.payload)
        answer.future().add_done_callback(partial(self._came, job))

    def _came(self, job: Job, answer: Any) -> None:
        """Take an answer over to the event loop; a thread of Ray calls it."""
        with suppress(RuntimeError):  # the loop is closed: nobody waits for it any more
            self._loop.call_soon_threadsafe(self._answered, job, answer)

    def _answered(self, job: Job, answer: Any) -> None:
        error = answer.exception()
        if error is not None:
            self._over(error)
            return
        said = answer.result()
        head, parts = said if type(said) is tuple else (said, None)
        kind, count = ANSWER.unpack_from(head)
        settle = partial(self._settle, job, kind, head, parts)
        if count > self._arrived:
            self._unsettled = count, settle
        else:
            settle()

    def _settle(self, job: Job, kind: int, head: bytes, parts: Any) -> None:
        self._unsettled = None
        job.answered = True
        self.job = None
        self.idle_since = perf_counter()
        if parts is not None:
            self._arrivals.value(job, partial(from_parts, parts))
        elif kind == RETURNED:
            self._arrivals.result(job, memoryview(head)[ANSWER.size :])
        else:
            self._arrivals.failure(job, memoryview(head)[ANSWER.size :], _as_it_is)
        self._owner.answered(self, job)

    def tell(self, packed: bytes) -> None:
        """Give the call that runs a message."""
        self._turns += 1
        told = self._actor.tell.options(concurrency_group="told")
        told.remote(self._turns, self.calls, packed)

    # -- what it sends ----------------------------------------------------------------------------

    def _listen_to(self, pieces: Any) -> None:
        self._listening = self._loop.create_task(self._listen(pieces))

    async def _listen(self, pieces: Any) -> None:
        try:
            async for piece in pieces:
                # What is not taken stays with Ray, whose limit holds up who sends.
                await self._may_read.wait()
                for number, is_record, packed in await piece:
                    self._message(number, is_record, packed)
                if self._unsettled is not None and self._unsettled[0] <= self._arrived:
                    self._unsettled[1]()
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._listening = None
            self._over(error)

    def _message(self, number: int, is_record: bool, packed: bytes) -> None:
        if number == STATE:
            memory, self.load = STATE_OF.unpack(packed)
            self.memory = memory or None
            return
        self._arrived += 1
        job = self.job if number == self.calls else None
        if is_record:
            running = () if self.job is None else (self.job,)
            self._window.record(job, running, self.pid, packed)
        elif job is not None and not job.future.done():
            self._window.message(job, packed, partial(self._owner.message, job, self.pid))

    def pause(self) -> None:
        """Take nothing more of what it sends, until ``resume``."""
        self._may_read.clear()

    def resume(self) -> None:
        """Take what it sends."""
        self._may_read.set()

    # -- its end ----------------------------------------------------------------------------------

    def _over(self, error: BaseException) -> None:
        """Take in that the actor is gone, once all that it has sent is here."""
        if self._is_over:
            return
        self._is_over, self.ready = True, False
        self.gone.set()
        if self._listening is None:
            self._owner.ended(self, error)
            return
        ending = self._loop.create_task(self._hear_out(self._listening, error))
        self._ending = ending  # asyncio holds tasks weakly only

    async def _hear_out(self, listening: asyncio.Task[None], error: BaseException) -> None:
        await asyncio.wait({listening}, timeout=_LAST_WORDS_SECONDS)
        listening.cancel()
        self._owner.ended(self, error)

    def crash(self, error: BaseException, title: str) -> WorkerCrashedError:
        """What the caller of ``title``, which it ran, is told."""
        return crash_of(error, title, Where(self._pool, self.pid, self.host, self.node))

    def kill(self) -> None:
        """End the actor at once; any thread may call it, and what it runs ends with it."""
        self.ready, self.leaving = False, True
        actor = self._actor
        if actor is not None:
            with suppress(Exception):  # it is gone already, or so is the connection
                RAY.module.kill(actor, no_restart=True)

    async def stop(self, seconds: float) -> None:
        """End the actor, which runs nothing, behind the hooks of its end."""
        self.ready, self.leaving = False, True
        if self._actor is not None and not self._is_over:
            stopped = self._actor.stop.remote().future()
            with suppress(Exception):  # it has died, or its hooks take too long
                await asyncio.wait_for(asyncio.wrap_future(stopped), seconds)
        await self.end()

    async def end(self) -> None:
        """Kill the actor, and wait until nothing of it is heard any more."""
        self._is_over = True
        killing = self._threads.run(self.kill)
        await asyncio.wait({killing}, timeout=_KILL_SECONDS)  # it waits for a cluster that is away
        listening, self._listening = self._listening, None
        if listening is not None:
            await asyncio.wait({listening}, timeout=_LAST_WORDS_SECONDS)
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)
        self.gone.set()


def _as_it_is(error: BaseException) -> BaseException:
    return error
