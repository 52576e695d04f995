# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A worker process: it reads calls from its socket, runs them, and sends back what they return.

Sync functions run one at a time on the main thread, or on ``threads_per_worker`` threads;
coroutines run on an event loop of their own, many at a time. A worker ends when its socket
closes, when it is told to stop, or when it is killed; it never ends because of what a call
raises. This module, and all that it imports at its head, imports neither genro-routes nor a
host nor asyncio: a worker for plain functions starts fast and stays small.
"""

from __future__ import annotations

import functools
import gc
import io
import os
import pickle
import socket
import sys
from collections.abc import Callable
from time import perf_counter_ns
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from ...portable.exceptions import pack_failure
from ...portable.hooks import run_hook
from ...portable.main_module import continue_with
from ...portable.modules import install
from ...worker.breakpoints import Breakpoints
from ...worker.ending import run_exit_hooks
from ...worker.forks import when_forked
from ...worker.logs import WorkerLogs
from ...worker.reading import CallReader, ReadCall, called
from ...worker.running import enter, leave
from ...worker.soft_limit import soft_limit
from .answers import Answers
from .boot import WorkerBoot
from .claims import WorkerClaims
from .handover import WorkerHandover
from .last_steps import die_with_the_server, end_with_broken_loop, guarded, tell_of_faults
from .marks import WorkerMarks
from .messages import WorkerMessageChannel
from .sampled import WorkerSamples
from .telling import StackTeller
from .wire import (
    BESIDE,
    BOOT_FAILED,
    CALL,
    CALL_AHEAD,
    DEFINE,
    END,
    ENDING,
    LARGE,
    READY,
    STOP,
    TELL,
    UNCLAIMED,
    FrameSocket,
)

if TYPE_CHECKING:
    import asyncio

    from ...worker.coroutines import CoroutineThread
    from ...worker.thread_runs import ThreadRuns

__all__ = ["run_worker"]

_LONGEST = 2**32 - 1
"""The longest run, in microseconds, that a frame's header can hold."""


def run_worker(socket_fd: int, lifeline: int, claims_fd: int, handover_fd: int) -> None:
    """Serve calls from a socket until it closes. ``lifeline`` closes when the server dies."""
    for descriptor in (socket_fd, lifeline, claims_fd, handover_fd):
        os.set_inheritable(descriptor, False)  # they came from another process, which passes none
    die_with_the_server(lifeline)
    handover = WorkerHandover(handover_fd)
    marks = tell_of_faults(handover)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # What a worker that is killed has printed is not lost.
        sys.stdout.reconfigure(line_buffering=True)
    with socket.socket(fileno=socket_fd) as sock:
        worker = _Worker(sock, WorkerClaims(claims_fd), handover, lifeline, marks)
        when_forked(worker.let_go)
        worker.run()
    handover.close()


class _Worker:
    """The main loop of a worker process, and what the process keeps between calls."""

    def __init__(
        self,
        sock: socket.socket,
        claims: WorkerClaims,
        handover: WorkerHandover,
        lifeline: int,
        marks: WorkerMarks,
    ) -> None:
        self._marks = marks
        self._channel = FrameSocket(sock)
        self._claims = claims
        self._handover = handover
        self._answers = Answers(self._channel, handover)
        self._lifeline = lifeline
        self._messages = WorkerMessageChannel(self._channel)
        self._reader = CallReader()
        begins = _Worker._start.__code__, _Worker._run_on_a_thread.__code__
        self._samples = WorkerSamples(
            self._messages, marks, self._reader, _Worker._run.__code__, begins
        )
        self._stacks = StackTeller(self._messages, marks, self._samples)
        self._coroutines: CoroutineThread | None = None
        self._threads: ThreadRuns[ReadCall] | None = None
        self._finalizer: Callable[[], Any] | None = None
        self._frames = self._channel.frames()
        self._again: tuple[Callable[..., Any], tuple[Any, ...]] | None = None

    def let_go(self) -> None:
        """Close everything in a child that a handler has forked: this worker answers its call."""
        self._channel.let_go()
        self._messages.let_go()
        if self._reader.logs is not None:
            self._reader.logs.let_go()
        self._stacks.let_go()
        self._samples.let_go()
        os.close(self._lifeline)
        self._claims.let_go()
        self._marks.let_go()
        self._handover.let_go()

    def run(self) -> None:
        boot = next(self._frames, None)
        if boot is not None and self._boot(pickle.loads(boot[3])):
            self._serve()

    def _serve(self) -> None:
        """Take what comes from the server until it is the end of it."""
        for kind, number, detail, payload in self._frames:
            if kind == CALL or (kind == CALL_AHEAD and self._claims.claim(number)):
                self._start(number, payload, detail)
            elif kind == CALL_AHEAD:
                self._channel.send(UNCLAIMED, number)
            elif kind == STOP:
                break
            elif kind == TELL:
                self._messages.tell((kind, number, detail, payload))
            elif kind == END:
                self._end(number)
            elif kind > LARGE:
                self._start_large(kind - LARGE, number, payload, detail)
            elif kind > DEFINE:
                self._marks.defining(True)
                self._again = self._reader.define, (number, detail, kind - DEFINE, payload)
                self._reader.define(number, detail, kind - DEFINE, payload)
                self._marks.defining(False)
            else:
                raise ConnectionError(f"the server's frames cannot be read: {payload!r}")
        self._shut_down()

    def _instead_of_the_main_module(self) -> Callable[[], None] | None:
        """What this worker does where the main module, of which it needs something, would serve.

        What needed it is read once more, and then comes what comes. ``None`` while a function runs
        that must not run twice.
        """
        if self._again is None:
            return None
        again, arguments = self._again

        def go_on() -> None:
            if again(*arguments) is not False:
                self._serve()

        return go_on

    def _boot(self, boot: WorkerBoot) -> bool:
        try:
            boot.prepare_process()  # first: modules read the environment when they are imported
            install(boot.sources)
            if boot.settings is not None:
                self._reader.logs = WorkerLogs(self._messages, boot.settings)
                self._reader.logs.install()
            self._breakpoints = Breakpoints()
        except BaseException as error:
            self._channel.send(BOOT_FAILED, 0, pack_failure(error))
            return False
        continue_with(self._instead_of_the_main_module)
        self._again = self._set_up, (boot,)
        return self._set_up(boot)

    def _set_up(self, boot: WorkerBoot) -> bool:
        """Run the pool's initializer and get ready for calls."""
        try:
            initializer, finalizer = boot.hooks
            if finalizer is not None:
                self._finalizer = pickle.loads(finalizer)[0]
            if initializer is not None:
                hook = pickle.loads(initializer)
                self._again = None
                run_hook(*hook)
            if boot.threads > 1:
                from ...worker.thread_runs import ThreadRuns

                runs = ThreadRuns(boot.threads, self._run_on_a_thread, self._channel.undisturbed)
                self._threads = self._stacks.threads = self._samples.threads = runs
        except BaseException as error:
            self._channel.send(BOOT_FAILED, 0, pack_failure(error))
            return False
        gc.freeze()  # the collector need not look at what was loaded for good
        self._channel.send(READY, os.getpid())
        return True

    def _start_large(
        self, kind: int, number: int, payload: bytes | memoryview, soft_timeout: int
    ) -> None:
        """Start a call whose arguments lie in a segment."""
        if kind != CALL and not self._claims.claim(number):
            self._handover.drop()
            self._channel.send(UNCLAIMED, number)
            return
        try:
            segment = self._handover.take()
        except OSError as error:
            self._answers.failure(number, error)
        else:
            self._start(number, payload, soft_timeout, segment)

    def _start(
        self, number: int, payload: bytes | memoryview, soft_timeout: int, segment: int = -1
    ) -> None:
        """Start a call. ``soft_timeout`` is in milliseconds, 0 for none."""
        self._marks.read(number)
        self._again = self._start, (number, payload, soft_timeout, segment)
        try:
            call = self._reader.read(payload, segment)
            self._again = None
            function = call[0]
            if function.is_async or self._threads is not None:
                self._start_beside(number, call, soft_timeout / 1000)
                return
            began = perf_counter_ns()
            result = self._run(number, call, soft_timeout)
            microseconds = (perf_counter_ns() - began) // 1000 + 1
            if type(result) is CoroutineType:  # the function is not declared as async
                self._start_coroutine(number, call, result, soft_timeout / 1000)
                return
        except BaseException as error:
            self._answers.failure(number, error)
        else:
            self._answers.result(number, function, result, min(microseconds, _LONGEST))

    def _start_beside(self, number: int, call: ReadCall, soft_timeout: float) -> None:
        """Start a call that does not run on this thread."""
        function, args, kwargs, _ = call
        if function.is_async:
            made = function.func(*args, **kwargs)
            self._start_coroutine(number, call, made, soft_timeout)
        elif self._threads is not None:
            self._threads.put(number, call)
        self._marks.handed_on(number)

    def _run_on_a_thread(self, number: int, call: ReadCall) -> None:
        assert self._threads is not None
        self._marks.thread_begins(number)
        began = perf_counter_ns()  # noqa: F841 - for samples
        try:
            result = self._threads.run(number, self._run, number, call)
            if type(result) is CoroutineType:
                self._start_coroutine(number, call, result, 0.0)
                return
        except BaseException as error:
            self._messages.end(number)  # where the run was told to end, this may be left
            self._answers.failure(number, error)
        else:
            self._answers.result(number, call[0], result)

    def _run(self, number: int, call: ReadCall, soft_timeout: int = 0) -> Any:
        function, args, kwargs, cleanup = call
        token = enter(self._messages.begin(number))
        try:
            if not soft_timeout and cleanup is None:  # nearly always
                return function.func(*args, **kwargs)
            if soft_timeout:
                with soft_limit(soft_timeout / 1000, lambda: self._channel.is_in_use_here):
                    return called(*call)
            return called(*call)
        finally:
            leave(token)
            self._messages.end(number)

    def _start_coroutine(
        self, number: int, call: ReadCall, coroutine: Any, soft_timeout: float
    ) -> None:
        from ...worker.coroutines import outcome_of, thread_for

        function, args = call[0], call[1]
        of = function, id(args[0]) if args else 0

        if self._coroutines is None:
            self._coroutines = thread_for(coroutine, end_with_broken_loop)
            self._stacks.coroutines = self._samples.coroutines = self._coroutines

        def done(task: asyncio.Task[Any]) -> None:
            self._messages.end(number)
            error = outcome_of(task)  # raised here, it would lead to this frame, and to itself
            if error is not None:
                self._answers.failure(number, error)
            else:
                self._answers.result(number, function, task.result())

        if not function.is_async:
            self._channel.send(BESIDE, number)
        token = enter(self._messages.begin(number))
        try:
            begins = functools.partial(self._marks.coroutine_begins, number)
            self._coroutines.start(coroutine, soft_timeout, done, None, number, begins, of)
        finally:
            leave(token)

    def _end(self, number: int) -> None:
        """Have call ``number`` end, where it runs beside this thread; nothing if it has ended."""
        on_thread = self._threads is not None and self._threads.end(number)
        if not on_thread and self._coroutines is not None:
            self._coroutines.cancel(number, functools.partial(self._channel.send, ENDING))

    def _shut_down(self) -> None:
        self._samples.end()
        if self._threads is not None:
            self._threads.close()
        for hook in self._reader.replicas.shutdown_hooks():
            guarded(hook)
        if self._coroutines is not None:
            guarded(self._coroutines.close)
        if self._finalizer is not None:
            guarded(functools.partial(run_hook, self._finalizer))
        guarded(run_exit_hooks)
