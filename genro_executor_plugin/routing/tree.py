# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Routers as this package needs them: their tree, their entries, the application above them.

Everything that reaches behind genro-routes' public surface is in this one place.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..hosts.loaded import is_default_cleanup

__all__ = [
    "RouteLeaf",
    "application_of",
    "bound_entries",
    "children",
    "cleanup_of",
    "entry_at",
    "leaves",
    "path_of",
    "unbuilt_leaves",
]


@dataclass(frozen=True, slots=True)
class RouteLeaf:
    """A route: the path that leads to it, and its entry in its router."""

    path: str
    router: Any
    entry: Any


def application_of(instance: Any) -> Any:
    """The application (or the topmost section) that ``instance`` is mounted in."""
    parent = getattr(instance, "_routing_parent", None)
    while parent is not None:
        instance, parent = parent, getattr(parent, "_routing_parent", None)
    return instance


def path_of(router: Any, name: str) -> str:
    """Where the entry ``name`` of ``router`` is: ``"application/section/name"``."""
    names = [name]
    instance = router.instance
    parent = getattr(instance, "_routing_parent", None)
    while parent is not None:
        names += [label for label, child in children(parent.route) if child is instance.route][:1]
        instance, parent = parent, getattr(parent, "_routing_parent", None)
    code = getattr(instance, "code", None)
    return "/".join(reversed([*names, code] if isinstance(code, str) and code else names))


def cleanup_of(instance: Any, handler: Callable[..., Any]) -> Any:
    """The application whose ``route_cleanup`` follows a call of ``handler``, ``None`` for none."""
    application = application_of(instance)
    cleanup = getattr(type(application), "route_cleanup", None)
    if cleanup is None or is_default_cleanup(cleanup):
        return None
    return None if inspect.iscoroutinefunction(handler) else application


def entry_at(router: Any, path: str) -> Any:
    """The entry at ``path`` below ``router``, lazy branches built; ``None`` for none."""
    section, _, name = path.strip("/").rpartition("/")
    holder = router.router_at_path(section) if section else router
    if holder is None:
        return None
    return holder._entries.get(name or holder.default_entry)


def bound_entries(router: Any) -> list[Any]:
    """The entries a router has now; none, rather than a binding, before it is bound."""
    return list(router._entries.values()) if router._bound else []


def children(router: Any) -> list[tuple[str, Any]]:
    """The sections a router has now, by name."""
    return list(router._children.items())


def leaves(router: Any, prefix: str = "") -> Iterator[RouteLeaf]:
    """Every route below ``router``, in built sections, each once."""
    for name, entry in list(router._entries.items()):
        if entry.router is router:
            yield RouteLeaf(prefix + name, router, entry)
    for name, child in children(router):
        yield from leaves(child, f"{prefix}{name}/")


def unbuilt_leaves(
    router: Any, prefix: str = ""
) -> Iterator[tuple[str, Callable[..., Any], dict[str, Any], type]]:
    """Routes of lazy branches that were not built: path, function, what ``@route`` got, class."""
    for name, branch in router.branches.items():
        seen: set[str] = set()
        for base in getattr(branch.get("cls"), "__mro__", ()):
            for attribute, value in vars(base).items():
                if attribute in seen:
                    continue  # a derived class has replaced it
                seen.add(attribute)
                for marker in getattr(value, "_route_decorator_kw", ()):
                    path = f"{prefix}{name}/{marker.get('entry_name') or attribute}"
                    yield path, value, marker, branch["cls"]
    for name, child in children(router):
        yield from unbuilt_leaves(child, f"{prefix}{name}/")
