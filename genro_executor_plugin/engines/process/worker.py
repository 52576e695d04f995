# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The server's end of one worker process: it sends calls and settles them with what comes back.

It knows the process's socket (``link``) and frames (``wire``); how the process starts and ends is
in ``life``. It never decides which call it runs: its owner, the pool, does.
"""

from __future__ import annotations

import logging
import pickle
from functools import partial
from time import perf_counter

from ...portable.exceptions import unpack_failure
from .arrivals import Arrivals, Window
from .exit_report import ExitReport, is_ending
from .handover import NonsenseError
from .job import Job
from .launcher import Launcher
from .life import WorkerLife
from .owner import WorkerOwner
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
    TELL,
    UNCLAIMED,
    WRONG,
    Frame,
    frame,
)

__all__ = ["Worker"]

_GLOBAL = pickle.STACK_GLOBAL[0]
"""The byte without which a pickle holds no class and no instance of one, only plain values."""

_logger = logging.getLogger("genro_executor_plugin")


class Worker(WorkerLife):
    """One worker process, as the server knows it."""

    __slots__ = ("_answered", "_arrivals", "_owner", "_window")

    calls: int
    coroutines: int
    pid: int | None
    ready: bool
    boot_error: BaseException | None

    def __init__(
        self,
        owner: WorkerOwner[Worker],
        launcher: Launcher,
        arrivals: Arrivals,
        boot: bytes,
        index: int,
    ) -> None:
        super().__init__(launcher, index, owner.run_begins, self._exited)
        self._owner, self._arrivals = owner, arrivals
        self._answered: Job | None = None
        self._window = Window(self._link, arrivals)
        self._link.watch(self._readable, self._talks_nonsense)
        self._link.write(frame(BOOT, 0, boot))

    def send(self, job: Job) -> bool:
        """Run ``job`` now; ``False`` if it takes no calls, or turns out to be gone already."""
        if not self.ready or self.leaving:
            return False
        self.calls += 1
        number = self.calls
        link = self._link
        try:
            if not link.write(link.encode(CALL, number, job)):
                return False
        except BlockingIOError:
            job.too_many_large_ones(self.pid)
            return True
        except OSError:
            return False
        self.running[number] = job
        if job.is_coroutine:
            self.coroutines += 1
        job.pid = self.pid
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
                job.too_many_large_ones(self.pid)
                continue
            except OSError:
                frames.append(b"")  # the process is gone; the call goes back into the queue
            job.pid = self.pid
            self.ahead.append((self.calls, job))
            numbers.append(self.calls)
        self._link.claims.give(numbers)
        self._link.write(b"".join(frames))

    def tell(self, job: Job, message: bytes) -> bool:
        """Give the running ``job`` a message; ``False`` if it is not running here."""
        number = self.number_of(job)
        return number is not None and self._link.write(frame(TELL, number, message))

    def end(self, job: Job) -> None:
        """Have the run of ``job`` end; other calls go on. It ends with an answer, as any run."""
        number = self.number_of(job)
        if number is not None and self._link.write(frame(END, number)) and job.is_coroutine:
            self.unheard.add(number)

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
        except BaseException:  # what was read of a frame may be lost
            _logger.exception("worker %s cannot be read any more; it is killed", self.pid)
            self._talks_nonsense("what could not be read")
            return
        self._receive_all(frames)

    def _receive_all(self, frames: list[Frame]) -> None:
        """Take in ``frames``; what goes wrong with one fails its call, and not the next ones."""
        for item in frames:
            if self.killed or self.nonsense:
                return
            kind, number, detail, payload = item
            try:
                if kind == RESULT:
                    job = self._finished(number)
                    job.microseconds = detail
                    if job.steps is None and type(payload) is bytes and _GLOBAL not in payload:
                        # Plain data, nearly always: it names nothing that has to be imported.
                        try:
                            result = pickle.loads(payload)
                        except BaseException as error:
                            job.cannot_be_rebuilt(error)
                        else:
                            if not job.future.done():
                                job.future.set_result(result)
                    else:
                        self._arrivals.result(job, payload)
                    self._owner.job_done(self, job)
                else:
                    self._receive(kind, number, detail, payload)
            except BaseException as error:
                self._went_wrong(item, error)
            self._answered = None

    def _receive(self, kind: int, number: int, detail: int, payload: bytes | memoryview) -> None:
        if kind == FAILURE or kind == RESULT + LARGE:
            job = self._finished(number)
            if kind == FAILURE:
                self._arrivals.failure(job, payload, partial(self._owner.judged, self, job))
            else:
                job.microseconds = detail
                self._arrivals.large_result(job, self._link.handover, payload)
            self._owner.job_done(self, job)
        elif kind == MESSAGE and number <= self.calls:
            of = self.running.get(number)
            if detail:
                self._window.record(of, self.running.values(), self.pid, payload)
            else:
                self._window.message(of, payload, partial(self._owner.message, self, of))
        elif kind == BESIDE and (running := self.running.get(number)) is not None:
            self.runs_beside(running)
            self._next_runs()
            self._owner.freed(self)
        elif kind == ENDING:
            self.unheard.discard(number)
            self._owner.freed(self)
        elif kind == UNCLAIMED:
            if number >= self.taken_back:
                self.taken_back = 0
            if (lost := self._not_started(number)) is not None:
                self._owner.unclaimed(self, lost)
        elif kind == READY and not self.ready:
            self.pid, self.ready = number, True
            if self._alarm is not None:
                self._alarm.cancel()
                self._alarm = None
            self._owner.worker_started(self)
        elif kind == BOOT_FAILED and not self.ready:
            self.boot_error = unpack_failure(payload)
        elif kind == WRONG:
            raise NonsenseError(bytes(payload).decode())
        else:
            raise NonsenseError(f"a frame of kind {kind} for call {number}, out of turn")

    def _went_wrong(self, item: Frame, error: BaseException) -> None:
        """End what the frame ``item``, which could not be taken in, was about."""
        job, self._answered = self._answered, None
        try:
            if isinstance(error, NonsenseError):
                if job is not None:
                    self.running[item[1]] = job  # it ends as one whose worker has crashed
                self._talks_nonsense(str(error))
                return
            _logger.error("a frame of worker %s was lost", self.pid, exc_info=error)
            if job is not None:
                job.cannot_be_settled(error)
                self._owner.job_done(self, job)
            elif item[0] == READY:
                self._talks_nonsense("a start that could not be taken in")
        except BaseException:
            _logger.exception("worker %s could not be freed; it is killed", self.pid)
            self._talks_nonsense("an answer that could not be taken in")

    def _finished(self, number: int) -> Job:
        """The job of ``number``, which is answered; the next one that was sent ahead runs now."""
        job = self.running.pop(number, None)
        if job is None:
            job = self._remove(number)
            if job is None:
                raise NonsenseError(f"an answer to call {number}, which it does not run")
            job.started_at = job.started_at or perf_counter()
        self._answered = job
        job.answered = True
        if job.is_coroutine:
            self.coroutines -= 1
        if job.ending is not None:
            self.has_ended(number, job)
        if self.ahead:
            self._next_runs()
        return job

    def catch_up(self) -> None:
        """Read what it has sent by now; it may go on sending without pause."""
        for _ in range(self._link.reads_left):
            if not self._link.open:
                return
            try:
                frames = self._link.read()
            except (BlockingIOError, EOFError, ConnectionError):
                return  # the event loop notices the end by itself
            self._receive_all(frames)

    def _exited(self, report: ExitReport) -> None:
        try:
            self.catch_up()  # what it sent before it ended still counts
            self._hang_up()
            if self._alarm is not None:
                self._alarm.cancel()
        finally:
            self._owner.worker_ended(self, report.of(self._oom_kills, self._cut_off))
