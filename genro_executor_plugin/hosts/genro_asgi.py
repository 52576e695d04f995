# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""genro-asgi as a host: its names, and what only it can be asked."""

from __future__ import annotations

from typing import Any

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
from genro_asgi.config import CONFIGURATION_TEMPLATES
from genro_asgi.lifespan import FatalBootError
from genro_asgi.sse import SseStream
from genro_asgi.streaming import StreamingResponse
from genro_asgi.tasks import LocalTaskExecutor, TaskManager, TaskScheduler
from genro_asgi.tasks.hub import EventHub

__all__ = [
    "CONFIGURATION_TEMPLATES",
    "ASGIApp",
    "ApplicationGrammar",
    "AsgiConfigBuilder",
    "AsgiServer",
    "AsgiServerGrammar",
    "BaseApplication",
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
    "LocalTaskExecutor",
    "Message",
    "Receive",
    "RoutedApplication",
    "Scope",
    "Send",
    "SseStream",
    "StreamingResponse",
    "TaskManager",
    "TaskScheduler",
    "has_authentication",
    "router_openapi",
]


def has_authentication(server: Any, scope: Scope) -> bool:
    """Whether any authentication is configured for ``server``, which answers ``scope``."""
    decides = type(server).authenticate
    if decides not in (BaseServer.authenticate, AuthMixin.authenticate):
        return True
    if "auth" not in scope or decides is BaseServer.authenticate:
        return False
    stores = (server.user_store, server.api_key_store)
    core = server.auth_core
    # Without these attributes it is another AuthCore than the one known here: closed is safe.
    entries = (getattr(core, name, True) for name in ("_basic", "_bearer", "_jwt"))
    login = getattr(server.applications.get("_server"), "oidc_providers", None)
    return any(store is not None for store in stores) or any(entries) or bool(login)
