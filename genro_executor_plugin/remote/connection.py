# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A connection to NATS. nats-py is imported when one is opened.

nats-py keeps what is published while it is cut off, and sends it later. Here nothing is kept: what
cannot be sent now is not sent, and ``send`` says so, because a call that is sent a minute later may
have been run elsewhere by then.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from typing import Any

from ..errors import ExecutorConfigError, ExecutorError
from .access import Access
from .reasons import reason_and_cure

__all__ = ["Connection"]

_logger = logging.getLogger("genro_executor_plugin")

_CONNECT_SECONDS = 10.0
_RECONNECT_SECONDS = 0.25
_PING_SECONDS = 2
"""How often the NATS server is asked for a sign of life; it is given up after three."""

_MOST_UNSENT = 64 * 1024 * 1024
"""How many bytes may wait for the socket."""

_NOBODY = "503"
"""The status of NATS for a message that nobody has subscribed to."""


class Connection:
    """A connection to NATS, which comes back by itself when it is lost.

    Attributes:
        max_payload: how many bytes a message may have.
    """

    def __init__(self, access: Access, name: str, changed: Callable[[bool], None]) -> None:
        """Make a connection that is not open yet.

        Args:
            access: where to.
            name: what the server of NATS shows it as.
            changed: called with whether it is there, whenever that changes.
        """
        self._access, self._name, self._changed = access, name, changed
        self._client: Any = None
        self._opening = False
        self._last_error: BaseException | None = None
        self._guard: asyncio.Task[None] | None = None
        self.max_payload: int = 1024 * 1024

    @property
    def connected(self) -> bool:
        """Whether something can be sent now, as far as is known."""
        return self._client is not None and self._client.is_connected

    @property
    def last_error(self) -> str:
        """What went wrong last, ``""`` for nothing."""
        error = self._last_error
        return "" if error is None else str(error) or type(error).__name__

    async def open(self) -> None:
        """Connect.

        Raises:
            ExecutorConfigError: nats-py is not there, or what lets us in cannot be read.
            ExecutorError: no server of NATS can be reached; the message names them.
        """
        try:
            from .client import make_client
        except ImportError as error:
            raise ExecutorConfigError(
                "nats-py is not installed; pip install 'genro-executor-plugin[nats]'"
            ) from error
        arguments = self._access.as_arguments() | {
            "name": self._name,
            # So often for the first time; it comes back without an end.
            "max_reconnect_attempts": 1,
            "reconnect_time_wait": _RECONNECT_SECONDS,
            "ping_interval": _PING_SECONDS,
            "max_outstanding_pings": 2,
            "pending_size": 2 * _MOST_UNSENT,
        }
        client = make_client(self._access.wants_tls)
        self._opening = True
        try:
            async with asyncio.timeout(_CONNECT_SECONDS):
                await client.connect(
                    error_cb=self._went_wrong,
                    disconnected_cb=self._disconnected,
                    reconnected_cb=self._reconnected,
                    closed_cb=self._disconnected,
                    **arguments,
                )
        except ImportError as error:  # nkeys is an extra of nats-py
            raise ExecutorConfigError(
                f"NATS at {self._access.url}: {error}; pip install 'nats-py[nkeys]'"
            ) from error
        except Exception as error:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(client.close(), 1)
            raise ExecutorError(
                f"NATS cannot be reached at {self._access.url}: "
                f"{reason_and_cure(self._last_error or error)}"
            ) from error
        finally:
            self._opening = False
        client.options["max_reconnect_attempts"] = -1
        self._client, self.max_payload = client, client.max_payload
        self._guard = asyncio.create_task(self._close_with_the_loop())
        self._changed(True)

    async def listen(self, subject: str, heard: Callable[[str, bytes, bool], None]) -> None:
        """Have ``heard(subject, data, nobody)`` called with each message from now on.

        ``nobody`` is true for what says that nobody listened to a message whose reply was to go to
        that subject.
        """

        async def arrived(message: Any) -> None:
            status = (message.headers or {}).get("Status") if message.headers else None
            try:
                heard(message.subject, message.data, status == _NOBODY and not message.data)
            except Exception:
                _logger.exception("a message on the subject %r was lost", message.subject)

        await self._client.subscribe(subject, cb=arrived)
        await self._client.flush()

    async def answer(self, subject: str, told: Callable[[], bytes]) -> None:
        """Answer each request on ``subject`` with what ``told()`` returns."""

        async def arrived(message: Any) -> None:
            if message.reply:
                self.send(message.reply, told())

        await self._client.subscribe(subject, cb=arrived)

    def send(self, subject: str, data: bytes, nobody_to: str = "") -> bool:
        """Send ``data`` now; ``False`` if it is not sent, and never will be.

        Args:
            subject: where to.
            data: at most ``max_payload`` bytes.
            nobody_to: the subject that is told if nobody listens.
        """
        client = self._client
        if client is None or not client.is_connected:
            return False
        if client.pending_data_size + len(data) > _MOST_UNSENT:
            return False
        publishing = client.publish(subject, data, reply=nobody_to)
        try:
            publishing.send(None)  # as little as there is waiting, it does not wait
        except StopIteration:
            return True
        except Exception as error:
            self._last_error = error
            return False
        publishing.close()
        return False

    async def flush(self) -> None:
        """Wait until the server of NATS has what was sent, for a second at most."""
        with contextlib.suppress(Exception):
            await self._client.flush(timeout=1)

    async def close(self) -> None:
        """Close it; what was sent is on its way."""
        guard, self._guard = self._guard, None
        if guard is not None:
            guard.cancel()
            await asyncio.gather(guard, return_exceptions=True)
        await self._close()

    async def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                await client.close()

    async def _close_with_the_loop(self) -> None:
        """Close it when the event loop ends, which cancels what still runs."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            if self._guard is not None:
                await self._close()

    async def _went_wrong(self, error: BaseException) -> None:
        self._last_error = error
        _logger.debug("NATS at %s: %r", self._access.url, error)
        if self._opening and isinstance(error, ssl.SSLError):
            raise error  # a second attempt would end in the same way, and nats-py waits long

    async def _disconnected(self) -> None:
        self._changed(False)

    async def _reconnected(self) -> None:
        self.max_payload = self._client.max_payload if self._client else self.max_payload
        self._changed(True)
