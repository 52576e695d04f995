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

"""A worker process: reads calls from its socket, runs them one at a time, answers.

It ends when its socket closes, when it is told to stop, or when it is killed; it never ends
because of what a call raises. Its module imports neither genro-routes nor genro-asgi.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import pickle
import signal
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..calls import CallReader, Target, pack_result
from ..failures import pack_failure
from ..modules import install
from .boot import WorkerBoot
from .wire import BOOT_FAILED, CALL, DEFINE, FAILURE, READY, RESULT, STOP, BlockingChannel

if TYPE_CHECKING:
    import asyncio

__all__ = ["run_worker"]


def run_worker(sock: socket.socket, lifeline: int) -> None:
    """Serve calls from ``sock`` until it closes. ``lifeline`` closes when the server dies."""
    _die_with_the_server(lifeline)
    _Worker(sock).run()


def _die_with_the_server(lifeline: int) -> None:
    """Have the kernel kill this process when the other end of ``lifeline`` is closed.

    A worker that is stuck in a call reads nothing: it would not notice by itself.
    """
    import fcntl

    if not hasattr(fcntl, "F_SETSIG"):
        return  # not Linux: the template, which sees the server go, kills its workers
    fcntl.fcntl(lifeline, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(lifeline, fcntl.F_SETSIG, signal.SIGKILL)
    fcntl.fcntl(lifeline, fcntl.F_SETFL, fcntl.fcntl(lifeline, fcntl.F_GETFL) | os.O_ASYNC)
    os.set_blocking(lifeline, False)
    with contextlib.suppress(BlockingIOError):
        if os.read(lifeline, 1) == b"":
            os._exit(1)  # it was closed before anybody watched it


class _Worker:
    def __init__(self, sock: socket.socket) -> None:
        self._channel = BlockingChannel(sock)
        self._reader = CallReader()
        self._runner: asyncio.Runner | None = None

    def run(self) -> None:
        frames = self._channel.frames()
        boot = next(frames, None)
        if boot is None or not self._boot(pickle.loads(boot[3])):
            return
        for kind, number, owner, payload in frames:
            if kind == CALL:
                self._answer(number, payload)
            elif kind == STOP:
                break
            else:
                self._reader.define(number, owner, kind - DEFINE, payload)
        self._shut_down()

    def _boot(self, boot: WorkerBoot) -> bool:
        try:
            install(boot.sources)
            if boot.initializer is not None:
                func, args = pickle.loads(boot.initializer)
                self._run(Target(func), args, {}, None)
        except BaseException as error:
            self._channel.send(BOOT_FAILED, 0, pack_failure(error))
            return False
        gc.freeze()  # what was loaded to start with is not worth looking at again
        self._channel.send(READY, os.getpid())
        return True

    def _answer(self, number: int, payload: bytes | memoryview) -> None:
        try:
            target, args, kwargs, cleanup = self._reader.read(payload)
            result = self._run(target, args, kwargs, cleanup)
            answer = pack_result(result, target)
        except BaseException as error:
            self._channel.send(FAILURE, number, pack_failure(error))
        else:
            self._channel.send(RESULT, number, answer)

    def _run(
        self,
        target: Target,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        cleanup: Callable[[], Any] | None,
    ) -> Any:
        if target.is_async:
            return self._run_async(target.func(*args, **kwargs))
        if cleanup is None:
            return target.func(*args, **kwargs)
        try:
            return target.func(*args, **kwargs)
        finally:
            cleanup()

    def _run_async(self, coroutine: Any) -> Any:
        if self._runner is None:
            import asyncio  # costs a worker 5 MB; most never run a coroutine

            self._runner = asyncio.Runner()
        return self._runner.run(coroutine)

    def _shut_down(self) -> None:
        for hook in self._reader.replicas.shutdown_hooks():
            _guarded(hook)
        if self._runner is not None:
            _guarded(self._runner.close)


def _guarded(hook: Callable[[], Any]) -> None:
    try:
        hook()
    except Exception:
        logging.getLogger("genro_executor_plugin").exception("%r failed at the worker's end", hook)


def main(sock_fd: int, lifeline: int) -> None:
    """The entry of a worker that was started as a new interpreter (``start_method="spawn"``)."""
    run_worker(socket.socket(fileno=sock_fd), lifeline)
    sys.stdout.flush()
    sys.stderr.flush()
