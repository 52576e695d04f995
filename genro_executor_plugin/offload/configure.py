# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``app.router.configure(...)``: plugin options of routes, changed while the server runs.

All or nothing: everything in a call is checked before anything is changed.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from genro_routes import Router
from pydantic import ValidationError, validate_call

from ..errors import ExecutorConfigError, UnknownExecutorError
from ..options.call import CALL_OPTIONS
from ..routing.tree import children, leaves
from .checks import mistakes_of
from .entry import registry_of

__all__ = ["ApplicationRouter"]

_WHOLE_ROUTER = "_all_"


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
        self._check_before_looking(wanted)
        matches = list(self._matches(target))
        if not matches:
            raise ExecutorConfigError(
                f"no route of {self._application.code!r} matches {target!r}; "
                f"there are {', '.join(self._known()) or 'none'}"
            )
        for path, router, entry in matches:
            for plugin, values in wanted.items():
                self._check(path, router, entry, plugin, values)
        self._change(matches, wanted)
        return {"target": target, "updated": [path for path, _, _ in matches]}

    def _change(self, matches: list[Any], wanted: dict[str, dict[str, Any]]) -> None:
        routers = list(_tree(self._application.route))
        before = [_stored(router) for router in routers]
        known = self._mistakes()
        try:
            for _, router, entry in matches:
                for plugin, values in wanted.items():
                    router._plugins_by_name[plugin].configure(_target=entry, **values)
            # What a router says holds for routes with words of their own: only all of them
            # together tell whether each can be kept.
            if new := [mistake for mistake in self._mistakes() if mistake not in known]:
                raise ExecutorConfigError("; ".join(new))
        except Exception:
            for router, store in zip(routers, before, strict=True):
                router._plugin_info.clear()
                router._plugin_info.update(store)
                if "executor" in router._plugins_by_name:
                    router._plugins_by_name["executor"].touch()
            raise

    def _mistakes(self) -> list[str]:
        registry = registry_of(self._application)
        if registry is None:
            return []
        return [
            mistake
            for leaf in leaves(self._application.route)
            for _, mistake in mistakes_of(registry, leaf.path, leaf)
        ]

    def _check_before_looking(self, wanted: dict[str, dict[str, Any]]) -> None:
        """Refuse what is wrong wherever it is meant for, before a lazy branch is built for it."""
        registry = registry_of(self._application)
        pool = wanted.get("executor", {}).get("pool")
        if registry is not None and isinstance(pool, str) and pool and pool not in registry:
            raise UnknownExecutorError(
                f"no pool is named {pool!r}; the declared ones are "
                f"{', '.join(map(repr, registry.names))}",
                pool=pool,
            )

    def _matches(self, target: str) -> Iterator[tuple[str, Any, str]]:
        """``(path, router, entry name)`` of what ``target`` names."""
        if not isinstance(target, str):
            raise ExecutorConfigError(f"a target is a route's name or path, not {target!r}")
        *sections, pattern = target.strip("/").split("/")
        if not pattern:
            yield self._application.code, self._application.route, _WHOLE_ROUTER
            return
        for prefix, router in self._sections(self._application.route, "", sections):
            for name, entry in router._entries.items():
                if entry.router is router and fnmatchcase(name, pattern):
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

    def _known(self) -> list[str]:
        return [leaf.path for leaf in leaves(self._application.route)]

    def _check(self, path: str, router: Any, entry: str, name: str, values: dict[str, Any]) -> None:
        plugin = router._plugins_by_name.get(name)
        if plugin is None:
            attached = ", ".join(sorted(router._plugins_by_name))
            raise ExecutorConfigError(
                f"route {path!r}: no plugin {name!r} is attached; there are {attached}"
            )
        try:
            validate_call(inspect.unwrap(type(plugin).configure))(plugin, **values)
        except ValidationError as error:
            known = ", ".join(sorted(plugin._configure_params()))
            what = "; ".join(
                f"{name}_{detail['loc'][0]}={detail['input']!r}: {detail['msg']}"
                for detail in error.errors()
            )
            raise ExecutorConfigError(f"route {path!r}: {what}; {name} takes {known}") from error
        if name == "executor":
            self._check_pool(path, router, entry, plugin, values)

    def _check_pool(
        self, path: str, router: Any, entry: str, plugin: Any, values: dict[str, Any]
    ) -> None:
        registry = registry_of(self._application)
        merged = {**plugin.configuration(None if entry == _WHOLE_ROUTER else entry), **values}
        pool = merged.get("pool")
        if registry is None or not pool:
            return
        if pool not in registry:
            raise UnknownExecutorError(
                f"route {path!r}: no pool is named {pool!r}; the declared ones are "
                f"{', '.join(map(repr, registry.names))}",
                pool=pool,
            )
        asked = {name: merged[name] for name in CALL_OPTIONS if merged.get(name) is not None}
        registry.get(pool).check_call(f"route {path!r}", asked)
        if entry == _WHOLE_ROUTER or merged.get("disabled"):
            return
        if "_request" in router._entries[entry].signature.parameters:
            raise ExecutorConfigError(
                f"route {path!r} takes the live _request, which cannot travel to pool {pool!r}; "
                "pass what it needs of the request as arguments"
            )


def _stored(router: Any) -> dict[str, Any]:
    """What the plugins of ``router`` have stored: names and values, two levels of dicts."""
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


def _tree(router: Any) -> Iterator[Any]:
    yield router
    for _, child in children(router):
        yield from _tree(child)


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
