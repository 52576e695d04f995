# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What can be said of the host without importing it.

A worker that runs plain functions has no host, and must not load one to find out that what it
holds is nothing of a host's. So these functions look at what the process has loaded already.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterable, Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

__all__ = [
    "ADMIN_TAGS",
    "HOST_PACKAGES",
    "HOST_VARIABLE",
    "LIVE_TYPES",
    "OWN_ATTRIBUTES",
    "SERVER_ATTRIBUTE",
    "SYSTEM_APPLICATION",
    "answerable",
    "has_section",
    "has_tools",
    "is_default_cleanup",
    "is_hosts_own",
    "loaded_host",
    "plain_http_exception",
    "stream_of",
    "written_configuration",
]

HOST_PACKAGES = ("genro_asgi", "kajenn")
"""The packages of the known hosts. A process has loaded one of them at most."""

HOST_VARIABLE = "GENRO_EXECUTOR_HOST"
"""The environment variable that names the host of a process, for commands and for workers."""

_PART = "is part of a server, which is in one process"

LIVE_TYPES: Mapping[str, str] = MappingProxyType(
    {
        f"{package}.{name}": reason
        for package in HOST_PACKAGES
        for name, reason in (
            ("server.BaseServer", "is the server itself, which is in one process"),
            ("application.BaseApplication", "is served by one process"),
            ("request.Request", "is answered by one process"),
            ("websocket.WebSocket", "is a connection of one process"),
            ("session.store.MemorySessionStore", "keeps the sessions of one process"),
            ("config.handler.ConfigurationHandler", _PART),
            ("lifespan.Lifespan", _PART),
            ("pool.WorkPool", _PART),
            ("request_registry.RequestRegistry", _PART),
            ("tasks.hub.EventHub", _PART),
            ("tasks.manager.TaskManager", _PART),
        )
    }
)
"""Classes of a host whose instances are of no use in another process, each with the reason."""

_NOT_THE_USERS = frozenset(
    {
        "genro_asgi",
        "genro_asgi_django",
        "genro_asgi_multiworker_spa",
        "genro_asgi_server_app",
        "genro_routes",
        "kajenn",
        "kajenn_orchestra",
        __name__.partition(".")[0],
    }
)

ADMIN_TAGS = frozenset({"SERVER_ADMIN", "SUPERADMIN"})
"""The authorization tags of a host's own administrators."""

OWN_ATTRIBUTES = ("code", "mount", "_armed", "_db_name")
"""What a host itself keeps in an application; small, and used by the application's own methods."""

SYSTEM_APPLICATION = "_server/"
"""How the paths of the routes of a host's own application begin."""

SERVER_ATTRIBUTE = "_server"
"""Where an application keeps its server."""

E = TypeVar("E", bound=Exception)


def loaded_host() -> str | None:
    """The package of the host that this process has loaded, ``None`` for none."""
    return next((package for package in HOST_PACKAGES if package in sys.modules), None)


def is_hosts_own(handler: Any) -> bool:
    """Whether ``handler`` is part of a host, of genro-routes or of this package.

    Such a handler serves the server (its pages, its schema), and needs it.
    """
    module = getattr(handler, "__module__", None)
    return isinstance(module, str) and module.partition(".")[0] in _NOT_THE_USERS


def has_section(server: Any, name: str) -> bool:
    """Whether the recipe that ``server`` was built from has the section ``name``."""
    node = getattr(getattr(server, "config", None), "node", None)
    return node is not None and node(name) is not None


def has_tools(application: Any) -> bool:
    """Whether ``application`` offers routes as tools (MCP)."""
    return getattr(application, "mcp_engine", None) is not None


class HostStream(NamedTuple):
    """A streaming response of the host, taken apart."""

    status: int
    headers: tuple[tuple[str, str], ...]
    source: AsyncIterable[Any]


def stream_of(result: Any) -> HostStream | None:
    """What ``result`` streams, if it is a streaming response of the host or makes one."""
    events, response = _loaded("sse", "SseStream"), _loaded("streaming", "StreamingResponse")
    if events is not None and isinstance(result, events):
        result = result.response()
    if response is None or not isinstance(result, response):
        return None
    headers = tuple((str(name), str(value)) for name, value in result._headers)
    return HostStream(result.status_code, headers, result.body_iterator)


def answerable(cls: type[E]) -> type[E]:
    """The error class ``cls``, as one that the loaded host answers; ``cls`` itself without one.

    The new class has the attribute ``_plain``: the class that it was made of.
    """
    http_exception = _loaded("exceptions", "HTTPException")
    if http_exception is None or issubclass(cls, http_exception):
        return cls
    plain: Any = cls
    both: type[E] = _both(plain, http_exception)
    return both


@cache
def _both(cls: Any, http_exception: type) -> Any:
    """``cls`` under its own name, as an ``http_exception`` too."""
    body = {
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "__doc__": cls.__doc__,
        "_plain": cls,
    }
    return type(cls.__name__, (cls, http_exception), body)


def plain_http_exception(error: BaseException) -> Exception | None:
    """An ``HTTPException`` that answers as ``error`` does; ``None`` if that is none."""
    http_exception = _loaded("exceptions", "HTTPException")
    if http_exception is None or not isinstance(error, http_exception):
        return None
    answered: Any = error
    try:
        plain: Exception = http_exception(
            answered.status, answered.detail, headers=answered.headers
        )
    except Exception:  # a subclass that has none of these
        return None
    return plain


def written_configuration(read: Any, prefix: str) -> dict[str, Any]:
    """The plain values that a recipe has written below ``prefix``, by their whole path.

    Args:
        read: the host's door to its configuration.
        prefix: the path of an application's part.
    """
    values: dict[str, Any] = {}
    waiting = [prefix]
    while waiting:
        path = waiting.pop()
        try:
            node = read.node(path)
            written = read.open_attrs(node) if node is not None else {}
            children = [child.label for child in getattr(node, "value", None) or ()]
        except Exception:  # a door of another make; the worker then says what it was not told
            return values
        for name, value in written.items():
            if type(value) in (str, int, float, bool, type(None)):
                values[f"{path}.{name}"] = value
        waiting += [f"{path}.{label}" for label in children if label]
    return values


def is_default_cleanup(cleanup: Callable[..., Any]) -> bool:
    """Whether ``cleanup`` is the host's own ``route_cleanup``, which does nothing."""
    return cleanup.__module__ in [f"{package}.routed_application" for package in HOST_PACKAGES]


def _loaded(module: str, name: str) -> Any:
    """The class ``name`` of the host's ``module``, ``None`` if this process has not loaded it."""
    for package in HOST_PACKAGES:
        found = getattr(sys.modules.get(f"{package}.{module}"), name, None)
        if found is not None:
            return found
    return None
