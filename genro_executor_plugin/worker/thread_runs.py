# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The runs on a worker's threads, and how one of them is told to end.

Python can raise an exception in another thread, between two of its instructions. It must strike
in the function that is to end: not in the call that its thread takes next, and not in the midst
of a frame. The exception is raised once; native code that does not return to the interpreter
does not see it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Generic, TypeVar

from ..errors import ExecutorError
from ..options.lacks import MORE_PROCESSES
from .forks import when_forked

__all__ = ["CallEndedError", "ThreadRuns", "raise_in"]

T = TypeVar("T")

_NOT_BEGUN, _MUST_NOT_BEGIN = 0, -1
"""In the place of the thread, for a call that no thread has taken yet."""


class CallEndedError(BaseException):
    """Raised in a function on a worker's thread: its time is up, or its caller has gone.

    It is no ``Exception``, as ``asyncio.CancelledError`` is none: what handles ordinary errors
    must not keep the run going.
    """


class ThreadRuns(Generic[T]):
    """The threads of a worker, and which of them runs which call.

    Args:
        count: how many threads.
        serve: is given the number of a call and the call on a thread, and calls ``run``.
        undisturbed: makes a context in which no thread is in the midst of writing a frame.
    """

    def __init__(
        self,
        count: int,
        serve: Callable[[int, T], None],
        undisturbed: Callable[[], AbstractContextManager[Any]],
    ) -> None:
        self._serve = serve
        self._calls: queue.SimpleQueue[tuple[int, T] | None] = queue.SimpleQueue()
        self._undisturbed = undisturbed
        self._lock = threading.Lock()
        self._running: dict[int, int] = {}
        self._struck: set[int] = set()
        self._count = count
        when_forked(self._let_go)
        try:
            for _ in range(count):
                threading.Thread(target=self._serve_calls, daemon=True).start()
        except RuntimeError as err:
            raise ExecutorError(f"cannot start {count} threads: {err}. {MORE_PROCESSES}") from err

    def _let_go(self) -> None:
        """Have a lock that no thread holds, in a child that a call has forked."""
        self._lock = threading.Lock()

    def put(self, number: int, call: T) -> None:
        """Have ``call``, which is call ``number``, served by the next thread that is free."""
        self._running[number] = _NOT_BEGUN
        self._calls.put((number, call))

    def _serve_calls(self) -> None:
        while (item := self._calls.get()) is not None:
            self._serve(*item)
            del item

    def close(self) -> None:
        """End each thread behind the call that it serves."""
        for _ in range(self._count):
            self._calls.put(None)

    def run(self, number: int, func: Callable[..., Any], *args: Any) -> Any:
        """Return ``func(*args)``, which is call ``number``; ``end`` raises in it, never after it.

        Raises:
            CallEndedError: it was told to end.
        """
        try:
            with self._lock:
                if self._running[number] == _MUST_NOT_BEGIN:
                    raise CallEndedError
                self._running[number] = threading.get_ident()
            return func(*args)
        finally:
            try:
                self._forget(number)
            except CallEndedError:
                self._forget(number)

    def thread_of(self, number: int) -> int | None:
        """The identity of the thread that runs call ``number``, ``None`` if none does."""
        return self._running.get(number)

    def _forget(self, number: int) -> None:
        """Raise nothing on this thread any more for call ``number``."""
        with self._lock:
            self._running.pop(number, None)
            if number in self._struck:
                raise_in(threading.get_ident(), None)
                self._struck.discard(number)

    def end(self, number: int) -> bool:
        """Raise ``CallEndedError`` in call ``number``; ``False`` if it is on no thread."""
        with self._lock, self._undisturbed():
            thread = self._running.get(number)
            if thread is None:
                return False
            if thread in (_NOT_BEGUN, _MUST_NOT_BEGIN):
                self._running[number] = _MUST_NOT_BEGIN
            else:
                self._struck.add(number)
                raise_in(thread, CallEndedError)
            return True


def raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Raise ``error`` in ``thread`` when it next runs Python; ``None`` takes that back."""
    try:
        import ctypes  # only a worker in which a run is ended needs it
    except ImportError:  # a Python without it: what does not end is abandoned
        return
    what = ctypes.py_object() if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)
