# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Applications and their routes: the walk over all of them, and the way up from each.

``routes_of(server)`` is the one walk. What it needs of genro-routes' inside is in ``privates``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary, ref

from ..executors.registry import ExecutorRegistry
from ..hosts.contract import HostServer
from ..hosts.loaded import is_default_cleanup, is_hosts_own
from .live_request import takes_live_request
from .privates import children, entries_of, markers_of, own_options, parent_of
from .route_options import PLUGIN, RouteOptions

__all__ = [
    "Route",
    "adapter_of",
    "adopt",
    "application_of",
    "cleanup_of",
    "entry_at",
    "handler_of",
    "names_a_pool_itself",
    "options_of",
    "options_with",
    "own_entries",
    "path_of",
    "plugin_of",
    "registry_of",
    "routers_below",
    "routes_below",
    "routes_of",
]


@dataclass(frozen=True, slots=True)
class Route:
    """One route of an application.

    Attributes:
        path: the path that leads to it from where the walk began.
        handler: its function as the application wrote it.
        owner: the class of the section that it belongs to.
        router: its router, ``None`` while it is in a lazy branch that was not built.
        entry: its entry in the router, ``None`` likewise.
        marker: what ``@route`` was given, of a route in a lazy branch that was not built.
    """

    path: str
    handler: Callable[..., Any]
    owner: type
    router: Any = None
    entry: Any = None
    marker: Mapping[str, Any] | None = None

    @property
    def options(self) -> RouteOptions:
        """The options in force now."""
        if self.marker is not None:
            return RouteOptions.of_marker(self.marker)
        return options_of(self.router, self.entry.name)

    @property
    def signature(self) -> inspect.Signature:
        """The signature of its handler."""
        described: inspect.Signature = (
            inspect.signature(self.handler) if self.entry is None else self.entry.signature
        )
        return described


# -- down: every route -----------------------------------------------------------------------------


def routes_of(server: HostServer) -> Iterator[Route]:
    """Every route of every application of ``server``; paths begin with the application's code."""
    for application in server.applications.values():
        prefix = f"{application.code}/"
        router = getattr(application, "route", None)
        if router is not None:
            yield from routes_below(router, prefix)
        for instance, owner in list(_adopted.items()):
            if owner() is application:
                yield from routes_below(instance.route, prefix)


def routes_below(router: Any, prefix: str = "") -> Iterator[Route]:
    """Every route below ``router``, each once; those of lazy branches come last, unbuilt."""
    yield from _built(router, prefix)
    yield from _unbuilt(router, prefix)


def _built(router: Any, prefix: str) -> Iterator[Route]:
    for name, entry in own_entries(router).items():
        yield Route(prefix + name, handler_of(entry), type(router.instance), router, entry)
    for name, child in children(router):
        yield from _built(child, f"{prefix}{name}/")


def _unbuilt(router: Any, prefix: str) -> Iterator[Route]:
    for name, branch in router.branches.items():
        owner = branch.get("cls")
        seen: set[str] = set()
        for base in getattr(owner, "__mro__", ()):
            for attribute, value in vars(base).items():
                if attribute in seen:
                    continue  # a derived class has replaced it
                seen.add(attribute)
                for marker in markers_of(value):
                    path = f"{prefix}{name}/{marker.get('entry_name') or attribute}"
                    yield Route(path, value, branch["cls"], marker=marker)
    for name, child in children(router):
        yield from _unbuilt(child, f"{prefix}{name}/")


def routers_below(router: Any) -> Iterator[Any]:
    """``router`` and those of its built sections, and of theirs."""
    yield router
    for _, child in children(router):
        yield from routers_below(child)


def own_entries(router: Any) -> dict[str, Any]:
    """The entries of ``router`` by name, without the aliases of other routers' entries."""
    return {name: entry for name, entry in entries_of(router).items() if entry.router is router}


def entry_at(router: Any, path: str) -> Any:
    """The entry at ``path`` below ``router``, lazy branches built; ``None`` for none."""
    section, _, name = path.strip("/").rpartition("/")
    holder = router.router_at_path(section) if section else router
    if holder is None:
        return None
    return entries_of(holder).get(name or holder.default_entry)


# -- up: whose it is -------------------------------------------------------------------------------


_adopted: WeakKeyDictionary[Any, ref[Any]] = WeakKeyDictionary()
"""The applications of what is served by one without being a section of it."""


def adopt(instance: Any, application: Any) -> None:
    """Count ``instance`` and its sections to ``application``, which serves their routes."""
    _adopted[instance] = ref(application)


def application_of(instance: Any) -> Any:
    """The application (or the topmost section) that ``instance`` is mounted in."""
    parent = parent_of(instance)
    while parent is not None:
        instance, parent = parent, parent_of(parent)
    owner = _adopted.get(instance) if _adopted else None
    return instance if owner is None else owner() or instance


def registry_of(instance: Any) -> ExecutorRegistry | None:
    """The pools of the server that ``instance`` is served by, ``None`` without such a server."""
    server = getattr(application_of(instance), "server", None)
    registry = getattr(server, "executors", None)
    return registry if isinstance(registry, ExecutorRegistry) else None


def path_of(router: Any, name: str) -> str:
    """Where the entry ``name`` of ``router`` is: ``"application/section/name"``."""
    names = [name]
    instance = router.instance
    parent = parent_of(instance)
    while parent is not None:
        names += [label for label, child in children(parent.route) if child is instance.route][:1]
        instance, parent = parent, parent_of(parent)
    code = getattr(application_of(instance), "code", None)
    return "/".join(reversed([*names, code] if isinstance(code, str) and code else names))


def cleanup_of(instance: Any, handler: Callable[..., Any]) -> Any:
    """The application whose ``route_cleanup`` follows a call of ``handler``, ``None`` for none."""
    application = application_of(instance)
    cleanup = getattr(type(application), "route_cleanup", None)
    if cleanup is None or is_default_cleanup(cleanup):
        return None
    return None if inspect.iscoroutinefunction(handler) else application


# -- of one entry ----------------------------------------------------------------------------------


def plugin_of(router: Any, name: str) -> Any:
    """The plugin ``name`` of ``router``, ``None`` if it is not attached."""
    return next((plugin for plugin in router.iter_plugins() if plugin.name == name), None)


def options_of(router: Any, name: str) -> RouteOptions:
    """The options in force of the entry ``name`` of ``router``."""
    plugin = plugin_of(router, PLUGIN)
    if plugin is None:
        return RouteOptions()
    return options_with(router, name, plugin.configuration(name), {})


def options_with(
    router: Any, name: str, given: Mapping[str, Any], changes: Mapping[str, Any]
) -> RouteOptions:
    """The options of the entry ``name`` if ``given`` were in force, of which ``changes`` its own.

    The pool of a whole router is not meant for what the host itself serves, nor for a handler
    that takes the live request where calls leave the process. A pool on that very route is.
    """
    switched_on = router.is_plugin_enabled(name, PLUGIN)
    own = {**own_options(router, PLUGIN, name), **changes}
    left_alone = not own.get("pool") and _is_left_alone(router, name, given)
    return RouteOptions(given, switched_on, left_alone)


def names_a_pool_itself(router: Any, name: str) -> bool:
    """Whether the entry ``name`` has a pool of its own, and not that of a whole router."""
    return bool(own_options(router, PLUGIN, name).get("pool"))


def _is_left_alone(router: Any, name: str, given: Mapping[str, Any]) -> bool:
    pool, entry = given.get("pool"), entries_of(router).get(name)
    if not pool or entry is None:
        return False
    if is_hosts_own(handler_of(entry)):
        return True
    if not takes_live_request(entry):
        return False
    registry = registry_of(router.instance)
    if given.get("background") or registry is None or pool not in registry:
        return True
    return registry.get(pool).needs_portable_calls


def adapter_of(entry: Any) -> Any:
    """The ``OffloadedHandler`` in place of the handler of ``entry``; ``None`` for none."""
    adapter = getattr(entry.func, "offloaded_handler", None)
    # A function that was made of another entry's adapter carries that one's attributes.
    return adapter if adapter is not None and adapter.entry is entry else None


def handler_of(entry: Any) -> Any:
    """The handler of ``entry`` as the application wrote it, without the adapter."""
    adapter = adapter_of(entry)
    return entry.func if adapter is None else adapter.original
