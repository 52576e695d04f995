# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Errors of calls reach Sentry, each of them once, where the application has initialised its SDK.

Nothing here imports the SDK unless it is loaded already. An error that is reported is marked, and
a processor of events drops what others would say of it afterwards: the log record of the host,
or an integration for ASGI or asyncio. The SDK leaves out what it has seen itself, but only
in the same context, and streams and long jobs run in tasks of their own.

Events are made on a thread of the event loop's default executor, because it takes milliseconds.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from contextvars import copy_context
from functools import cache
from types import TracebackType
from typing import Any

from ..errors import ExecutorError
from .error_text import text_of

__all__ = ["CAPTURED", "Reports", "active_sdk", "is_reported", "watch_events"]

CAPTURED = "executor_captured"
"""The attribute of a log record of which an event was made already, or is not to be made."""

_MODULE = "sentry_sdk"
_MARK, _BY_CALL, _BY_OTHERS = "_executor_reported", "call", "others"
_OWN = "executor_own"

_MOST_WAITING = 100
"""How many errors of a pool wait, at most, for the thread that makes events of them."""

_logger = logging.getLogger("genro_executor_plugin")


def active_sdk() -> Any:
    """The SDK, if this process has initialised it; ``None`` if not."""
    sdk = sys.modules.get(_MODULE)
    is_initialized = getattr(sdk, "is_initialized", None)
    return sdk if is_initialized is not None and is_initialized() else None


def is_reported(error: BaseException) -> bool:
    """Whether an event was made of ``error`` already, by whomever."""
    return hasattr(error, _MARK)


def watch_events() -> None:
    """Have events left out that would tell of an error once more, if the SDK is in use."""
    sdk = active_sdk()
    if sdk is not None:
        _add_processor(sdk)


@cache
def _add_processor(sdk: Any) -> None:
    sdk.scope.add_global_event_processor(_processed)


def _processed(event: Any, hint: Any) -> Any:
    """``event``, with the pool if a worker has logged it; ``None`` if it tells nothing new."""
    hint = hint or {}
    if hint.get(_OWN):
        return event
    _, error, _ = hint.get("exc_info") or (None, None, None)
    record = hint.get("log_record")
    if getattr(error, _MARK, "") == _BY_CALL or getattr(record, CAPTURED, False):
        return None
    if isinstance(error, BaseException):
        # Its call may fail with it yet: what a handler on a thread has captured, and raises.
        _mark(error, _BY_OTHERS)
    pool = getattr(record, "executor_pool", None)
    if pool is not None:
        event["tags"] = {**_tags(pool, None), **dict(event.get("tags") or {})}
    return event


def _mark(error: BaseException, by: str) -> None:
    # Whatever the class does with assignments, as a frozen dataclass.
    BaseException.__setattr__(error, _MARK, by)


def _tags(pool: str, route: str | None) -> dict[str, str]:
    return {"executor.pool": pool, **({"executor.route": route} if route else {})}


class Reports:
    """The errors of a pool on their way to Sentry."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting = 0

    def add(
        self,
        error: BaseException,
        frames: TracebackType | None,
        pool: str,
        route: str | None,
        facts: Mapping[str, str],
    ) -> None:
        """Report ``error`` once, if the SDK is in use; the event loop does not wait for it.

        Where too many wait already it is not reported, and left to others.

        Args:
            error: what a call has raised, or failed with.
            frames: its traceback without those of this package.
            pool: the pool of the call.
            route: its route, if it came from one.
            facts: what is said of it beside.
        """
        sdk = active_sdk()
        if sdk is None:
            return
        if is_reported(error):
            _mark(error, _BY_CALL)  # what comes from here on tells nothing new
            return
        if self._waiting >= _MOST_WAITING:
            return
        from asyncio import get_running_loop  # workers import this module, and not asyncio

        _add_processor(sdk)
        # The context has the request, the user and the crumbs that the application has noted.
        run = copy_context().run
        event = (sdk, error, frames, _tags(pool, route), dict(facts))
        try:
            sending = get_running_loop().run_in_executor(None, run, _send, *event)
        except RuntimeError:  # the loop is about to close
            return
        _mark(error, _BY_CALL)
        self._waiting += 1
        sending.add_done_callback(self._sent)

    def _sent(self, _: Any) -> None:
        self._waiting -= 1


def _send(
    sdk: Any,
    error: BaseException,
    frames: TracebackType | None,
    tags: Mapping[str, str],
    facts: Mapping[str, str],
) -> None:
    try:
        event, hint = sdk.utils.event_from_exception(
            (type(error), error, frames),
            client_options=sdk.get_client().options,
            mechanism={"type": "genro_executor", "handled": False},
        )
        if isinstance(error, ExecutorError):
            # The SDK takes what clients are told, which does not say what has happened.
            said = (text_of(error), *getattr(error, "__notes__", ()))
            event["exception"]["values"][-1]["value"] = "\n".join(map(str, said))
        with sdk.new_scope() as scope:
            scope.set_tags(tags)
            scope.set_context("executor", facts)
            sdk.capture_event(event, hint={**hint, _OWN: True})
    except Exception:  # what the application gave the SDK may raise anything
        _logger.warning("an error could not be reported to Sentry: %s", tags, exc_info=True)
