# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Frames for the calls of one worker, behind the definitions that this worker does not have yet.

The server's counterpart of ``worker/reading.py``. It remembers which version of which definition
its worker has, and decides nothing else.
"""

from __future__ import annotations

from .job import Job
from .link import Link
from .wire import DEFINE, HEADER, LARGE, frame

__all__ = ["CallFrames"]


class CallFrames:
    """Makes the frames of one worker's calls."""

    __slots__ = ("_known", "_link")

    def __init__(self, link: Link) -> None:
        self._link = link
        self._known: dict[int, int] = {}

    def encode(self, kind: int, number: int, job: Job) -> bytes:
        """Call ``number`` as bytes to be written; a large call's segment is given away at once.

        Raises:
            BlockingIOError: the process has too many large arguments to take over as it is.
            OSError: the process is gone.
        """
        call = job.packed
        payload = call.payload
        if call.segment is not None:
            if self._link.open:
                self._link.handover.give(call.segment)
            kind += LARGE
        soft_timeout = int(job.soft_timeout * 1000) if job.soft_timeout else 0
        data = HEADER.pack(len(payload), number, soft_timeout, kind) + payload
        known = self._known
        for definition in call.definitions:
            if known.get(definition.key) != definition.version:
                return self._missing_definitions(job) + data
        return data

    def _missing_definitions(self, job: Job) -> bytes:
        """The definitions of ``job`` that the worker does not have; it has them from now on."""
        frames = []
        for definition in job.packed.definitions:
            if self._known.get(definition.key) != definition.version:
                self._known[definition.key] = definition.version
                kind = DEFINE + definition.kind
                frames.append(frame(kind, definition.key, definition.payload, definition.owner))
        return b"".join(frames)
