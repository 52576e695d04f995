# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A worker on a node of a Ray cluster: an actor that runs calls, one at a time.

Ray makes an actor of ``CallActor`` and calls its methods, those of each group on a thread of their
own: ``run`` in one, what it sends and what it is told in two others. It imports nothing of Ray.
"""

from __future__ import annotations

import inspect
import os
import pickle
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from ...errors import SerializationError
from ...portable.exceptions import pack_failure
from ...portable.hooks import PackedHooks, run_hook
from ...portable.main_module import MainModuleStop
from ...portable.modules import ModuleSources, install, load
from ...portable.process_settings import ProcessSettings
from ...portable.results import pack_result
from ...portable.shared_memory.segments import LARGE_BYTES, looks_large
from ...remote.versions import CodeVersion
from ...worker.logs import WorkerLogs
from ...worker.reading import CallReader, ReadCall, WorkerFunction, called
from ...worker.running import INDEX_VARIABLE, enter, leave
from .outbox import Outbox, Sent
from .stored import Parts, from_parts, large_parts

__all__ = ["ANSWER", "FAILED", "RETURNED", "ActorBoot", "CallActor", "code_here"]

RETURNED, FAILED = 0, 1
"""Whether an answer has a result or a failure."""

ANSWER = struct.Struct("<BQ")
"""The head of an answer: which of the two it is, and how many messages were sent before it."""

Definition = tuple[int, int, int, bytes]


@dataclass(frozen=True, slots=True)
class ActorBoot:
    """What an actor is told before its first call.

    Attributes:
        index: its number among the workers of its pool.
        sources: where the modules of the server's program come from.
        preload: modules to import now.
        hooks: packed calls of the pool's initializer and finalizer.
        settings: what is set in the server's process: log levels, locale and the like.
    """

    index: int
    sources: ModuleSources
    preload: tuple[str, ...]
    hooks: PackedHooks
    settings: ProcessSettings


@cache
def code_here() -> CodeVersion:
    """What code this process has, with a digest of this package.

    A node may have it from elsewhere, as workers look into their working directory, too.
    """
    return CodeVersion.here(["genro_executor_plugin"])


class _Reader(CallReader):
    """Reads calls whose large arguments lie in Ray's object store."""

    stored: Parts | None = None

    def _from(self, segment: int, payload: bytes | memoryview) -> Any:
        assert self.stored is not None
        return from_parts(self.stored)

    def _drop(self, segment: int) -> None:
        self.stored = None


class CallActor:
    """Runs the calls of one pool of one server."""

    def __init__(self) -> None:
        self._outbox = Outbox()
        self._reader = _Reader()
        self._coroutines: Any = None
        self._finalizer: Callable[[], Any] | None = None
        self._number = 0

    def boot(self, packed: bytes) -> bytes:
        """Get ready for calls; the answer has the pid, the host and what code is here."""
        try:
            boot: ActorBoot = pickle.loads(packed)
            os.environ[INDEX_VARIABLE] = str(boot.index)
            install(_found_here(boot.sources))
            self._reader.logs = WorkerLogs(self._outbox, boot.settings)
            self._reader.logs.install()
            for module in boot.preload:
                load(module)
            initializer, finalizer = boot.hooks
            if finalizer is not None:
                self._finalizer = pickle.loads(finalizer)[0]
            if initializer is not None:
                run_hook(*pickle.loads(initializer))
            self._reader.logs.imported()
        except BaseException as error:
            return self._failed(error)
        here = os.getpid(), socket.gethostname(), code_here().as_dict()
        return ANSWER.pack(RETURNED, 0) + pickle.dumps(here, 5)

    def messages(self) -> Iterator[list[Sent]]:
        """What calls send, as it comes; Ray streams it to the server."""
        yield from self._outbox.pieces()  # Ray asks whether this is a generator

    def tell(self, turn: int, number: int, packed: bytes) -> None:
        """Give call ``number`` a message."""
        self._outbox.told(turn, number, packed)

    def run(
        self,
        payload: bytes,
        definitions: tuple[Definition, ...] = (),
        stored: Parts | None = None,
    ) -> bytes | tuple[bytes, Parts]:
        """Run a call, and return its answer. Calls are counted on both sides: that is their number.

        Args:
            payload: the packed call.
            definitions: key, owner, kind and payload of what it needs and is not here yet.
            stored: its arguments, where they are large.
        """
        # Each argument costs Ray a serialization of its own, so that most calls have one only.
        self._number = number = self._number + 1
        try:
            call = self._read(definitions, payload, stored)
            stored = self._reader.stored = None
            function = call[0]
            token = enter(self._outbox.begin(number))
            try:
                result = called(*call)
                if inspect.iscoroutine(result):
                    result = self._awaited(result)
            finally:
                leave(token)
                self._outbox.end(number)
            del call
            return self._answer(function, result)
        except BaseException as error:
            return self._failed(error)
        finally:
            self._reader.stored = None

    def _read(
        self, definitions: tuple[Definition, ...], payload: bytes, stored: Parts | None
    ) -> ReadCall:
        self._reader.stored = stored
        self._reader.replicas.activate()  # is known on the thread that says so, and Ray has several
        try:
            return self._read_once(definitions, payload)
        except SerializationError as error:
            if not isinstance(error.__cause__, MainModuleStop):
                raise
        # The main module has come to where it would serve: what stands before that is there now.
        return self._read_once(definitions, payload)

    def _read_once(self, definitions: tuple[Definition, ...], payload: bytes) -> ReadCall:
        for definition in definitions:
            self._reader.define(*definition)
        return self._reader.read(payload, -1 if self._reader.stored is None else 0)

    def _awaited(self, coroutine: Any) -> Any:
        """What ``coroutine`` returns, run on the actor's own event loop."""
        from ...worker.coroutines import outcome_of, thread_for

        if self._coroutines is None:
            self._coroutines = thread_for(coroutine, _end_with_broken_loop)
        ended = threading.Event()
        tasks: list[Any] = []

        def done(task: Any) -> None:
            tasks.append(task)
            ended.set()

        self._coroutines.start(coroutine, 0.0, done)
        ended.wait()
        (task,) = tasks
        error = outcome_of(task)
        if error is not None:
            try:
                raise error
            finally:
                del error, task, tasks  # or the error would hold this frame, and this frame it
        return task.result()

    def _answer(self, function: WorkerFunction, result: Any) -> bytes | tuple[bytes, Parts]:
        if function.large or looks_large(result):
            parts = large_parts(result)
            function.large = parts is not None
            if parts is not None:
                return ANSWER.pack(RETURNED, self._outbox.count), parts
        packed = pack_result(result, function)
        function.large = len(packed) >= LARGE_BYTES
        return ANSWER.pack(RETURNED, self._outbox.count) + packed

    def _failed(self, error: BaseException) -> bytes:
        packed = pack_failure(error)
        return ANSWER.pack(FAILED, self._outbox.count) + packed

    def stop(self) -> None:
        """Run what the pool and its applications want to be run at a worker's end."""
        hooks = [*self._reader.replicas.shutdown_hooks()]
        if self._coroutines is not None:
            hooks.append(self._coroutines.close)
        if self._finalizer is not None:
            finalizer = self._finalizer
            hooks.append(lambda: run_hook(finalizer))
        for hook in hooks:
            try:
                hook()
            except BaseException as error:
                with suppress(Exception):
                    sys.excepthook(type(error), error, error.__traceback__)


def _found_here(sources: ModuleSources) -> ModuleSources:
    """``sources``, as far as they are on this machine, and in front of what was there before."""
    path = [entry for entry in sources.path if os.path.exists(entry)]
    path += [entry for entry in sys.path if entry not in path]
    files = {
        name: file for name, file in sources.files.items() if file is None or os.path.isfile(file)
    }
    return replace(sources, path=path, files=files)


def _end_with_broken_loop(error: BaseException) -> None:
    """End the actor, whose event loop cannot go on: its call fails as one whose worker died."""
    sys.excepthook(type(error), error, error.__traceback__)
    sys.stderr.flush()
    os._exit(1)
