# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the calls of a pool send, and what of it is handled on threads instead of the event loop.

::

    log records, warnings     the pool's one thread for records, in their order
    values that take long     rebuilt on a thread: large ones, those that import a module, and
                              those with a class of users that has a say in how it is rebuilt
    exceptions                rebuilt on a thread: classes of users, whose texts are asked for
    all other values          at once, on the event loop

Each call keeps its order: its outcome comes behind its records and messages. A call that sends
nothing but a small result is settled by ``Worker`` itself and never comes here.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from ...errors import RemoteError, SerializationError
from ...portable.exceptions import unpack_failure
from ...portable.pickling import why
from ...portable.quickness import rebuilt_at_once
from ...portable.shared_memory.reading import loads_in_pieces, read_value
from .handover import Handover
from .job import Job
from .threads import Threads

__all__ = ["Arrivals", "OnRecord", "Source", "Window"]

_logger = logging.getLogger("genro_executor_plugin")

OnRecord = Callable[[Job | None, int | None, bytes | memoryview], None]
"""Handles a packed record of a job, or of code outside of any call; called on a thread."""

_VALUE_THREADS = 2

REBUILD_SECONDS = 30.0
"""How long rebuilding one value may take; its call fails then."""

_UNHANDLED, _UNHANDLED_BYTES = 200, 2**20
"""How much of what one worker sends may wait to be handled before nothing more is read from it."""

_CLOSE_SECONDS = 10.0
"""How long the end of a pool waits for records that are still being handled."""


class Source(Protocol):
    """What a worker's records and messages are read from."""

    def pause(self) -> None:
        """Read nothing more from it."""

    def resume(self) -> None:
        """Read from it again."""


class Window:
    """Bounds what has arrived from one worker and is not handled yet.

    When it is full, nothing more is read from the worker until what is there has been handled: a
    worker that sends without pause is held up, and fills neither the memory nor the event loop.
    """

    __slots__ = ("_arrivals", "_bytes", "_count", "_source")

    def __init__(self, source: Source, arrivals: Arrivals) -> None:
        self._source = source
        self._arrivals = arrivals
        self._count = self._bytes = 0

    def record(
        self, job: Job | None, running: Iterable[Job], pid: int | None, packed: bytes | memoryview
    ) -> None:
        """Have a record of ``job`` handled, or of code outside of the calls that are running."""
        # A thread that a call has started logs without a number: it may be any call's.
        for sender in running if job is None else (job,):
            sender.has_sent()
        self._arrivals.record(job, pid, packed)
        self._add(len(packed), self._arrivals.records.behind)

    def message(
        self, job: Job | None, packed: bytes | memoryview, deliver: Callable[[str, Any], None]
    ) -> None:
        """Have a message rebuilt and delivered."""
        self._arrivals.message(job, packed, deliver)
        if job is not None and job.steps:
            self._add(len(packed), job.behind)

    def _add(self, size: int, behind: Callable[[Callable[[], None]], None]) -> None:
        """Count something of ``size`` bytes; ``behind`` calls its argument once it is handled."""
        self._count += 1
        self._bytes += size
        if self._count >= _UNHANDLED or self._bytes >= _UNHANDLED_BYTES:
            self._count = self._bytes = 0
            self._source.pause()
            behind(self._source.resume)


class Arrivals:
    """Handles what arrives from the workers of one pool, in the order of each call."""

    def __init__(self, pool: str, loop: asyncio.AbstractEventLoop, on_record: OnRecord) -> None:
        self._loop = loop
        self._on_record = on_record
        self.records: Threads = Threads(f"genro-executor-{pool}-records", 1, loop)
        self.values: Threads = Threads(f"genro-executor-{pool}-values", _VALUE_THREADS, loop)

    def record(self, job: Job | None, pid: int | None, packed: bytes | memoryview) -> None:
        """Have a record handled; outcomes of jobs that ``has_sent`` wait for that."""
        self.records.put(functools.partial(self._on_record, job, pid, packed))

    def message(
        self,
        job: Job | None,
        packed: bytes | memoryview,
        deliver: Callable[[str, Any], None],
    ) -> None:
        """Rebuild a message and ``deliver`` its channel and its value."""
        at_once = rebuilt_at_once(packed) if job is None or not job.steps else None
        if at_once is not None:
            _deliver(deliver, at_once)
            return

        def start(done: Callable[[], None]) -> None:
            def rebuilt(rebuilding: asyncio.Future[Any]) -> None:
                _deliver(deliver, rebuilding.result)
                done()

            self._rebuild(functools.partial(loads_in_pieces, packed)).add_done_callback(rebuilt)

        if job is None:
            start(_nothing)
        else:
            job.has_sent()
            job.then(start)

    def result(self, job: Job, packed: bytes | memoryview) -> None:
        """Settle ``job`` with its result, behind what it has sent before."""
        at_once = rebuilt_at_once(packed)
        if at_once is not None:
            self._behind(job, functools.partial(job.settle, at_once))
        else:
            self._settle(job, functools.partial(loads_in_pieces, packed))

    def failure(
        self,
        job: Job,
        packed: bytes | memoryview,
        judged: Callable[[BaseException], BaseException],
    ) -> None:
        """Settle ``job`` with what its function has raised, behind what it has sent before.

        Args:
            job: the call that has failed.
            packed: the exception.
            judged: returns what the caller is given for an exception that tells of a lack.
        """

        def fail(rebuilt: Callable[[], Any]) -> None:
            try:
                error: BaseException = rebuilt()
            except Exception as unreadable:
                error = RemoteError(
                    f"the function failed, and its exception cannot be read here: {unreadable}"
                )
            job.raised = True
            job.fail(judged(error) if isinstance(error, OSError | MemoryError) else error)

        self._wait_for_records(job)
        job.then(
            self._on_a_thread(job, functools.partial(unpack_failure, packed, loads_in_pieces), fail)
        )

    def value(self, job: Job, rebuild: Callable[[], Any]) -> None:
        """Settle ``job`` with what ``rebuild`` returns on a thread, behind what it has sent."""
        self._settle(job, rebuild)

    def large_result(self, job: Job, handover: Handover, layout: bytes | memoryview) -> None:
        """Settle ``job`` with a result in a segment that the worker has given to ``handover``."""
        try:
            fd, number = handover.take()
        except OSError as error:
            refusal = SerializationError(
                f"the result of {job.packed.title} cannot be taken over: {why(error)}"
            )
            refusal.__cause__ = error
            self.fail(job, refusal)
            return
        read = functools.partial(read_value, fd, bytes(layout))
        self._settle(job, read, functools.partial(handover.has_read, number))

    def fail(self, job: Job, error: BaseException) -> None:
        """Fail ``job`` behind what it has sent before."""
        self._behind(job, functools.partial(job.fail, error))

    def _behind(self, job: Job, end: Callable[[], None]) -> None:
        """Call ``end`` behind what ``job`` has sent before."""
        if job.steps is None:
            end()
            return

        def start(done: Callable[[], None]) -> None:
            end()
            done()

        self._wait_for_records(job)
        job.then(start)

    def _wait_for_records(self, job: Job) -> None:
        if job.steps is not None:
            job.then(self.records.behind)

    def _settle(
        self, job: Job, rebuild: Callable[[], Any], has_read: Callable[[], None] | None = None
    ) -> None:
        def settle(rebuilt: Callable[[], Any]) -> None:
            job.settle(rebuilt)
            if has_read is not None:
                has_read()

        self._wait_for_records(job)
        job.then(self._on_a_thread(job, rebuild, settle))

    def _on_a_thread(
        self, job: Job, rebuild: Callable[[], Any], then: Callable[[Callable[[], Any]], None]
    ) -> Callable[[Callable[[], None]], None]:
        """A step of ``job``: ``rebuild`` on a thread, and ``then`` with what that was."""

        def start(done: Callable[[], None]) -> None:
            def rebuilt(rebuilding: asyncio.Future[Any]) -> None:
                try:
                    then(rebuilding.result)
                except BaseException as error:
                    job.went_wrong(error)
                finally:
                    done()

            self._rebuild(rebuild).add_done_callback(rebuilt)

        return start

    def _rebuild(self, rebuild: Callable[[], Any]) -> asyncio.Future[Any]:
        """What ``rebuild`` returns, or an error if that takes too long."""
        rebuilding = self.values.run(rebuild)
        limit = self._loop.call_later(REBUILD_SECONDS, self._give_up, rebuilding)
        rebuilding.add_done_callback(lambda _: limit.cancel())
        return rebuilding

    def _give_up(self, rebuilding: asyncio.Future[Any]) -> None:
        if not rebuilding.done():
            self.values.replace_one()
            rebuilding.set_exception(
                SerializationError(f"rebuilding it takes longer than {REBUILD_SECONDS:g} s")
            )

    def abandon(self) -> None:
        """End the threads without the event loop, which is closed already."""
        self.records.end()
        self.values.end()

    async def close(self) -> None:
        """End the threads as soon as they have finished what they do."""
        await self.records.close(_CLOSE_SECONDS)
        await self.values.close(_CLOSE_SECONDS)


def _deliver(deliver: Callable[[str, Any], None], rebuilt: Callable[[], tuple[str, Any]]) -> None:
    try:
        channel, value = rebuilt()
    except BaseException:  # what comes behind it has to be taken in nevertheless
        _logger.exception("a worker sent a message that cannot be rebuilt here")
    else:
        deliver(channel, value)


def _nothing() -> None:
    return
