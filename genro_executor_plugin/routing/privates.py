# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What this package uses of genro-routes that is not public. Nothing else reaches behind it.

``PRIVATE_NAMES`` lists every such name with the public one that would take its place. A test
looks all of them up, so that a new release of genro-routes which has taken one away fails it by
that name. Those of sections, which never travel to a worker, are written in
``portable.state.section_names``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from ..portable.state.section_names import CAPABILITIES, CONTEXT, PARENT, PROXY, ROUTER

__all__ = [
    "PRIVATE_NAMES",
    "WHOLE_ROUTER",
    "chain_around",
    "chain_without",
    "children",
    "entries_of",
    "is_bound",
    "markers_of",
    "notify_children",
    "own_options",
    "parent_of",
    "restore_options",
    "stored_options",
]


WHOLE_ROUTER = "_all_"
"""The target of options that hold for every entry of a router."""


class PrivateName(NamedTuple):
    """A private name of genro-routes that is used here.

    Attributes:
        owner: what has it: ``Router``, ``BasePlugin``, ``RoutingClass``, or a ``@route`` function.
        name: the name.
        wish: what would be used instead if genro-routes had it.
    """

    owner: str
    name: str
    wish: str


PRIVATE_NAMES = (
    PrivateName("Router", "_entries", "Router.entries: the entries by name, without descriptions"),
    PrivateName("Router", "_children", "Router.children: the routers of built branches, by name"),
    PrivateName("Router", "_bound", "Router.is_bound: whether its routes have been collected"),
    PrivateName(
        "Router",
        "_wrap_handler",
        "Router.chain(entry, innermost): the plugins' chain around another innermost step",
    ),
    PrivateName(
        "Router",
        "_create_wrapper",
        "a plugin that says it wraps nothing, and takes no step in the chain of a call",
    ),
    PrivateName(
        "Router",
        "_plugin_info",
        "Router.plugin_options() and Router.set_plugin_options(...): what was configured, "
        "to be read and to be put back as a whole",
    ),
    PrivateName(
        "BasePlugin",
        "_notify_children",
        "BasePlugin.notify_children(): call on_parent_config_changed of the sections' plugins",
    ),
    PrivateName("RoutingClass", PARENT, "RoutingClass.parent: the section or application above"),
    *(
        PrivateName("RoutingClass", name, "a list of the attributes that are genro-routes' own")
        for name in (CONTEXT, CAPABILITIES, ROUTER, PROXY)
    ),
    PrivateName(
        "@route function",
        "_route_decorator_kw",
        "markers_of(function): what @route was given, for a class that has no instance yet",
    ),
)


def entries_of(router: Any) -> dict[str, Any]:
    """The entries of ``router`` by name, aliases of other routers' entries included.

    Binds the router if it was not bound.
    """
    entries: dict[str, Any] = router._entries
    return entries


def is_bound(router: Any) -> bool:
    """Whether ``router`` has collected its routes; reading its entries would make it do so."""
    bound: bool = router._bound
    return bound


def children(router: Any) -> list[tuple[str, Any]]:
    """The routers of the sections that ``router`` has now, by name."""
    return list(router._children.items())


def parent_of(instance: Any) -> Any:
    """The section or application that ``instance`` is mounted in, ``None`` for none."""
    return getattr(instance, PARENT, None)


def markers_of(function: Any) -> Iterable[Mapping[str, Any]]:
    """What each ``@route`` above ``function`` was given."""
    markers: Iterable[Mapping[str, Any]] = getattr(function, "_route_decorator_kw", ())
    return markers


def chain_around(router: Any, entry: Any, innermost: Callable[..., Any]) -> Callable[..., Any]:
    """``innermost`` with the wrappers of all plugins of ``router`` around it, for ``entry``."""
    chain: Callable[..., Any] = router._wrap_handler(entry, innermost)
    return chain


def chain_without(
    plugin: Any, router: Any, entry: Any, innermost: Callable[..., Any]
) -> Callable[..., Any]:
    """As ``chain_around``, without the step that the router makes for ``plugin``.

    The step asks at each call whether the plugin is enabled, also where it wraps nothing.
    """
    chain = innermost
    for other in reversed(router.iter_plugins()):
        if other is not plugin:
            wrapped = other.wrap_handler(router, entry, chain)
            chain = router._create_wrapper(other, entry, wrapped, chain)
    return chain


def own_options(router: Any, plugin: str, target: str) -> Mapping[str, Any]:
    """What was configured of ``plugin`` for ``target`` alone: an entry, or ``WHOLE_ROUTER``."""
    slot: Mapping[str, Any] = router._plugin_info.get(plugin, {}).get(target, {})
    options: Mapping[str, Any] = slot.get("config", {})
    return options


def stored_options(router: Any) -> dict[str, Any]:
    """A copy of everything that was configured of the plugins of ``router``."""
    return {
        plugin: {
            target: {
                "config": dict(slot.get("config", {})),
                "locals": dict(slot.get("locals", {})),
            }
            for target, slot in bucket.items()
        }
        for plugin, bucket in router._plugin_info.items()
    }


def restore_options(router: Any, stored: Mapping[str, Any]) -> None:
    """Put back what ``stored_options`` has returned."""
    router._plugin_info.clear()
    router._plugin_info.update(stored)


def notify_children(plugin: Any) -> None:
    """Call ``on_parent_config_changed`` of the same plugin in the sections of its router."""
    plugin._notify_children({}, {})
