# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""The server's end of one worker process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import socket
from collections import deque
from time import perf_counter
from typing import Any, Protocol

from ..errors import SerializationError
from ..failures import unpack_failure
from ..pickling import why
from .claims import Claims
from .job import Job
from .launcher import ExitReport, Launcher
from .wire import (
    BOOT,
    BOOT_FAILED,
    CALL,
    CALL_AHEAD,
    DEFINE,
    FAILURE,
    MESSAGE,
    READY,
    RESULT,
    STOP,
    TELL,
    FrameCutter,
    frame,
)

__all__ = ["Owner", "Worker"]


class Owner(Protocol):
    """What a worker tells the pool that owns it."""

    def worker_started(self, worker: Worker) -> None:
        """It is up and can take its first call."""

    def job_done(self, worker: Worker, job: Job) -> None:
        """It has settled ``job``."""

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
    """

    def __init__(self, owner: Owner, launcher: Launcher, boot: bytes) -> None:
        self._owner = owner
        self._launcher = launcher
        self._loop = asyncio.get_running_loop()
        with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
            self._socket, their_socket = socket.socketpair()
            ours.callback(self._socket.close)
            theirs.callback(their_socket.close)
            self._claims = Claims()
            ours.callback(self._claims.close)
            lifeline, self._lifeline = os.pipe()
            ours.callback(os.close, self._lifeline)
            theirs.callback(os.close, lifeline)
            self._key = launcher.start_worker(
                [their_socket.fileno(), lifeline, self._claims.worker_fd], self._exited
            )
            self._descriptors = ours.pop_all()
        self._socket.setblocking(False)
        self._cutter = FrameCutter(self._socket)
        self._outgoing: deque[memoryview] = deque()
        self._known: dict[int, int] = {}
        self._number = 0
        self._open = True
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
        self.killed = False
        self._told_to_stop = False
        self._loop.add_reader(self._socket, self._readable)
        self._write(frame(BOOT, 0, boot))

    # -- what the pool asks of it -----------------------------------------------------------

    @property
    def calls(self) -> int:
        """How many calls it has been sent."""
        return self._number

    @property
    def sync_running(self) -> int:
        """How many of the running calls occupy a thread of it."""
        return len(self.running) - self.coroutines

    @property
    def usable(self) -> bool:
        """Whether it may be sent a call."""
        return self._open and self.ready and not self.leaving

    def send(self, job: Job) -> bool:
        """Run ``job`` now; ``False`` if the process turns out to be gone already."""
        self._number += 1
        if not self._write(self._frames(CALL, self._number, job)):
            return False
        self.running[self._number] = job
        self.coroutines += job.call.is_async
        job.started_at = perf_counter()
        job.begun = True
        return True

    def send_ahead(self, jobs: list[Job]) -> None:
        """Run ``jobs`` after what it runs, unless they are taken back before."""
        frames, numbers = [], []
        for job in jobs:
            self._number += 1
            self.ahead.append((self._number, job))
            numbers.append(self._number)
            frames.append(self._frames(CALL_AHEAD, self._number, job))
        self._claims.give(numbers)
        self._write(b"".join(frames))

    def take_back(self) -> Job | None:
        """The oldest call that was sent ahead and not started; ``None`` if there is none."""
        number = self._claims.take_back() if self._open else None
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
                return self._write(frame(TELL, number, message))
        return False

    def stop(self) -> None:
        """Have it end by itself, after what it is doing."""
        self.leaving = True
        if not self._told_to_stop:
            self._told_to_stop = True
            self._write(frame(STOP))

    def kill(self) -> None:
        """End it now. Nothing that it still sends is read."""
        self.leaving = self.killed = True
        self._hang_up()
        self._launcher.forget(self._key)

    def abandon(self) -> None:
        """Let go of it without its event loop, which is closed already."""
        if self._open:
            self._open = False
            self._descriptors.close()

    # -- to the process -----------------------------------------------------------------------

    def _frames(self, kind: int, number: int, job: Job) -> bytes:
        """The call as a frame, behind the definitions that the process does not have yet."""
        call = job.call
        data = frame(kind, number, call.payload, int((job.soft_timeout or 0.0) * 1000))
        known = self._known
        for definition in reversed(call.definitions):
            if known.get(definition.key) != definition.version:
                kind = DEFINE + definition.kind
                data = frame(kind, definition.key, definition.payload, definition.owner) + data
        for definition in call.definitions:
            known[definition.key] = definition.version
        return data

    def _write(self, data: bytes) -> bool:
        """Send ``data``, now or when the socket takes it; ``False`` if the process is gone."""
        if not self._open:
            return False
        if self._outgoing:
            self._outgoing.append(memoryview(data))
            return True
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return False
        if sent != len(data):
            self._loop.add_writer(self._socket, self._writable)
            self._outgoing.append(memoryview(data)[sent:])
        return True

    def _writable(self) -> None:
        try:
            while self._outgoing:
                sent = self._socket.send(self._outgoing[0])
                if sent < len(self._outgoing[0]):
                    self._outgoing[0] = self._outgoing[0][sent:]
                else:
                    self._outgoing.popleft()
        except BlockingIOError:
            return
        except OSError:
            self._outgoing.clear()  # it is dying; its exit report settles its calls
        self._loop.remove_writer(self._socket)

    # -- from the process ---------------------------------------------------------------------

    def _readable(self) -> None:
        try:
            for kind, number, owner, payload in self._cutter.read():
                self._receive(kind, number, owner, payload)
        except BlockingIOError:
            return
        except (EOFError, ConnectionError):
            self._hang_up()
            self._launcher.forget(self._key)

    def _receive(self, kind: int, number: int, owner: int, payload: bytes | memoryview) -> None:
        if self.killed:
            return
        if kind in (RESULT, FAILURE):
            job = self._finished(number)
            job.microseconds = owner
            if kind == RESULT:
                self._deliver(job, payload)
            else:
                job.raised = True
                job.fail(unpack_failure(payload))
            self._owner.job_done(self, job)
        elif kind == MESSAGE:
            channel, value = pickle.loads(payload)
            self._owner.message(self, self.running.get(number), channel, value)
        elif kind == READY:
            self.pid = number
            self.ready = True
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
        self.coroutines -= job.call.is_async
        self._next_runs()
        return job

    def _next_runs(self) -> None:
        """Take the oldest call that was sent ahead to run now, if none does."""
        if self.ahead and not self.sync_running:
            number, job = self.ahead.popleft()
            job.started_at = perf_counter()
            job.begun = True
            self.running[number] = job

    def _deliver(self, job: Job, payload: bytes | memoryview) -> None:
        if job.future.done():
            return
        try:
            result = pickle.loads(payload)
        except Exception as error:
            refusal = SerializationError(
                f"the result of {job.call.title} cannot be rebuilt in the server: {why(error)}. "
                "Return plain data"
            )
            refusal.__cause__ = error
            job.fail(refusal)
        else:
            job.future.set_result(result)

    def _exited(self, report: ExitReport) -> None:
        while self._open:  # what it had sent before it ended still counts
            try:
                for kind, number, owner, payload in self._cutter.read():
                    self._receive(kind, number, owner, payload)
            except (BlockingIOError, EOFError, ConnectionError):
                break
        self._hang_up()
        self._owner.worker_ended(self, report)

    def _hang_up(self) -> None:
        if self._open:
            while (job := self.take_back()) is not None:
                self.not_started.append(job)
            self._open = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._outgoing.clear()
            self._descriptors.close()
            self._launcher.kill(self._key)
