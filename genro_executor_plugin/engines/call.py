# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A call on its way through a pool, and what its run sends meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from dataclasses import dataclass
from logging import LogRecord
from typing import Any

from ..options.call import CallOptions

__all__ = ["Call", "Message"]


class Call:
    """A function call on its way through a pool.

    Attributes:
        func: what to run.
        args: its positional arguments.
        kwargs: its keyword arguments.
        options: how to run it.
        cleanup: an application whose ``route_cleanup()`` follows the run, ``None`` for none.
        deadline: loop time at which its run must have begun, ``None`` for no limit.
        raised: whether the error it ended with came out of the function itself.
        on_message: given ``(channel, value)`` of what the run sends, on the event loop, before
            its result; ``None`` if it has no listener.
        on_record: given each log record of its run, on the thread on which that is handled or
            made; ``None`` if nobody wants them.
        loop: the event loop it is made on, which its pool belongs to; set before it is packed.
        handle: the engine's own object for it while it runs.
        context: the caller's context variables, where the engine has kept them.
        streams: whether it may answer in chunks.
        traced: whether the caller's trace goes along.
        waited: seconds until its run began, once that is known.
        ran: seconds that its run took, once that is known.
        begun: once it has ended: whether a run of it was ever begun.
        ran_by: once it has ended, if it has ``on_message``: the process and the agent that have
            run it last, ``None`` and empty if they are not known.
        held: whether its limits wait, because it, or another one in its worker, is at a breakpoint.
        kill_on_cancel: cancelling it ends its run, whatever the pool's ``on_cancel`` says.
    """

    # Of the class until they are set: most calls never have them.
    deadline: float | None = None
    raised: bool = False
    on_message: Callable[[str, Any], None] | None = None
    on_record: Callable[[LogRecord], None] | None = None
    loop: asyncio.AbstractEventLoop | None = None
    handle: Any = None
    context: Context | None = None
    streams: bool = False
    traced: bool = False
    waited: float | None = None
    ran: float | None = None
    begun: bool = False
    ran_by: tuple[int | None, str] = (None, "")
    held: bool = False
    kill_on_cancel: bool = False

    def __init__(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        options: CallOptions,
        cleanup: Any = None,
    ) -> None:
        self.func = func
        self.args = args
        self.kwargs = kwargs
        self.options = options
        self.cleanup = cleanup


@dataclass(frozen=True, slots=True)
class Message:
    """What a run sent to the server, for a listener to a whole pool.

    Attributes:
        channel: which kind of message it is.
        value: what was sent.
        pool: the pool's name.
        pid: the process it comes from.
        call: the call it comes from, ``None`` for one from outside of any call.
    """

    channel: str
    value: Any
    pool: str
    pid: int | None
    call: Call | None
