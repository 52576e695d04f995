# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The server's end of one worker process: it sends calls and settles them with what comes back.

It knows the process's socket (``link``) and frames (``wire``). It starts and kills the process
through the launcher, and never decides which call it runs: its owner, the pool, does.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import pickle
from collections import deque
from collections.abc import Callable
from time import perf_counter

from ...portable.exceptions import unpack_failure
from .arrivals import Arrivals, Window
from .exit_report import ExitReport, is_ending
from .job import Job
from .launcher import Launcher
from .link import Link
from .marks import Marks
from .oom import oom_kills
from .owner import Owner
from .wire import (
    BESIDE,
    BOOT,
    BOOT_FAILED,
    CALL,
    CALL_AHEAD,
    END,
    ENDING,
    FAILURE,
    LARGE,
    MESSAGE,
    READY,
    RESULT,
    STOP,
    TELL,
    Frame,
    frame,
)

__all__ = ["Worker"]

_logger = logging.getLogger("genro_executor_plugin")


class Worker:
    """One worker process, as the server knows it.

    Attributes:
        index: its number among the living workers of its pool, from 0 on.
        running: the calls that it runs, by number.
        ahead: the calls that were sent to it while it was busy, oldest first.
        coroutines: how many of the running calls are coroutines.
        unheard: the coroutines that were told to end while its event loop has not turned since.
        given_up: those of its calls that were told to end and have not; it takes no calls then.
        not_started: once it is gone, the calls that were sent ahead and never started.
        calls: how many calls it has been sent.
        to_be_replaced: whether it leaves as soon as another worker is up.
        memory: its resident memory in bytes when it was last read, ``None`` before.
        fault: what its faulthandler wrote when it died, empty for nothing.
        marks: what it had begun when it died, ``None`` where that is not known.
    """

    def __init__(
        self, owner: Owner[Worker], launcher: Launcher, arrivals: Arrivals, boot: bytes, index: int
    ) -> None:
        self._owner = owner
        self._launcher = launcher
        self._arrivals = arrivals
        self.index = index
        self._key = 0
        self._alarm: asyncio.TimerHandle | None = None
        self.calls = 0
        self.running: dict[int, Job] = {}
        self.ahead: deque[tuple[int, Job]] = deque()
        self.not_started: list[Job] = []
        self.coroutines = 0
        self.unheard: set[int] = set()
        self.given_up: set[int] = set()
        self.pid: int | None = None
        self.boot_error: BaseException | None = None
        self.born_at = perf_counter()
        self.idle_since = self.born_at
        self.ready = self.leaving = self.to_be_replaced = False
        self.memory: int | None = None
        self.fault = ""
        self.marks: Marks | None = None
        self.killed = self._cut_off = False
        self._oom_kills = oom_kills()
        self._link = Link(self._launch)
        self._window = Window(self._link)
        self._link.watch(self._readable)
        self._link.write(frame(BOOT, 0, boot))

    def _launch(self, descriptors: list[int]) -> int:
        self._key = self._launcher.start_worker(descriptors, self._exited)
        return self._key

    # -- what the pool asks for ---------------------------------------------------------------

    @property
    def sync_running(self) -> int:
        """How many of the running calls occupy a thread of it."""
        return len(self.running) - self.coroutines

    @property
    def usable(self) -> bool:
        """Whether it may be sent a call."""
        return self.ready and not self.leaving and self._link.open

    def send(self, job: Job) -> bool:
        """Run ``job`` now; ``False`` if it takes no calls, or turns out to be gone already."""
        if not self.usable:
            return False
        number = self.calls = self.calls + 1
        try:
            if not self._link.send(CALL, number, job):
                return False
        except BlockingIOError:
            job.not_taken_over(self.pid)
            return True
        self.running[number] = job
        if job.is_coroutine:
            self.coroutines += 1
        job.started_at = perf_counter()
        job.begun = True
        return True

    def send_ahead(self, jobs: list[Job]) -> None:
        """Send ``jobs`` to be run after the running calls, unless they are taken back before."""
        frames, numbers = [], []
        for job in jobs:
            self.calls += 1
            try:
                frames.append(self._link.encode(CALL_AHEAD, self.calls, job))
            except BlockingIOError:
                job.not_taken_over(self.pid)
                continue
            except OSError:
                frames.append(b"")  # the process is gone; the call goes back into the queue
            self.ahead.append((self.calls, job))
            numbers.append(self.calls)
        self._link.claims.give(numbers)
        self._link.write(b"".join(frames))

    def take_back(self) -> Job | None:
        """Take the oldest call that has not started back from it; ``None`` if there is none."""
        number = self._link.claims.take_back() if self._link.open else None
        if number is None:
            return None
        job = self.running.pop(number, None)  # it was expected to run, and has not started
        if job is None:
            job = next(waiting for n, waiting in self.ahead if n == number)
            self.ahead.remove((number, job))
        job.started_at = None
        job.begun = False
        self._next_runs()
        return job

    def tell(self, job: Job, message: bytes) -> bool:
        """Give the running ``job`` a message; ``False`` if it is not running here."""
        number = self.number_of(job)
        return number is not None and self._link.write(frame(TELL, number, message))

    def number_of(self, job: Job) -> int | None:
        """The number of the running ``job``; ``None`` if it is not running here."""
        return next((number for number, running in self.running.items() if running is job), None)

    def end(self, job: Job) -> None:
        """Have the run of ``job`` end; other calls go on. It ends with an answer, as any run."""
        number = self.number_of(job)
        if number is not None and self._link.write(frame(END, number)) and job.is_coroutine:
            self.unheard.add(number)

    def stop(self, grace_seconds: float) -> None:
        """Have it end by itself; it is killed if it has not ended after ``grace_seconds``."""
        if not self.ready:
            self.kill()
            return
        self.leaving = True
        if self._alarm is None:
            self._alarm = asyncio.get_running_loop().call_later(grace_seconds, self.kill)
            self._link.write(frame(STOP))

    def must_start_within(self, seconds: float) -> None:
        """Kill it if it is not ready after ``seconds``."""
        self._alarm = asyncio.get_running_loop().call_later(seconds, self._starts_too_long, seconds)

    def _starts_too_long(self, seconds: float) -> None:
        self.boot_error = TimeoutError(
            f"it was not ready after {seconds:g} s, its start_timeout; what its initializer or a "
            "module waits for does not come"
        )
        self._launcher.give_up(self._key)

    def kill(self) -> None:
        """Kill it now. Nothing that it still sends is read."""
        self.leaving = self.killed = True
        self._hang_up()
        self._launcher.forget(self._key)

    def abandon(self) -> None:
        """Close its descriptors without the event loop, which is closed already; so it ends."""
        self._link.abandon()

    # -- from the process ---------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            frames = self._link.read()
        except BlockingIOError:
            return
        except (EOFError, ConnectionError):
            # If it lives, nobody can reach it any more: hanging up ends it.
            self._cut_off = self.pid is not None and not is_ending(self.pid)
            self._hang_up()
            self._launcher.forget(self._key)
            return
        for item in frames:
            self._receive(item)

    def _receive(self, item: Frame) -> None:
        if self.killed:
            return
        kind, number, detail, payload = item
        if kind == RESULT:
            job = self._finished(number)
            job.microseconds = detail
            if job.steps is None and type(payload) is bytes and b"\x93" not in payload:
                # Plain data, nearly always: it names nothing that could have to be imported.
                if not job.future.done():
                    job.settle(pickle.loads, payload)
            else:
                self._arrivals.result(job, payload)
            self._owner.job_done(self, job)
        elif kind == FAILURE:
            job = self._finished(number)
            if not job.future.done():
                judged = functools.partial(self._owner.judged, self, job)
                self._arrivals.failure(job, payload, judged)
            self._owner.job_done(self, job)
        elif kind == RESULT + LARGE:
            job = self._finished(number)
            job.microseconds = detail
            self._arrivals.large_result(job, self._link.handover, payload)
            self._owner.job_done(self, job)
        elif kind == MESSAGE:
            self._message(self.running.get(number), payload, detail)
        elif kind == BESIDE:
            if (running := self.running.get(number)) is not None and not running.is_coroutine:
                running.is_coroutine = True
                self.coroutines += 1
                self._next_runs()
                self._owner.freed(self)
        elif kind == ENDING:
            self.unheard.discard(number)
            self._owner.freed(self)
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
        """The job of ``number``, which is answered; the next one that was sent ahead runs now."""
        job = self.running.pop(number, None)
        if job is None:
            job = next(waiting for n, waiting in self.ahead if n == number)
            self.ahead.remove((number, job))
            job.started_at = job.started_at or perf_counter()
        job.answered = True
        if job.is_coroutine:
            self.coroutines -= 1
        if job.ending is not None:
            job.ending.cancel()
            self.unheard.discard(number)
            self.given_up.discard(number)
        if self.ahead:
            self._next_runs()
        return job

    def _next_runs(self) -> None:
        """Count the oldest call that was sent ahead as running, if no other one runs."""
        if self.ahead and not self.sync_running:
            number, job = self.ahead.popleft()
            job.started_at = perf_counter()
            job.begun = True
            self.running[number] = job
            self._owner.run_begins(job)

    def _message(self, job: Job | None, payload: bytes | memoryview, is_record: int) -> None:
        if is_record:
            # A thread that a call has started logs without a number: it may be any call's.
            for sender in self.running.values() if job is None else (job,):
                sender.has_sent()
            self._arrivals.record(job, self.pid, payload)
            self._window.add(len(payload), self._arrivals.records.behind)
            return
        self._arrivals.message(job, payload, functools.partial(self._pass_on, job))
        if job is not None and job.steps:
            self._window.add(len(payload), job.behind)

    def _pass_on(self, job: Job | None, rebuilt: Callable[[], tuple[str, object]]) -> None:
        try:
            channel, value = rebuilt()
        except KeyboardInterrupt:
            raise
        except BaseException:  # the frames behind it still have to be read
            _logger.exception("worker %s sent a message that cannot be rebuilt here", self.pid)
        else:
            self._owner.message(self, job, channel, value)

    def catch_up(self) -> None:
        """Read what it has sent by now; it may go on sending without pause."""
        for _ in range(self._link.reads_left):
            if not self._link.open:
                return
            try:
                frames = self._link.read()
            except (BlockingIOError, EOFError, ConnectionError):
                return  # the event loop notices the end by itself
            for item in frames:
                self._receive(item)

    def _exited(self, report: ExitReport) -> None:
        self.catch_up()  # what it sent before it ended still counts
        self._hang_up()
        if self._alarm is not None:
            self._alarm.cancel()
        self._owner.worker_ended(self, report.of(self._oom_kills, self._cut_off))

    def _hang_up(self) -> None:
        if self._link.open:
            while (job := self.take_back()) is not None:
                self.not_started.append(job)
            if not self.killed:
                self.fault, self.marks = self._link.handover.last_words()
            self._launcher.kill(self._key)  # first: it may have to look at what is below it
            self._link.close()
