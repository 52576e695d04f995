# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The messages of an actor's calls: what they send to the server, and what they are told.

What is sent is taken by a generator of the actor, which Ray streams to the server. An answer comes
on another way, so it says how many messages were sent before it: the server waits for them.
"""

from __future__ import annotations

import itertools
import logging
import os
import pickle
import queue
import struct
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from time import monotonic
from typing import Any

from ...worker.forks import end_child, when_forked
from ...worker.logs import LOG, WARNING
from ...worker.running import RunningCall

__all__ = ["STATE", "STATE_OF", "Outbox", "Sent"]

_logger = logging.getLogger("genro_executor_plugin")

Sent = tuple[int, bool, bytes]
"""One message: the number of its call, whether it is a log record or a warning, and its bytes."""

STATE = -1
"""Stands for the number of a call where a message is the actor's state, which is not counted."""

STATE_OF = struct.Struct("<Qd")
"""The state: the actor's resident memory, and the load of each CPU of its machine."""

_STATE_SECONDS = 10.0

_MOST_WAITING = 1000
"""How many messages may wait until they are taken; who sends the next one waits."""

_MOST_AT_ONCE, _MOST_BYTES = 100, 1024 * 1024
"""How much is handed on in one piece."""


class Outbox:
    """Carries the messages of one actor's calls, told apart by their numbers."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Sent] = queue.Queue(_MOST_WAITING)
        self._sending = threading.Lock()
        self._telling = threading.Lock()
        self._running: dict[int, RunningCall] = {}
        self._last = 0
        self._early: dict[int, list[tuple[str, Any]]] = {}
        self._out_of_turn: dict[int, tuple[int, bytes]] = {}
        self._turn = 1
        self._is_forked = False
        self.count: int = 0
        when_forked(self.let_go)

    def let_go(self) -> None:
        """Neither send nor be told anything in a forked child: the calls are its parent's."""
        self._is_forked = True
        self._running.clear()
        self._sending = threading.Lock()
        self._telling = threading.Lock()

    def begin(self, number: int) -> RunningCall:
        """The running call ``number``, which can be sent messages until ``end``."""
        with self._telling:
            call = self._running[number] = RunningCall(number, self)
            self._last = number
            for channel, value in self._early.pop(number, ()):
                call.deliver(channel, value)
        return call

    def end(self, number: int) -> None:
        """Drop what call ``number``, which has ended, is still told.

        A forked child that comes here ends: it has come back from a handler, and its parent
        answers the call.
        """
        if self._is_forked:
            end_child(sys.exception())
        call = self._running.get(number)
        if call is not None and call.at_end is not None:
            call.at_end()
        self._running.pop(number, None)

    def send(self, number: int, channel: str, value: Any) -> None:
        """Send ``value`` to the server; a call that has ended sends nothing any more."""
        if self._is_forked or not (number in self._running or number == 0):
            return
        packed = pickle.dumps((channel, value), 5)
        with self._sending:
            self._waiting.put((number, channel in (LOG, WARNING), packed))
            self.count += 1

    def read(self, timeout: float | None) -> bool:
        """``False``: what the calls are told is delivered by another thread."""
        return False

    def told(self, turn: int, number: int, packed: bytes) -> None:
        """Deliver what the server tells call ``number``; a call that has not begun finds it later.

        Args:
            turn: counts what this actor is told: Ray need not keep the order.
            number: the call.
            packed: the channel and the value.
        """
        with self._telling:
            self._out_of_turn[turn] = number, packed
            while self._turn in self._out_of_turn:
                self._deliver(*self._out_of_turn.pop(self._turn))
                self._turn += 1

    def _deliver(self, number: int, packed: bytes) -> None:
        try:
            told = pickle.loads(packed)
        except BaseException:
            _logger.exception("call %s was told something that cannot be rebuilt here", number)
            return
        call = self._running.get(number)
        if call is not None:
            call.deliver(*told)
        elif number > self._last:
            self._early.setdefault(number, []).append(told)

    def pieces(self) -> Iterator[list[Sent]]:
        """What is sent, as it comes, without end."""
        due = 0.0
        while True:
            piece: list[Sent] = []
            if monotonic() >= due:
                due = monotonic() + _STATE_SECONDS
                piece.append((STATE, False, _state()))
            left = max(0.001, due - monotonic()) if not piece else 0.001
            with suppress(queue.Empty):
                piece.append(self._waiting.get(timeout=left))
            size = sum(len(packed) for _, _, packed in piece)
            for _ in itertools.repeat(None, _MOST_AT_ONCE - 1):
                if size >= _MOST_BYTES:
                    break
                try:
                    piece.append(self._waiting.get_nowait())
                except queue.Empty:
                    break
                size += len(piece[-1][2])
            if piece:
                yield piece


def _state() -> bytes:
    memory, load = 0, 0.0
    with suppress(OSError), open("/proc/self/statm") as statm:  # only Linux has it
        memory = int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    with suppress(OSError):
        load = os.getloadavg()[0] / (os.cpu_count() or 1)
    return STATE_OF.pack(memory, load)
