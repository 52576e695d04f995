# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What every host has under the same name in the same module, taken from the one that was chosen.

A host that has one of these elsewhere, or not at all, is no host for this package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .chosen import chosen_host

if TYPE_CHECKING:  # of the hosts, the one that the types are checked with
    from genro_asgi import (
        ApplicationGrammar,
        ASGIApp,
        AsgiConfigBuilder,
        AsgiServer,
        AsgiServerGrammar,
        AuthMixin,
        BaseApplication,
        BaseServer,
        ConfigurationHandler,
        DefaultConfig,
        HTTPBadRequest,
        HTTPException,
        HTTPForbidden,
        HTTPNotFound,
        HTTPUnauthorized,
        HTTPUnsupportedMediaType,
        Message,
        Receive,
        RoutedApplication,
        Scope,
        Send,
        router_openapi,
    )
    from genro_asgi.__main__ import Cli, CliError, ServerLauncher, TargetResolver
    from genro_asgi.config import CONFIGURATION_TEMPLATES
    from genro_asgi.lifespan import QUITTING, FatalBootError, Lifespan
    from genro_asgi.mcp import JSONRPC_INTERNAL_ERROR, McpEngine, McpError
    from genro_asgi.middleware import BaseMiddleware
    from genro_asgi.reloading import LAUNCHER_ENV
    from genro_asgi.session.store import MemorySessionStore
    from genro_asgi.sse import SseStream
    from genro_asgi.streaming import StreamingResponse
    from genro_asgi.tasks import LocalTaskExecutor, TaskManager, TaskScheduler
    from genro_asgi.tasks.hub import EventHub

__all__ = [
    "CONFIGURATION_TEMPLATES",
    "JSONRPC_INTERNAL_ERROR",
    "LAUNCHER_ENV",
    "QUITTING",
    "ASGIApp",
    "ApplicationGrammar",
    "AsgiConfigBuilder",
    "AsgiServer",
    "AsgiServerGrammar",
    "AuthMixin",
    "BaseApplication",
    "BaseMiddleware",
    "BaseServer",
    "Cli",
    "CliError",
    "ConfigurationHandler",
    "DefaultConfig",
    "EventHub",
    "FatalBootError",
    "HTTPBadRequest",
    "HTTPException",
    "HTTPForbidden",
    "HTTPNotFound",
    "HTTPUnauthorized",
    "HTTPUnsupportedMediaType",
    "Lifespan",
    "LocalTaskExecutor",
    "McpEngine",
    "McpError",
    "MemorySessionStore",
    "Message",
    "Receive",
    "RoutedApplication",
    "Scope",
    "Send",
    "ServerLauncher",
    "SseStream",
    "StreamingResponse",
    "TargetResolver",
    "TaskManager",
    "TaskScheduler",
    "router_openapi",
]

_HOMES = {
    "CONFIGURATION_TEMPLATES": ".config",
    "Cli": ".__main__",
    "CliError": ".__main__",
    "EventHub": ".tasks.hub",
    "FatalBootError": ".lifespan",
    "JSONRPC_INTERNAL_ERROR": ".mcp",
    "LAUNCHER_ENV": ".reloading",
    "Lifespan": ".lifespan",
    "LocalTaskExecutor": ".tasks",
    "McpEngine": ".mcp",
    "McpError": ".mcp",
    "BaseMiddleware": ".middleware",
    "MemorySessionStore": ".session.store",
    "QUITTING": ".lifespan",
    "ServerLauncher": ".__main__",
    "SseStream": ".sse",
    "StreamingResponse": ".streaming",
    "TargetResolver": ".__main__",
    "TaskManager": ".tasks",
    "TaskScheduler": ".tasks",
}
"""The modules of the names that the host's package does not have itself."""

if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module = import_module(chosen_host() + _HOMES.get(name, ""))
        value = globals()[name] = getattr(module, name)
        return value
