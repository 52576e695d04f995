# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What hosts are asked in the same way: their servers, their applications, their tasks.

What they do not promise and is used all the same is listed in ``reaches``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from .contract import Asker
from .loaded import HOST_PACKAGES
from .surface import (
    CONFIGURATION_TEMPLATES,
    ASGIApp,
    AsgiServer,
    BaseApplication,
    BaseMiddleware,
    ConfigurationHandler,
    DefaultConfig,
    EventHub,
    LocalTaskExecutor,
    MemorySessionStore,
    Receive,
    RoutedApplication,
    Scope,
    Send,
)

__all__ = [
    "HIDDEN_ORIGIN",
    "AttachedApplication",
    "asker_of",
    "bound_address",
    "descriptor_of_task",
    "end_unserved",
    "event_hub_of",
    "goes_to_middleware",
    "has_own_sessions",
    "has_tasks",
    "hide_origin",
    "is_task_cancelled",
    "is_told_to_exit",
    "public_url_of",
    "publish_of_task",
    "read_configuration",
    "settle_task",
    "site_folder",
    "write_progress_of_task",
]


def asker_of(scope: Mapping[str, Any]) -> Asker:
    """Who the request of the ASGI ``scope`` comes from, as the middlewares have found out."""
    avatar, session = scope.get("auth"), scope.get("session")
    session_id = str(session.id) if session is not None else ""
    if avatar is None:
        return Asker(session_id=session_id)
    return Asker(str(avatar.identity), frozenset(avatar.tags), session_id)


def has_own_sessions(server: Any) -> bool:
    """Whether the sessions of the clients of ``server`` lie in the memory of this process."""
    return isinstance(getattr(server, "session_store", None), MemorySessionStore)


def read_configuration(
    config: str | Path | type | Any,
) -> ConfigurationHandler:
    """Return the handler that reads ``config`` and the layers below it, as ``AsgiServer`` does."""
    if isinstance(config, ConfigurationHandler):
        return config
    defaults = DefaultConfig()
    if isinstance(config, str) and config in CONFIGURATION_TEMPLATES:
        config = CONFIGURATION_TEMPLATES[config]
    elif isinstance(config, str | Path):
        config = defaults.recipe_class(config)
    return ConfigurationHandler(config, parents=defaults.parents_for(config))


class AttachedApplication(RoutedApplication):
    """A ``RoutedApplication`` that is told, by ``attached``, which server it belongs to now."""

    @BaseApplication.server.setter  # type: ignore[attr-defined, untyped-decorator]
    def server(self, server: Any) -> None:
        """Belong to ``server``. Raises what ``attached`` raises."""
        BaseApplication.server.fset(self, server)  # type: ignore[attr-defined]
        self.attached(server)

    def attached(self, server: Any) -> None:
        """The application belongs to ``server`` from now on."""


def bound_address(server: Any) -> str | None:
    """Where the uvicorn of ``server`` listens, as ``"host:port"``; empty while it does not yet.

    ``None`` if that is not known: something else serves it, or a Unix socket.
    """
    serving = getattr(server, "uvicorn_server", None)
    if serving is None or serving.config.uds is not None or serving.config.fd is not None:
        return None
    host, port = serving.config.host, serving.config.port
    if port == 0:
        if not serving.started:
            return ""
        sockets = [one for found in serving.servers for one in found.sockets]
        port = sockets[0].getsockname()[1]
    if host in ("0.0.0.0", "::", ""):
        host = "127.0.0.1"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _HidingOrigin(BaseMiddleware):
    """Takes ``Origin`` out of the headers of what is below ``mount``.

    So the middleware that allows other sites to read (CORS) neither answers nor marks it.
    """

    def __init__(self, app: ASGIApp, server: Any, mount: str) -> None:
        super().__init__(app, server)
        self.mount = mount

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"].lstrip("/").partition("/")[0] == self.mount:
            headers = scope["headers"]
            origins = [value for name, value in headers if name == b"origin"]
            if origins:
                kept = [pair for pair in headers if pair[0] != b"origin"]
                origin = b", ".join(origins).decode("latin-1")
                scope = {**scope, "headers": kept, HIDDEN_ORIGIN: origin}
        await self.app(scope, receive, send)


HIDDEN_ORIGIN = "genro_executor_origin"
"""Where in a scope ``Origin`` is, if ``hide_origin`` took it out of the headers."""


def hide_origin(server: Any, mount: str) -> None:
    """Have no middleware of ``server`` allow other sites to read what is below ``mount``."""
    chain = getattr(server, "_middleware_chain", None)
    if chain is not None:
        server._middleware_chain = _HidingOrigin(chain, server, mount)


_PASS_HTTP_ON = frozenset({"CommunicationMixin", "KBusMixin", "SessionMixin"})
"""The host's classes before its middleware that have a ``__call__``, which is about lifespans."""


def goes_to_middleware(cls: type, behind: type) -> bool:
    """Whether the classes behind ``behind`` hand an HTTP request to the middleware chain as it is.

    Then a server may do so itself, and save each request their calls.
    """
    chained = next((one for one in cls.__mro__ if "middleware_chain" in vars(one)), None)
    if chained is None or chained.__name__ != "MiddlewareMixin":
        return False
    rest = cls.__mro__[cls.__mro__.index(behind) + 1 : cls.__mro__.index(chained) + 1]
    callers = [one for one in rest if "__call__" in vars(one)]
    return all(
        one.__module__.partition(".")[0] in HOST_PACKAGES
        and (one is chained or one.__name__ in _PASS_HTTP_ON)
        for one in callers
    )


# -- a server and its tasks ------------------------------------------------------------------------


def is_told_to_exit(server: Any) -> bool:
    """Whether the uvicorn that serves ``server`` has been told to exit."""
    uvicorn_server = getattr(server, "uvicorn_server", None)
    return uvicorn_server is not None and bool(uvicorn_server.should_exit)


def public_url_of(server: Any) -> str:
    """The URL at which the public reaches ``server``, empty if none is configured."""
    return getattr(server, "external_url", None) or ""


def site_folder(server: Any, name: str) -> str | None:
    """The local folder ``name`` on the site storage of ``server``, ``None`` if it has none."""
    storage = getattr(server, "storage", None)
    if storage is None:
        return None
    path = storage.node(f"site:{name}").resolved_path
    return None if path is None else str(path)


def end_unserved(server: AsgiServer) -> None:
    """End the threads of ``server``, which has served nobody."""
    server.pool.shutdown()


def has_tasks(server: Any) -> bool:
    """Whether the batch tasks and schedules of ``server`` are enabled."""
    return getattr(server, "tasks_enabled", False)


def event_hub_of(server: Any) -> EventHub:
    """The event hub of ``server``; one of its own, where its tasks are not enabled."""
    hub: EventHub = server.tasks.hub if has_tasks(server) else EventHub()
    return hub


def publish_of_task(
    executor: LocalTaskExecutor, descriptor: dict[str, Any], event: dict[str, Any]
) -> None:
    """Tell the session that has launched the batch task of ``descriptor`` of ``event``."""
    executor._publish(descriptor, event)


async def descriptor_of_task(executor: LocalTaskExecutor, task_id: str) -> dict[str, Any] | None:
    """What the spool knows of the batch task, ``None`` if it is gone."""
    found: dict[str, Any] | None = await executor.server.run_sync(executor.spool.get, task_id)
    return found


async def is_task_cancelled(executor: LocalTaskExecutor, task_id: str) -> bool:
    """Whether somebody has asked for the end of the batch task."""
    return bool(await executor.server.run_sync(executor.spool.is_cancelled, task_id))


async def settle_task(
    executor: LocalTaskExecutor, task_id: str, worker_id: str, outcome: str, error: str
) -> None:
    """Note the end of the batch task in the spool."""
    settle = partial(executor.spool.settle, task_id, worker_id, outcome, error=error)
    await executor.server.run_sync(settle)


async def write_progress_of_task(
    executor: LocalTaskExecutor, task_id: str, worker_id: str, data: dict[str, Any]
) -> None:
    """Note the progress of the batch task in the spool, unless it has ended."""
    spool = executor.spool

    def write() -> None:
        # Writing must not create the folder of a task again that was moved meanwhile.
        descriptor = spool.get(task_id)
        if descriptor is not None and descriptor["status"] == "active":
            spool.write_progress(task_id, worker_id, data)

    await executor.server.run_sync(write)
