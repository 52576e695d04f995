# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The message channel of a worker process: what its calls send, and what they are told.

It runs in the worker, over the socket that also carries calls and results. The server's side is
``Worker.tell`` and the pool's ``on_message``.
"""

from __future__ import annotations

import logging
import pickle
import sys
import threading
from typing import Any

from ...worker.forks import end_child
from ...worker.logs import LOG, WARNING
from ...worker.running import RunningCall
from .wire import (
    MESSAGE,
    TELL,
    Frame,
    FrameSocket,
)

__all__ = ["WorkerMessageChannel"]

_logger = logging.getLogger("genro_executor_plugin")


class WorkerMessageChannel:
    """Carries the messages of one worker's calls, told apart by their numbers.

    The thread that made it reads the socket: always between calls, and during a call that runs
    on it only when that call asks for messages.
    """

    def __init__(self, channel: FrameSocket) -> None:
        self._channel = channel
        self._running: dict[int, RunningCall] = {}
        self._early: dict[int, list[tuple[str, Any]]] = {}
        self._is_forked = False
        self._last = 0
        self._reader = threading.get_ident()

    def begin(self, number: int) -> RunningCall:
        """The running call ``number``, which can be sent messages until ``end``."""
        call = self._running[number] = RunningCall(number, self)
        self._last = number
        if self._early:
            for channel, value in self._early.pop(number, ()):
                call.deliver(channel, value)
        return call

    @property
    def numbers(self) -> list[int]:
        """The numbers of the calls that run."""
        return list(self._running)

    def end(self, number: int) -> None:
        """Drop what call ``number``, which has ended, is still told.

        A forked child that comes here ends: it has come back from a handler, and its parent
        answers the call.
        """
        call = self._running.get(number)
        if call is None:
            if self._is_forked:
                end_child(sys.exception())
            return
        if call.at_end is not None:
            call.at_end()
        del self._running[number]

    def send(self, number: int, channel: str, value: Any) -> None:
        """Send ``value`` to the server; a call that has ended sends nothing any more."""
        if number in self._running or not (number or self._is_forked):
            is_record = channel in (LOG, WARNING)
            self._channel.send(MESSAGE, number, pickle.dumps((channel, value), 5), is_record)

    def let_go(self) -> None:
        """Neither send nor read in a forked child: its messages are not those of the call."""
        self._is_forked = True
        self._running.clear()
        self._reader = 0

    def read(self, timeout: float | None) -> bool:
        """Deliver what has arrived, waiting for it at most ``timeout`` seconds.

        Returns:
            ``False`` on a thread that does not read the socket.
        """
        if threading.get_ident() != self._reader:
            return False
        self._channel.take(TELL, timeout, self.tell)
        return True

    def tell(self, frame: Frame) -> None:
        """Deliver what the server tells a call; a call that has not begun finds it later."""
        number = frame[1]
        try:
            told = pickle.loads(frame[3])
        except BaseException:
            _logger.exception("call %s was told something that cannot be rebuilt here", number)
            return
        call = self._running.get(number)
        if call is not None:
            call.deliver(*told)
        elif number > self._last:
            self._early.setdefault(number, []).append(told)
