# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the agent tells tools of NATS of itself: ping, info and statistics of its services API.

``nats service ls`` and dashboards find agents by it. It is answered to everybody who may publish to
``$SRV.>``, unsigned, and says nothing of calls but how many there were.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from ..remote.connection import Connection
from ..remote.versions import CodeVersion

__all__ = ["Service"]

_TYPE = "io.nats.micro.v1"
_NAME = "genro-executor"


class Service:
    """One agent as a service.

    Attributes:
        calls: how many calls it has begun.
        errors: how many it could not run to their end.
        last_error: why the last one of these was not.
        seconds: how long its calls have run, in all.
    """

    def __init__(
        self, agent: str, subject: str, code: CodeVersion, state: Callable[[], Any]
    ) -> None:
        """Describe ``agent``.

        Args:
            agent: its name.
            subject: that of the pools that it works for.
            code: what code it has.
            state: returns what it does now, as plain data.
        """
        self._agent, self._subject, self._state = agent, subject, state
        version = code.package if code.package[:1].isdigit() else "0.0.0"
        metadata = {"host": socket.gethostname(), "python": code.python, "subject": subject}
        self._identity = {"name": _NAME, "id": agent, "version": version, "metadata": metadata}
        self._started = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        self.calls: int = 0
        self.errors: int = 0
        self.last_error: str = ""
        self.seconds: float = 0.0

    async def answer(self, connection: Connection) -> None:
        """Answer whoever asks through ``connection``."""
        for verb, told in (("PING", self._ping), ("INFO", self._info), ("STATS", self._stats)):
            for place in ("", f".{_NAME}", f".{_NAME}.{self._agent}"):
                await connection.answer(f"$SRV.{verb}{place}", told)

    def ended(self, seconds: float, error: str = "") -> None:
        """Count a call that has run for ``seconds``, and ended with ``error`` or in order."""
        self.calls += 1
        self.seconds += seconds
        if error:
            self.errors += 1
            self.last_error = error

    def _ping(self) -> bytes:
        return self._told("ping_response")

    def _info(self) -> bytes:
        endpoints = [{**self._endpoint, "metadata": {}}]
        text = f"Runs calls of genro-executor-plugin pools with the subject {self._subject}"
        return self._told("info_response", description=text, endpoints=endpoints)

    def _stats(self) -> bytes:
        nanoseconds = int(self.seconds * 1e9)
        endpoint = {
            **self._endpoint,
            "num_requests": self.calls,
            "num_errors": self.errors,
            "last_error": self.last_error,
            "processing_time": nanoseconds,
            "average_processing_time": nanoseconds // max(1, self.calls),
            "data": self._state(),
        }
        return self._told("stats_response", started=self._started, endpoints=[endpoint])

    @property
    def _endpoint(self) -> dict[str, Any]:
        where = f"{self._subject}.agent.{self._agent}"
        return {"name": "calls", "subject": where, "queue_group": ""}

    def _told(self, what: str, **more: Any) -> bytes:
        return json.dumps({"type": f"{_TYPE}.{what}", **self._identity, **more}).encode()
