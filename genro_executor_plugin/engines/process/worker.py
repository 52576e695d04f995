# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0
"""The server's end of one worker process."""

from __future__ import annotations

import asyncio
import functools
import logging
import pickle
from collections import deque
from time import perf_counter
from typing import Any, Protocol

from ...errors import ExecutorOverloadError, SerializationError
from ...portable.exceptions import unpack_failure
from ...portable.pickling import why
from .copying import LargeValueCopier
from .exit_report import ExitReport
from .job import Job
from .launcher import Launcher
from .link import Link
from .wire import (
    BOOT,
    BOOT_FAILED,
    CALL,
    CALL_AHEAD,
    DEFINE,
    FAILURE,
    HEADER,
    LARGE,
    MESSAGE,
    READY,
    RESULT,
    STOP,
    TELL,
    Frame,
    frame,
)

__all__ = ["Owner", "Worker"]


_logger = logging.getLogger("genro_executor_plugin")


class Owner(Protocol):
    """What a worker tells the pool that owns it."""

    def worker_started(self, worker: Worker) -> None:
        """It is up and can take its first call."""

    def run_begins(self, job: Job) -> None:
        """A call that was sent ahead is taken to run now."""

    def job_done(self, worker: Worker, job: Job) -> None:
        """It has settled ``job``, or has all that is needed for it."""

    def message(self, worker: Worker, job: Job | None, channel: str, value: Any) -> None:
        """A call in it, or code outside of any call, has sent ``value``."""

    def worker_ended(self, worker: Worker, report: ExitReport) -> None:
        """It is gone; its jobs are still with it."""


class Worker:
    """Sends calls to one process and settles them with what comes back.

    It never decides which call runs where; its pool does.

    Attributes:
        running: the calls that it runs, by number.
        ahead: the calls that were sent to it while it was busy, oldest first.
        coroutines: how many of the running calls are coroutines.
        not_started: once it is gone, the calls that were sent ahead and never started.
        calls: how many calls it has been sent.
        outgoing: whether another worker is on its way to replace it.
        memory: its resident memory in bytes when it was last looked at, ``None`` before.
        fault: what its faulthandler wrote when it died, empty for nothing.
    """

    def __init__(
        self, owner: Owner, launcher: Launcher, copier: LargeValueCopier, boot: bytes
    ) -> None:
        self._owner = owner
        self._launcher = launcher
        self._copier = copier
        self._key = 0
        self._known: dict[int, int] = {}
        self._alarm: asyncio.TimerHandle | None = None
        self.calls = 0
        self.running: dict[int, Job] = {}
        self.ahead: deque[tuple[int, Job]] = deque()
        self.not_started: list[Job] = []
        self.coroutines = 0
        self.pid: int | None = None
        self.boot_error: BaseException | None = None
        self.born_at = perf_counter()
        self.idle_since = self.born_at
        self.ready = False
        self.leaving = False
        self.outgoing = False
        self.memory: int | None = None
        self.fault = ""
        self.killed = False
        self._link = Link(self._launch)
        self._link.watch(self._readable)
        self._link.write(frame(BOOT, 0, boot))

    def _launch(self, descriptors: list[int]) -> int:
        self._key = self._launcher.start_worker(descriptors, self._exited)
        return self._key

    # -- what the pool asks of it -----------------------------------------------------------

    @property
    def sync_running(self) -> int:
        """How many of the running calls occupy a thread of it."""
        return len(self.running) - self.coroutines

    @property
    def usable(self) -> bool:
        """Whether it may be sent a call."""
        return self.ready and not self.leaving and self._link.open

    def send(self, job: Job) -> bool:
        """Run ``job`` now; ``False`` if the process turns out to be gone already."""
        number = self.calls = self.calls + 1
        try:
            data = self._frames(CALL, number, job)
        except BlockingIOError:
            job.fail(self._swamped(job))
            return True
        except OSError:
            return False
        if not self._link.write(data):
            return False
        self.running[number] = job
        if job.packed.is_async:
            self.coroutines += 1
        job.started_at = perf_counter()
        job.begun = True
        return True

    def send_ahead(self, jobs: list[Job]) -> None:
        """Run ``jobs`` after what it runs, unless they are taken back before."""
        frames, numbers = [], []
        for job in jobs:
            self.calls += 1
            try:
                frames.append(self._frames(CALL_AHEAD, self.calls, job))
            except BlockingIOError:
                job.fail(self._swamped(job))
                continue
            except OSError:
                frames.append(b"")  # it is gone, and its end gives the call back
            self.ahead.append((self.calls, job))
            numbers.append(self.calls)
        self._link.claims.give(numbers)
        self._link.write(b"".join(frames))

    def take_back(self) -> Job | None:
        """The oldest call that was sent ahead and not started; ``None`` if there is none."""
        number = self._link.claims.take_back() if self._link.open else None
        if number is None:
            return None
        job = self.running.pop(number, None)  # it was next, and has not been started after all
        if job is None:
            job = next(waiting for n, waiting in self.ahead if n == number)
            self.ahead.remove((number, job))
        job.started_at = None
        job.begun = False
        self._next_runs()
        return job

    def tell(self, job: Job, message: bytes) -> bool:
        """Give the running ``job`` a message; ``False`` if it is not running here."""
        for number, running in self.running.items():
            if running is job:
                return self._link.write(frame(TELL, number, message))
        return False

    def stop(self, grace_seconds: float) -> None:
        """Have it end by itself; it is killed when its own end takes longer than it may."""
        if not self.ready:
            self.kill()
            return
        self.leaving = True
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(grace_seconds, self.kill)
            self._link.write(frame(STOP))

    def must_start_within(self, seconds: float) -> None:
        """Have it killed if it is not ready after ``seconds``."""
        self._alarm = asyncio.get_running_loop().call_later(seconds, self._starts_too_long, seconds)

    def _starts_too_long(self, seconds: float) -> None:
        self.boot_error = TimeoutError(
            f"it was not ready after {seconds:g} s, its start_timeout; what its initializer or a "
            "module waits for does not come"
        )
        self._launcher.give_up(self._key)

    def kill(self) -> None:
        """End it now. Nothing that it still sends is read."""
        self.leaving = self.killed = True
        self._hang_up()
        self._launcher.forget(self._key)

    def abandon(self) -> None:
        """Let go of it without its event loop, which is closed already."""
        self._link.abandon()

    # -- to the process -----------------------------------------------------------------------

    def _swamped(self, job: Job) -> ExecutorOverloadError:
        return ExecutorOverloadError(
            f"worker {self.pid} has not taken over the large arguments of earlier calls yet; "
            f"{job.packed.title} was not started. Lower max_pending"
        )

    def _frames(self, kind: int, number: int, job: Job) -> bytes:
        """The call as a frame, behind the definitions that the process does not have yet.

        Raises:
            BlockingIOError: the process has too many large arguments to take over as it is.
            OSError: the process is gone.
        """
        call = job.packed
        payload = call.payload
        if call.segment is not None:
            if self._link.open:
                self._link.handover.give(call.segment)
            kind += LARGE
        soft_timeout = int(job.soft_timeout * 1000) if job.soft_timeout else 0
        data = HEADER.pack(len(payload), number, soft_timeout, kind) + payload
        known = self._known
        for definition in call.definitions:
            if known.get(definition.key) != definition.version:
                return self._defined(job) + data
        return data

    def _defined(self, job: Job) -> bytes:
        frames = []
        for definition in job.packed.definitions:
            if self._known.get(definition.key) != definition.version:
                self._known[definition.key] = definition.version
                kind = DEFINE + definition.kind
                frames.append(frame(kind, definition.key, definition.payload, definition.owner))
        return b"".join(frames)

    # -- from the process ---------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            frames = self._link.read()
        except BlockingIOError:
            return
        except (EOFError, ConnectionError):
            self._hang_up()
            self._launcher.forget(self._key)
            return
        for item in frames:
            self._receive(item)

    def _receive(self, item: Frame) -> None:
        if self.killed:
            return
        kind, number, owner, payload = item
        if kind == RESULT:
            job = self._finished(number)
            job.microseconds = owner
            if not job.future.done():
                job.settle(pickle.loads, payload)
            self._owner.job_done(self, job)
        elif kind == FAILURE:
            job = self._finished(number)
            job.raised = True
            job.fail(unpack_failure(payload))
            self._owner.job_done(self, job)
        elif kind == RESULT + LARGE:
            job = self._finished(number)
            job.microseconds = owner
            self._take_large(job, payload)
            self._owner.job_done(self, job)
        elif kind == MESSAGE:
            self._pass_on(self.running.get(number), payload)
        elif kind == READY:
            self.pid = number
            self.ready = True
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None
            self._owner.worker_started(self)
        elif kind == BOOT_FAILED:
            self.boot_error = unpack_failure(payload)

    def _finished(self, number: int) -> Job:
        """The job of ``number``; the next one that was sent ahead is taken to run now."""
        job = self.running.pop(number, None)
        if job is None:
            position = next(i for i, (n, _) in enumerate(self.ahead) if n == number)
            job = self.ahead[position][1]
            del self.ahead[position]
            job.started_at = job.started_at or perf_counter()
        job.answered = True
        if job.packed.is_async:
            self.coroutines -= 1
        if self.ahead:
            self._next_runs()
        return job

    def _next_runs(self) -> None:
        """Take the oldest call that was sent ahead to run now, if none does."""
        if self.ahead and not self.sync_running:
            number, job = self.ahead.popleft()
            job.started_at = perf_counter()
            job.begun = True
            self.running[number] = job
            self._owner.run_begins(job)

    def _take_large(self, job: Job, layout: bytes | memoryview) -> None:
        handover = self._link.handover
        try:
            fd, number = handover.take()
        except OSError as error:
            refusal = SerializationError(
                f"the result of {job.packed.title} cannot be taken over: {why(error)}"
            )
            refusal.__cause__ = error
            job.fail(refusal)
            return
        self._copier.deliver(job, fd, layout, functools.partial(handover.has_read, number))

    def _pass_on(self, job: Job | None, payload: bytes | memoryview) -> None:
        try:
            channel, value = pickle.loads(payload)
        except KeyboardInterrupt:
            raise
        except BaseException:  # it must not take the frames behind it along
            _logger.exception("worker %s sent a message that cannot be rebuilt here", self.pid)
        else:
            self._owner.message(self, job, channel, value)

    def catch_up(self) -> None:
        """Take in all that it has sent so far."""
        while self._link.open:
            try:
                frames = self._link.read()
            except (BlockingIOError, EOFError, ConnectionError):
                return  # of its end the loop reads, too
            for item in frames:
                self._receive(item)

    def _exited(self, report: ExitReport) -> None:
        self.catch_up()  # what it had sent before it ended still counts
        self._hang_up()
        if self._alarm is not None:
            self._alarm.cancel()
        self._owner.worker_ended(self, report)

    def _hang_up(self) -> None:
        if self._link.open:
            while (job := self.take_back()) is not None:
                self.not_started.append(job)
            if not self.killed:
                self.fault = self._link.handover.last_words()
            self._link.close()
            self._launcher.kill(self._key)
