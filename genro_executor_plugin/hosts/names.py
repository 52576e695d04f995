# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Everything that this package takes from its host, each name imported when it is first used.

``from ..hosts.names import RoutedApplication`` imports the host that was chosen. Modules that a
worker loads for plain functions must not: they ask ``loaded``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .chosen import chosen_host

if TYPE_CHECKING:
    from .answers import LoggedAnswer
    from .command import described_source, save_at_the_end, serve_parser
    from .common import (
        HIDDEN_ORIGIN,
        AttachedApplication,
        asker_of,
        bound_address,
        descriptor_of_task,
        end_unserved,
        event_hub_of,
        goes_to_middleware,
        has_own_sessions,
        has_tasks,
        hide_origin,
        is_task_cancelled,
        is_told_to_exit,
        public_url_of,
        publish_of_task,
        read_configuration,
        settle_task,
        site_folder,
        write_progress_of_task,
    )
    from .genro_asgi import (
        give_children_pools,
        has_authentication,
        identify,
        note_identities,
        note_loop,
        role_of,
        server_arguments,
        tells_of_disconnects,
    )
    from .life import (
        put_around,
        require_lifespan,
        stop_at_failed_hooks,
        wait_at_least,
    )
    from .surface import (
        LAUNCHER_ENV,
        ApplicationGrammar,
        ASGIApp,
        AsgiConfigBuilder,
        AsgiServer,
        AsgiServerGrammar,
        Cli,
        CliError,
        ConfigurationHandler,
        FatalBootError,
        HTTPBadRequest,
        HTTPException,
        HTTPForbidden,
        HTTPNotFound,
        HTTPUnauthorized,
        HTTPUnsupportedMediaType,
        LocalTaskExecutor,
        Message,
        Receive,
        RoutedApplication,
        Scope,
        Send,
        ServerLauncher,
        SseStream,
        StreamingResponse,
        TargetResolver,
        TaskManager,
        TaskScheduler,
        router_openapi,
    )
    from .tools import guard_tools, router_of_tools

__all__ = [
    "HIDDEN_ORIGIN",
    "LAUNCHER_ENV",
    "ASGIApp",
    "ApplicationGrammar",
    "AsgiConfigBuilder",
    "AsgiServer",
    "AsgiServerGrammar",
    "AttachedApplication",
    "Cli",
    "CliError",
    "ConfigurationHandler",
    "FatalBootError",
    "HTTPBadRequest",
    "HTTPException",
    "HTTPForbidden",
    "HTTPNotFound",
    "HTTPUnauthorized",
    "HTTPUnsupportedMediaType",
    "LocalTaskExecutor",
    "LoggedAnswer",
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
    "asker_of",
    "bound_address",
    "described_source",
    "descriptor_of_task",
    "end_unserved",
    "event_hub_of",
    "give_children_pools",
    "goes_to_middleware",
    "guard_tools",
    "has_authentication",
    "has_own_sessions",
    "has_tasks",
    "hide_origin",
    "identify",
    "is_task_cancelled",
    "is_told_to_exit",
    "note_identities",
    "note_loop",
    "public_url_of",
    "publish_of_task",
    "put_around",
    "read_configuration",
    "require_lifespan",
    "role_of",
    "router_of_tools",
    "router_openapi",
    "save_at_the_end",
    "serve_parser",
    "server_arguments",
    "settle_task",
    "site_folder",
    "stop_at_failed_hooks",
    "tells_of_disconnects",
    "wait_at_least",
    "write_progress_of_task",
]

_OF_THIS_PACKAGE = ("common", "answers", "life", "tools", "command")
"""The modules of the names that are neither the host's own nor what only it can be asked.

The last is looked at last: only a command line needs it.
"""

if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others

    def __getattr__(name: str) -> Any:
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        for home in ("surface", chosen_host(), *_OF_THIS_PACKAGE):
            module = import_module(f".{home}", __package__)
            if name in module.__all__:
                value = globals()[name] = getattr(module, name)
                return value
        raise AttributeError(f"no host has the name {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
