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
import os
import pickle
import socket
from collections import deque
from time import perf_counter
from typing import Protocol

from ..errors import SerializationError
from ..failures import unpack_failure
from ..pickling import why
from .job import Job
from .launcher import ExitReport, Launcher
from .wire import (
    BOOT,
    BOOT_FAILED,
    CALL,
    DEFINE,
    FAILURE,
    READY,
    RESULT,
    STOP,
    FrameCutter,
    frame,
)

__all__ = ["Owner", "Worker"]


class Owner(Protocol):
    """What a worker tells the pool that owns it."""

    def worker_ready(self, worker: Worker) -> None:
        """It has started, or has finished a call, and can take the next one."""

    def worker_ended(self, worker: Worker, report: ExitReport) -> None:
        """It is gone; ``worker.job`` is the call it took along, if any."""


class Worker:
    """Sends calls to one process and settles them with what comes back.

    It never decides which call runs where; its pool does. It holds at most one call.
    """

    def __init__(self, owner: Owner, launcher: Launcher, boot: bytes) -> None:
        self._owner = owner
        self._launcher = launcher
        self._loop = asyncio.get_running_loop()
        self._socket, theirs = socket.socketpair()
        lifeline, self._lifeline = os.pipe()
        try:
            self._key = launcher.start_worker(theirs, lifeline, self._exited)
        except BaseException:
            self._socket.close()
            os.close(self._lifeline)
            raise
        finally:
            theirs.close()
            os.close(lifeline)
        self._socket.setblocking(False)
        self._cutter = FrameCutter(self._socket)
        self._outgoing: deque[memoryview] = deque()
        self._known: dict[int, int] = {}
        self._calls = 0
        self._open = True
        self.pid: int | None = None
        self.job: Job | None = None
        self.boot_error: BaseException | None = None
        self.ready = False
        self.leaving = False
        self.killed = False
        self._loop.add_reader(self._socket, self._readable)
        self._write(frame(BOOT, 0, boot))

    @property
    def calls(self) -> int:
        """How many calls it has been sent."""
        return self._calls

    def send(self, job: Job) -> None:
        """Run ``job`` next; its run starts now."""
        self.job = job
        job.started_at = perf_counter()
        self._calls += 1
        known = self._known
        for definition in job.call.definitions:
            if known.get(definition.key) != definition.version:
                known[definition.key] = definition.version
                kind = DEFINE + definition.kind
                self._write(frame(kind, definition.key, definition.payload, definition.owner))
        self._write(frame(CALL, self._calls, job.call.payload))

    def stop(self) -> None:
        """Have it end by itself, after what it is doing."""
        if not self.leaving:
            self.leaving = True
            self._write(frame(STOP))

    def kill(self) -> None:
        """End it now. Nothing that it still sends is read."""
        self.leaving = self.killed = True
        self._hang_up()
        self._launcher.forget(self._key)

    def abandon(self) -> None:
        """Let go of it without its event loop, which is closed already."""
        self._socket.close()
        os.close(self._lifeline)
        self._open = False

    def _write(self, data: bytes) -> None:
        if not self._open:
            return
        if not self._outgoing:
            try:
                sent = self._socket.send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                return  # it is dying; its exit report settles the call
            if sent == len(data):
                return
            self._loop.add_writer(self._socket, self._writable)
            self._outgoing.append(memoryview(data)[sent:])
        else:
            self._outgoing.append(memoryview(data))

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
            self._outgoing.clear()  # it is dying; its exit report settles the call
        self._loop.remove_writer(self._socket)

    def _readable(self) -> None:
        try:
            for kind, number, _, payload in self._cutter.read():
                self._receive(kind, number, payload)
        except BlockingIOError:
            return
        except (EOFError, ConnectionError):
            self._hang_up()
            self._launcher.forget(self._key)

    def _receive(self, kind: int, number: int, payload: bytes | memoryview) -> None:
        if self.killed:
            return
        job = self.job
        if job is not None and number == self._calls and kind in (RESULT, FAILURE):
            self.job = None
            if kind == RESULT:
                self._deliver(job, payload)
            else:
                job.fail(unpack_failure(payload))
            self._owner.worker_ready(self)
        elif kind == READY:
            self.pid = number
            self.ready = True
            self._owner.worker_ready(self)
        elif kind == BOOT_FAILED:
            self.boot_error = unpack_failure(payload)

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
                for kind, number, _, payload in self._cutter.read():
                    self._receive(kind, number, payload)
            except (BlockingIOError, EOFError, ConnectionError):
                break
        self._hang_up()
        self._owner.worker_ended(self, report)

    def _hang_up(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._outgoing.clear()
            self._socket.close()
            os.close(self._lifeline)
            self._launcher.kill(self._key)
