# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Large arguments on their way to another machine: pickled and put together on a thread.

A message carries them as they are, behind what it says (``remote/messages.py``), and they are read
by ``worker/remote_call.py``, in the worker.
"""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

from ...portable.shared_memory.segments import Segment, Segments, Split

__all__ = ["HeldSegment", "HeldSegments"]

_PIECE_BYTES = 2**20
"""So much is copied at a time: other threads, the event loop's among them, run in between."""


class HeldSegment(Segment):
    """The arguments of one call, in the memory of this process.

    Attributes:
        content: all of them, once ``finish`` has returned.
    """

    __slots__ = ("_parts", "content")

    def __init__(self, parts: Split) -> None:
        self.fd = -1
        self.number = 0
        self.capacity = 0
        self.content: bytes = b""
        # What can be changed is copied now: its caller may do so while the rest is written.
        buffers = [it if type(it.obj) is bytes else bytes(it) for it in parts.buffers]
        self._parts: list[Any] = [
            *(piece if type(piece) is bytes else bytes(piece) for piece in parts.stream),
            *buffers,
        ]
        lengths = [sum(map(len, parts.stream))]
        lengths += [-it.nbytes if it.readonly else it.nbytes for it in parts.buffers]
        self.layout = struct.pack(f"<{len(lengths)}q", *lengths)

    def finish(self) -> None:
        """Put the arguments together, on any thread."""
        whole = BytesIO()  # gives away what it has without a copy
        for part in self._parts:
            view = memoryview(part)
            for begin in range(0, len(view), _PIECE_BYTES):
                whole.write(view[begin : begin + _PIECE_BYTES])
        self._parts = []
        self.content = whole.getvalue()

    def close(self) -> None:
        """Let go of the arguments."""
        self._parts = []
        self.content = b""


class HeldSegments(Segments):
    """Keeps large arguments in this process until they are sent."""

    def hold(self, parts: Split) -> Segment:
        """A segment with ``parts`` in it."""
        return HeldSegment(parts)

    def release(self, segment: Segment) -> None:
        """Let go of ``segment``."""
        segment.close()
