# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``app.router.configure(...)``: plugin options of routes, changed while the server runs.

All or nothing. The targets, then the values, then the routes as they would be: everything is
checked before anything is changed. If a plugin refuses its options all the same when they are
written, what was written before is put back.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

from genro_routes import Router
from genro_routes.plugins import BasePlugin
from pydantic import ValidationError, validate_call

from ..errors import ExecutorConfigError
from ..options.pydantic_errors import in_words
from ..routing.privates import WHOLE_ROUTER, children, restore_options, stored_options
from ..routing.route_options import PLUGIN
from ..routing.tree import (
    options_with,
    own_entries,
    plugin_of,
    registry_of,
    routers_below,
    routes_below,
)
from .checks import Mistake, error_of, mistakes_of

__all__ = ["ApplicationRouter"]


@dataclass(frozen=True, slots=True)
class _Change:
    """Options of one plugin for one target: an entry of its router, or the whole router."""

    path: str
    plugin: Any
    target: str
    options: dict[str, Any]


class ApplicationRouter:
    """The routes of one application, as something to configure."""

    def __init__(self, application: Any) -> None:
        self._application = application

    def configure(self, target: str = "", /, **options: Any) -> dict[str, Any]:
        """Set plugin options of the routes that ``target`` names, from the next call on.

        Args:
            target: a route's name (``"report"``), its path below a section
                (``"billing/report"``), or either with globs (``"billing/gen_*"``); without one,
                the whole router with its sections.
            options: ``<plugin>_<option>=value``, of any plugin that is attached there.

        Returns:
            ``{"target": ..., "updated": [paths]}``.

        Raises:
            ExecutorConfigError: no such route, plugin or option, or a wrong value. Nothing was
                changed.
            UnknownExecutorError: ``executor_pool`` names no declared pool. Nothing was changed.
        """
        wanted = _by_plugin(options)
        self._check_pool(wanted)
        matches = list(self._matches(target))
        if not matches:
            known = ", ".join(
                route.path
                for route in routes_below(self._application.route)
                if route.entry is not None
            )
            raise ExecutorConfigError(
                f"no route of {self._application.code!r} matches {target!r}; "
                f"there are {known or 'none'}"
            )
        changes = list(_changes(matches, wanted))
        self._check_routes(changes)
        self._write(changes)
        return {"target": target, "updated": [path for path, _, _ in matches]}

    # -- which routes are meant ------------------------------------------------------------------

    def _matches(self, target: str) -> Iterator[tuple[str, Any, str]]:
        """``(path, router, entry name)`` of what ``target`` names."""
        if not isinstance(target, str):
            raise ExecutorConfigError(f"a target is a route's name or path, not {target!r}")
        *sections, pattern = target.strip("/").split("/")
        if not pattern:
            yield self._application.code, self._application.route, WHOLE_ROUTER
            return
        for prefix, router in self._sections(self._application.route, "", sections):
            for name in own_entries(router):
                if fnmatchcase(name, pattern):
                    yield prefix + name, router, name

    def _sections(self, router: Any, prefix: str, patterns: list[str]) -> Iterator[tuple[str, Any]]:
        if not patterns:
            yield prefix, router
            return
        if patterns[0] in router.branches:
            router.router_at_path(patterns[0])  # a lazy branch that is named is built
        for name, child in children(router):
            if fnmatchcase(name, patterns[0]):
                yield from self._sections(child, f"{prefix}{name}/", patterns[1:])

    # -- what may be changed ---------------------------------------------------------------------

    def _check_pool(self, wanted: dict[str, dict[str, Any]]) -> None:
        """Refuse an unknown pool before a lazy branch is built for it."""
        registry = registry_of(self._application)
        pool = wanted.get(PLUGIN, {}).get("pool")
        if registry is not None and isinstance(pool, str) and pool and pool not in registry:
            raise registry.unknown(pool)

    def _check_routes(self, changes: list[_Change]) -> None:
        """Refuse ``changes`` after which a route would have a mistake that it does not have now.

        Every route is looked at: what is said of a router holds for the routes below it.
        """
        registry = registry_of(self._application)
        offloading = {
            (change.plugin, change.target): change.options
            for change in changes
            if change.plugin.name == PLUGIN
        }
        if registry is None or not offloading:
            return
        mistakes: list[Mistake] = []
        plugins: dict[int, Any] = {}
        for route in routes_below(self._application.route):
            if route.entry is None:
                continue
            if id(route.router) not in plugins:
                plugins[id(route.router)] = plugin_of(route.router, PLUGIN)
            plugin, name = plugins[id(route.router)], route.entry.name
            if plugin is None or not plugin.is_affected(offloading, name):
                continue
            after = plugin.configuration_with(offloading, name)
            own = offloading.get((plugin, name), {})
            options = options_with(route.router, name, after, own)
            if found := list(mistakes_of(registry, route, options)):
                before = set(mistakes_of(registry, route, route.options))
                mistakes += [mistake for mistake in found if mistake not in before]
        if mistakes:
            raise error_of(mistakes)

    def _write(self, changes: list[_Change]) -> None:
        routers = list(routers_below(self._application.route))
        stored = [stored_options(router) for router in routers]
        try:
            for change in changes:
                change.plugin.configure(_target=change.target, **change.options)
        except BaseException:
            for router, options in zip(routers, stored, strict=True):
                restore_options(router, options)
                if (plugin := plugin_of(router, PLUGIN)) is not None:
                    plugin.touch()
            raise


def _changes(
    matches: list[tuple[str, Any, str]], wanted: dict[str, dict[str, Any]]
) -> Iterator[_Change]:
    """What ``wanted`` means for each of ``matches``, its values checked.

    Raises:
        ExecutorConfigError: a plugin is not attached there, or refuses an option.
    """
    checked: dict[int, dict[str, Any]] = {}  # the plugins of each router, checked once
    for path, router, target in matches:
        plugins = checked.get(id(router))
        if plugins is None:
            plugins = checked[id(router)] = {p.name: p for p in router.iter_plugins()}
            for name, options in wanted.items():
                if name not in plugins:
                    raise ExecutorConfigError(
                        f"route {path!r}: no plugin {name!r} is attached; there are "
                        f"{', '.join(sorted(plugins))}"
                    )
                _check_values(path, plugins[name], options)
        for name, options in wanted.items():
            yield _Change(path, plugins[name], target, options)


def _check_values(path: str, plugin: BasePlugin, options: dict[str, Any]) -> None:
    validator, known = _validator(type(plugin).configure)
    try:
        validator(plugin, **options)
    except ValidationError as error:
        words = in_words(error, known, f"{plugin.name}_")
        raise ExecutorConfigError(f"route {path!r}: {words}") from error


@cache
def _validator(configure: Callable[..., Any]) -> tuple[Callable[..., Any], list[str]]:
    """What checks the options of a plugin's class without storing them, and their names, sorted."""
    plain = inspect.unwrap(configure)
    return validate_call(plain), sorted(list(inspect.signature(plain).parameters)[1:])


def _by_plugin(options: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """``{"executor": {"timeout": 5}}`` of ``executor_timeout=5``."""
    if not options:
        raise ExecutorConfigError("nothing to configure: give <plugin>_<option>=value")
    wanted: dict[str, dict[str, Any]] = {}
    for name, value in options.items():
        plugin, _, option = name.partition("_")
        if not option and plugin in Router.available_plugins():
            option = Router.available_plugins()[plugin].plugin_default_param or ""
        if not option:
            raise ExecutorConfigError(
                f"{name}={value!r} is no option of a plugin; write <plugin>_<option>=value, such "
                "as executor_timeout=5"
            )
        wanted.setdefault(plugin, {})[option] = value
    return wanted
