# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A port that says over HTTP whether an agent is well, for systemd, Kubernetes and their like."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable

from ..errors import ExecutorConfigError

__all__ = ["HealthPort"]

_READ_SECONDS = 5.0
_MOST_CONNECTIONS = 50


class HealthPort:
    """Answers every GET with 200, or with 503 and the reason why not."""

    def __init__(self, host: str, port: int, trouble: Callable[[], str]) -> None:
        """Answer at ``host`` and ``port``.

        Args:
            host: the address to listen at.
            port: the port to listen at.
            trouble: returns what is wrong, ``""`` for nothing.
        """
        self._host, self._port, self._trouble = host, port, trouble
        self._server: asyncio.Server | None = None
        self._connections = 0

    async def open(self) -> None:
        """Listen.

        Raises:
            ExecutorConfigError: the port cannot be used.
        """
        try:
            self._server = await asyncio.start_server(
                self._answer, self._host, self._port, limit=8192
            )
        except OSError as error:
            raise ExecutorConfigError(
                f"the health port {self._port} at {self._host} cannot be used: {error.strerror}"
            ) from error

    async def close(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            if self._connections <= _MOST_CONNECTIONS:
                async with asyncio.timeout(_READ_SECONDS):
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._response())
                    await writer.drain()
        except (OSError, TimeoutError, EOFError, asyncio.LimitOverrunError):
            pass  # whoever asked has left, or does not speak HTTP
        finally:
            self._connections -= 1
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    def _response(self) -> bytes:
        trouble = self._trouble()
        status = "503 Service Unavailable" if trouble else "200 OK"
        body = json.dumps({"healthy": not trouble, "reason": trouble or None}).encode() + b"\n"
        head = (
            f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body
