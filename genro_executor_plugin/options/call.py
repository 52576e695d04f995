# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The options of one call: how it is run, where its pool does not decide."""

from __future__ import annotations

from dataclasses import dataclass

from .keys import Key, KeyName

__all__ = ["CALL_OPTIONS", "CallOptions"]

CALL_OPTIONS = (
    *("timeout", "soft_timeout", "queue_timeout"),
    *("on_overload", "max_waiting", "retries", "idle", "send_timeout"),
    *("key", "key_serial"),
)
"""The options that a route or a call may set for itself. All but the last two are a pool's, too."""


@dataclass(frozen=True, slots=True)
class CallOptions:
    """How one call is run. ``None`` means: as the pool says.

    Attributes:
        timeout: seconds the run may take, counted from its start.
        soft_timeout: seconds after which ``SoftTimeoutError`` is raised in the run.
        queue_timeout: seconds the call may wait before its run starts.
        on_overload: ``"wait"`` or ``"fail"`` when the pool has ``max_pending`` calls.
        max_waiting: how many calls may wait for a place when this one would have to.
        retries: how often the call is sent again after its worker crashed.
        idle: seconds that may pass before the next chunk of a stream is there.
        send_timeout: seconds that the client of a stream may take to read what it is sent.
        key: calls with the same key meet the same worker; of a route, where its calls have it.
        key_serial: whether the calls of a key run one after the other.
        route: the route the call came from, for errors.
        path: that route with its application and sections, for metrics; empty without one.
    """

    timeout: float | None = None
    soft_timeout: float | None = None
    queue_timeout: float | None = None
    on_overload: str | None = None
    max_waiting: int | None = None
    retries: int | None = None
    idle: float | None = None
    send_timeout: float | None = None
    key: Key | KeyName | None = None
    key_serial: bool | None = None
    route: str | None = None
    path: str = ""
