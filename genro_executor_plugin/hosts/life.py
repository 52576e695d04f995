# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The life of a server of the host: steps around its methods, and what ends its start.

Methods are replaced on the instance: the server of somebody else stays what it is.
"""

from __future__ import annotations

import inspect
import logging
import math
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Protocol

from .surface import ASGIApp, FatalBootError, Scope

__all__ = ["put_around", "require_lifespan", "stop_at_failed_hooks", "wait_at_least"]

_logger = logging.getLogger("genro_executor_plugin")


class Steps(Protocol):
    """What is put around the methods of a server; each is given the server's own method, too."""

    def arm_router(self, router: Any, own: Callable[[Any], None] | None, /) -> None:
        """Plug plugins into ``router``; ``own`` is ``None`` where the server has no plugins."""

    def demux(
        self, scope: Scope, own: Callable[[Scope], tuple[ASGIApp, Scope]], /
    ) -> tuple[ASGIApp, Scope]:
        """Return what answers ``scope``, and the scope that it is given."""

    def start_leaving(self, own: Callable[[], None], /) -> None:
        """Turn the state of the server to leaving."""

    async def startup(self, own: Callable[[], Awaitable[None]], /) -> None:
        """Start the applications; ``FatalBootError`` stops the boot."""

    async def shutdown(self, own: Callable[[], Awaitable[None]], /) -> None:
        """End the applications."""


def put_around(server: Any, steps: Steps) -> None:
    """Put ``steps`` around the methods of ``server``, on the instance."""
    arm_router = getattr(server, "arm_router", None)
    demux, start_leaving = server.demux, server.start_leaving
    startup, shutdown = server.lifespan.startup, server.lifespan.shutdown
    server.arm_router = lambda router: steps.arm_router(router, arm_router)
    server.demux = lambda scope: steps.demux(scope, demux)
    server.start_leaving = lambda: steps.start_leaving(start_leaving)
    server.lifespan.startup = lambda: steps.startup(startup)
    server.lifespan.shutdown = lambda: steps.shutdown(shutdown)


def wait_at_least(server: Any, seconds: float) -> None:
    """Have the uvicorn that serves ``server``, and was told to exit just now, wait for requests.

    It reads its limit, after which it cancels them, only once it has stopped listening.
    """
    config = getattr(server.uvicorn_server, "config", None)
    if config is not None and (limit := config.timeout_graceful_shutdown) is not None:
        config.timeout_graceful_shutdown = max(limit, math.ceil(seconds))


def require_lifespan(server: Any) -> None:
    """Have the uvicorn that serves ``server`` take any exception of its lifespan for an end.

    By default, uvicorn takes an application that raises at its start for one without a lifespan,
    and serves it.
    """
    if server.uvicorn_server is not None:
        server.uvicorn_server.config.lifespan = "on"


def stop_at_failed_hooks(server: Any) -> None:
    """Have an exception in the ``on_startup`` of an application of ``server`` end its start.

    The host logs it, goes on, and serves the application without what it was to build. An
    ``on_shutdown`` that raises still stops no other.
    """
    lifespan = server.lifespan
    own = partial(type(lifespan)._run_hook, lifespan)  # of the class: the start may come again

    async def run_hook(app: Any, name: str) -> None:
        if name != "on_startup":
            await own(app, name)
            return
        try:
            started = app.on_startup()
            if inspect.isawaitable(started):
                await started
        except FatalBootError:
            raise
        except Exception as error:
            where = f"on_startup of application {app.code!r}"
            _logger.exception("the server does not start: %s failed", where)
            raise FatalBootError(
                f"the server does not start: {where}: {type(error).__name__}: {error}"
            ) from error

    lifespan._run_hook = run_hook
