# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The pool of an agent: one of processes, whose log records go to the servers that call."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar

from ..engines.base import Engine
from ..engines.process.engine import ProcessEngine
from ..engines.process.job import Job
from ..executors.builtin import ProcessExecutor
from .runs import FarCall

__all__ = ["AgentPool"]

SendRecord = Callable[[FarCall, int | None, bytes], None]


class _AgentEngine(ProcessEngine):
    """A process engine that hands records of calls from elsewhere on."""

    send_record: SendRecord | None = None
    loop: asyncio.AbstractEventLoop

    def _record(self, job: Job | None, pid: int | None, packed: bytes | memoryview) -> None:
        call = job.owner if job is not None else None
        if self.send_record is None or not isinstance(call, FarCall):
            super()._record(job, pid, packed)
            return
        with suppress(RuntimeError):  # the loop is closed: nobody waits for the record
            self.loop.call_soon_threadsafe(self.send_record, call, pid, bytes(packed))


class AgentPool(ProcessExecutor):
    """A pool of worker processes that runs the calls of servers on other machines."""

    engine_type: ClassVar[type[Engine] | None] = _AgentEngine

    def send_records(self, send_record: SendRecord) -> None:
        """Have ``send_record`` called, on the event loop, with each record of a call.

        Args:
            send_record: given the call, the pid of its worker, and the record as bytes.
        """
        engine = self._engine
        assert isinstance(engine, _AgentEngine)
        engine.loop = asyncio.get_running_loop()
        self._metrics.reports = None  # the server that has called reports its errors
        engine.send_record = send_record
