# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The answers of a worker: what a call has returned or raised, as a frame to the server."""

from __future__ import annotations

import functools
from typing import Any

from ...portable.exceptions import pack_failure
from ...portable.results import hold_result, pack_result
from ...portable.shared_memory.segments import LARGE_BYTES, looks_large
from ...worker.reading import WorkerFunction
from .handover import WorkerHandover
from .wire import FAILURE, LARGE, RESULT, FrameSocket

__all__ = ["Answers"]


class Answers:
    """Sends the outcomes of calls; large results go through shared memory. Any thread may."""

    __slots__ = ("_channel", "_handover")

    def __init__(self, channel: FrameSocket, handover: WorkerHandover) -> None:
        self._channel = channel
        self._handover = handover

    def result(
        self, number: int, function: WorkerFunction, result: Any, microseconds: int = 0
    ) -> None:
        """Send what call ``number`` has returned; if it cannot travel, an error that says why."""
        try:
            if function.large or looks_large(result):
                segment = hold_result(result, function, self._handover.hold)
                if segment is not None and self._handover.can_give(segment):
                    self._channel.send_behind(
                        functools.partial(self._handover.give, segment),
                        RESULT + LARGE,
                        number,
                        segment.layout,
                        microseconds,
                    )
                    return
            answer = pack_result(result, function)
        except BaseException as error:
            self.failure(number, error)
        else:
            function.large = len(answer) >= LARGE_BYTES
            self._channel.send(RESULT, number, answer, microseconds)

    def failure(self, number: int, error: BaseException) -> None:
        """Send what call ``number`` has raised."""
        self._channel.send(FAILURE, number, pack_failure(error))
