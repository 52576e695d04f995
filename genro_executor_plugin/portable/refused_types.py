# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Types that pickle, or nearly do, and are useless in another process: refused by their name.

Applications and sections are among them. As ``self``, as arguments and as attributes of ``self``
they are replaced by their replicas before anybody asks here.

What is put into a copy of an ``asyncio.Queue`` is lost, and a copy of a held ``asyncio.Lock`` is
held for ever. Such a value is refused like one that pickle itself refuses. The types are named
and not imported: most workers never load their modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from ..hosts.loaded import LIVE_TYPES
from .stored import PACKAGE

__all__ = ["NotPortableError", "refusal_of"]

_LOOP = "works on the event loop that it was made on, and nowhere else"
_THREADS = "joins the threads of one process"
_CLIENT = "keeps connections on the event loop that it is used on"
_SERVED = "is served by one process"
_PART = "is part of a server, which is in one process"

_REASONS: Mapping[str, str] = MappingProxyType(
    {
        "asyncio.locks.Lock": _LOOP,
        "asyncio.locks.Event": _LOOP,
        "asyncio.locks.Condition": _LOOP,
        "asyncio.locks.Semaphore": _LOOP,
        "asyncio.locks.Barrier": _LOOP,
        "asyncio.queues.Queue": _LOOP,
        "asyncio.taskgroups.TaskGroup": _LOOP,
        "asyncio.timeouts.Timeout": _LOOP,
        "asyncio.runners.Runner": _LOOP,
        "asyncio.futures.Future": _LOOP,
        "asyncio.tasks.Task": _LOOP,
        "_asyncio.Future": _LOOP,
        "asyncio.transports.BaseTransport": _LOOP,
        "asyncio.protocols.BaseProtocol": _LOOP,
        "asyncio.streams.StreamReader": _LOOP,
        "asyncio.streams.StreamWriter": _LOOP,
        "asyncio.subprocess.Process": _LOOP,
        "asyncio.events.AbstractEventLoop": "belongs to the thread that runs it",
        "asyncio.events.AbstractServer": _LOOP,
        "asyncio.events.Handle": _LOOP,
        "anyio.Lock": _LOOP,
        "anyio.Event": _LOOP,
        "anyio.Condition": _LOOP,
        "anyio.Semaphore": _LOOP,
        "anyio.CapacityLimiter": _LOOP,
        "anyio._core._synchronization.Lock": _LOOP,
        "anyio._core._synchronization.Event": _LOOP,
        "anyio._core._synchronization.Condition": _LOOP,
        "anyio._core._synchronization.Semaphore": _LOOP,
        "anyio._core._synchronization.CapacityLimiter": _LOOP,
        "anyio.abc._tasks.TaskGroup": _LOOP,
        "anyio.streams.memory.MemoryObjectReceiveStream": _LOOP,
        "anyio.streams.memory.MemoryObjectSendStream": _LOOP,
        "httpx.AsyncClient": _CLIENT,
        "aiohttp.client.ClientSession": _CLIENT,
        "asyncpg.pool.Pool": _CLIENT,
        "asyncpg.connection.Connection": _CLIENT,
        "redis.asyncio.client.Redis": _CLIENT,
        "threading.Event": _THREADS,
        "threading.Condition": _THREADS,
        "threading.Semaphore": _THREADS,
        "threading.Barrier": _THREADS,
        "threading.Thread": _THREADS,
        "queue.Queue": _THREADS,
        "concurrent.futures._base.Future": _THREADS,
        "concurrent.futures._base.Executor": _THREADS,
        "genro_routes.core.routing.RoutingClass": _SERVED,
        "genro_routes.core.base_router.BaseRouter": "leads to everything that its server has",
        "genro_routes.core.router_node.RouterNode": "calls a handler of one process",
        f"{PACKAGE}.executors.registry.ExecutorRegistry": _PART,
        f"{PACKAGE}.serving.lifecycle.Lifecycle": _PART,
        f"{PACKAGE}.tasks.service.LongTasks": _PART,
        **LIVE_TYPES,
    }
)


class NotPortableError(TypeError):
    """A value is of a type that is refused; the text is a whole sentence."""


def refusal_of(cls: type) -> str | None:
    """Why no value of ``cls`` travels; ``None`` if nothing is known against it."""
    for base in cls.__mro__:
        reason = _REASONS.get(f"{base.__module__}.{base.__qualname__}")
        if reason is not None:
            own = f"{cls.__module__}.{cls.__qualname__}"
            article = "an" if own[0] in "aeiou" else "a"
            return f"{article} {own} {reason}"
    return None
