# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The running call and its messages, wherever it runs: in a worker, on a thread, in the server.

Code in a call reaches the server's side of it without knowing where it runs: it sends small
values (progress, log records, chunks of a stream) and reads what it was told (credits, that it
should end). A message has a name, its ``channel``. Messages keep their order both ways, and what
is sent before the call ends arrives before its result.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable
from contextvars import Context, ContextVar, Token
from logging import LogRecord
from time import monotonic
from typing import Any, Protocol

__all__ = [
    "HELD_TIME",
    "INDEX_VARIABLE",
    "PROGRESS",
    "SHIELD",
    "HeldTime",
    "MessageChannel",
    "RunningCall",
    "Shield",
    "current",
    "enter",
    "leave",
    "worker_index",
]

INDEX_VARIABLE = "GENRO_EXECUTOR_WORKER_INDEX"
"""In a worker's environment, and in that of what it starts: its index."""

PROGRESS = "progress"
"""The message channel on which a call reports its progress."""


_SLICE_SECONDS = 0.05
"""How often a waiting thread looks whether it has become the one that reads."""


class Shield:
    """A block that no soft limit interrupts: what it has taken is not lost half-way.

    Any thread may enter it, also when it is inside already. Everything that takes bytes, frames
    or messages from one place to another does so in ``SHIELD``.
    """

    __slots__ = ("_inside",)

    def __init__(self) -> None:
        self._inside: dict[int, int] = {}

    def __enter__(self) -> None:
        thread = threading.get_ident()
        # Signal handlers run at calls. From here to the end of the method there is none.
        self._inside[thread] = self._inside[thread] + 1 if thread in self._inside else 1

    def __exit__(self, *_: object) -> None:
        thread = threading.get_ident()
        if self._inside[thread] == 1:
            del self._inside[thread]
        else:
            self._inside[thread] -= 1

    @property
    def covers_this_thread(self) -> bool:
        """Whether this thread is inside."""
        return threading.get_ident() in self._inside


SHIELD = Shield()


class HeldTime:
    """How long this process was held at breakpoints, which no soft limit counts."""

    def __init__(self) -> None:
        self._past = 0.0
        self._since: float | None = None

    def begin(self) -> None:
        """A call is held from now on."""
        self._since = monotonic()

    def end(self) -> None:
        """It runs on."""
        self._past, self._since = self.seconds, None

    @property
    def seconds(self) -> float:
        """The seconds until now, since this process began."""
        since = self._since
        return self._past if since is None else self._past + monotonic() - since


HELD_TIME = HeldTime()


class MessageChannel(Protocol):
    """Carries the messages of the calls of one worker process, or of one thread pool."""

    def send(self, number: int, channel: str, value: Any) -> None:
        """Send ``value`` to the server's side of call ``number``, from any thread."""

    def read(self, timeout: float | None) -> bool:
        """Read and deliver what has arrived, waiting for it.

        Args:
            timeout: how many seconds to wait at most, ``None`` for no limit.

        Returns:
            ``False`` if another thread is the one that reads; it may deliver meanwhile.
        """


class RunningCall:
    """One call while it runs, which ``current()`` returns. After its end it sends nothing.

    Attributes:
        at_end: called on the thread that ran it when it has ended; ``None`` for nearly every call.
        on_record: given each log record that it makes in the server's own process, if somebody
            there wants them.
    """

    at_end: Callable[[], None] | None = None
    on_record: Callable[[LogRecord], None] | None = None

    # Class attributes until they are needed: nearly no call is ever told anything.
    _told: deque[tuple[str, Any]] | None = None
    _listener: Callable[[str], None] | None = None
    _arrived: threading.Condition | None = None

    def __init__(self, number: int, messages: MessageChannel) -> None:
        self.number = number
        self._messages = messages

    def send(self, channel: str, value: Any) -> None:
        """Send ``value`` to the server's side of this call.

        Raises:
            Exception: what pickling ``value`` raises, where it crosses to another process.
        """
        self._messages.send(self.number, channel, value)

    def received(self, channel: str) -> list[Any]:
        """What this call was told through ``channel`` since it last asked, oldest first."""
        self._messages.read(0.0)
        return self.take(channel)

    def read(self, timeout: float | None) -> bool:
        """Read and deliver what has arrived, as ``MessageChannel.read`` does."""
        return self._messages.read(timeout)

    def was_told(self, channel: str) -> bool:
        """Whether something has come through ``channel``; it can still be received."""
        if not self._has(channel):
            self._messages.read(0.0)
        return self._has(channel)

    def wait(self, channel: str, timeout: float | None = None) -> list[Any]:
        """As ``received``, after waiting until there is something; empty after ``timeout`` seconds.

        It blocks its thread; a coroutine uses ``listen`` instead.
        """
        self.wait_until_told(channel, timeout)
        return self.take(channel)

    def wait_until_told(self, channel: str, timeout: float | None = None) -> None:
        """Wait until ``was_told``, or for ``timeout`` seconds; a soft limit may interrupt it."""
        deadline = None if timeout is None else monotonic() + timeout
        while not self.was_told(channel):
            left = None if deadline is None else deadline - monotonic()
            if left is not None and left <= 0:
                return
            if not self._messages.read(left):
                arrived = self._condition()
                with arrived:
                    # In slices: the thread that reads may be busy with a call, and not read.
                    arrived.wait_for(
                        lambda: self._has(channel),
                        _SLICE_SECONDS if left is None else min(left, _SLICE_SECONDS),
                    )

    def listen(self, listener: Callable[[str], None] | None) -> None:
        """Call ``listener(channel)``, on the thread that reads, when something arrives."""
        self._listener = listener

    def deliver(self, channel: str, value: Any) -> None:
        """Take in what the server told this call; the thread that reads calls it."""
        arrived = self._condition()
        with SHIELD, arrived:
            if self._told is None:
                self._told = deque()
            self._told.append((channel, value))
            arrived.notify_all()
        if self._listener is not None:
            self._listener(channel)

    def _condition(self) -> threading.Condition:
        with SHIELD, _making:
            if self._arrived is None:
                self._arrived = threading.Condition()
            return self._arrived

    def _has(self, channel: str) -> bool:
        return any(name == channel for name, _ in self._told or ())

    def take(self, channel: str) -> list[Any]:
        """What this call was told through ``channel`` and has been delivered, oldest first."""
        if not self._told:
            return []
        with SHIELD, self._condition():
            values = [value for name, value in self._told if name == channel]
            if values:
                self._told = deque(item for item in self._told if item[0] != channel)
            return values


_making = threading.Lock()
_current: ContextVar[RunningCall | None] = ContextVar("genro_executor_running_call", default=None)


def current() -> RunningCall | None:
    """The call that this code runs in; ``None`` outside of one.

    It is a context variable: threads that a call starts by itself see it only if they are given
    the call's context.
    """
    return _current.get()


def running_in(context: Context) -> RunningCall | None:
    """The call that code with ``context`` runs in; ``None`` outside of one."""
    return context.get(_current)


enter: Callable[[RunningCall], Token[RunningCall | None]] = _current.set
"""Make a call the current one, until ``leave`` is given what this returns."""

leave: Callable[[Token[RunningCall | None]], None] = _current.reset


def worker_index() -> int | None:
    """The index of the worker process that this code runs in; ``None`` outside of one.

    It is a small number from 0 on, no two living workers of a pool have the same, and the worker
    that comes in the place of one that has ended takes its number.
    """
    index = os.environ.get(INDEX_VARIABLE, "")
    return int(index) if index.isdecimal() else None
