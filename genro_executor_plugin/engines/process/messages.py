# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A worker's side of messages: what its calls send, and what they are told while they run."""

from __future__ import annotations

import logging
import pickle
import threading
from typing import Any

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
    """Numbers the calls of one worker and carries their messages.

    The thread that made it reads the socket: between calls always, during a call that runs on
    it only when that call asks for what it was told.
    """

    def __init__(self, channel: FrameSocket) -> None:
        self._channel = channel
        self._running: dict[int, RunningCall] = {}
        self._early: dict[int, list[tuple[str, Any]]] = {}
        self._last = 0
        self._reader = threading.get_ident()

    def begin(self, number: int) -> RunningCall:
        """Call ``number`` runs from now on, until ``end``."""
        call = self._running[number] = RunningCall(number, self)
        self._last = number
        if self._early:
            for channel, value in self._early.pop(number, ()):
                call.deliver(channel, value)
        return call

    def end(self, number: int) -> None:
        """Call ``number`` has ended; what it is still told is for nobody."""
        self._running.pop(number, None)

    def send(self, number: int, channel: str, value: Any) -> None:
        if number in self._running or not number:
            self._channel.send(MESSAGE, number, pickle.dumps((channel, value), 5))

    def read(self, timeout: float | None) -> bool:
        if threading.get_ident() != self._reader:
            return False
        for frame in self._channel.take(TELL, timeout):
            self.tell(frame)
        return True

    def tell(self, frame: Frame) -> None:
        """Deliver what the server tells a call."""
        number = frame[1]
        try:
            told = pickle.loads(frame[3])
        except Exception:
            _logger.exception("call %s was told something that cannot be rebuilt here", number)
            return
        call = self._running.get(number)
        if call is not None:
            call.deliver(*told)
        elif number > self._last:
            self._early.setdefault(number, []).append(told)
