# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where offloading was probably meant and does not happen: options that do nothing, spelt wrong or
on a server without pools.

It may be as it was meant, so that these are warnings when a server starts. With ``strict=True`` an
``ExecutorServer`` takes them for mistakes.
"""

from __future__ import annotations

import difflib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

from ..hosts.contract import HostServer
from ..hosts.loaded import has_section, is_hosts_own
from ..hosts.names import role_of
from ..options.call import CALL_OPTIONS
from ..options.source_line import place_of
from ..routing.route_options import PLUGIN, marked_options
from ..routing.tree import Route, plugin_of, routes_of

__all__ = ["doubts_of", "warn_without_pools"]

_logger = logging.getLogger("genro_executor_plugin")

_ROUTE_OPTIONS = ("pool", "disabled", "background", *CALL_OPTIONS)

_SHOWN_ROUTES = 5
"""How many routes a warning names; it tells the number of the others."""


def doubts_of(server: HostServer) -> list[str]:
    """What is doubtful about the routes of ``server``, which has pools: each with its cure."""
    doubts = [doubt for route in routes_of(server) for doubt in _doubts_about(route)]
    jobs = [route.path for route in routes_of(server) if route.options.background]
    if jobs and (role := role_of(server)):
        doubts.append(
            f"application {role!r} runs in a process of its own, whose long jobs the server that "
            f"started it does not know: it answers /_tasks, so that the URLs which "
            f"{', '.join(jobs)} answer with lead nowhere. Have the application answer for its jobs "
            "itself (self.tasks), or serve it without spawner="
        )
    return doubts


def _doubts_about(route: Route) -> Iterator[str]:
    if is_hosts_own(route.handler):
        return
    where = f"route {route.path}"
    place = place_of(route.handler)
    if place is not None:
        where += f" ({place})"
    metadata = route.marker if route.entry is None else route.entry.metadata
    pool = route.options.pool
    for name, value in (metadata or {}).items():
        if name in _ROUTE_OPTIONS:
            right = PLUGIN if name == "pool" else f"{PLUGIN}_{name}"
            yield (
                f"{where}: {name}={value!r} is no option of the plugin and does nothing; "
                f"write {right}={value!r}"
            )
        elif (meant := _meant(name)) is not None:
            runs = "" if pool else ", and its handler runs in the server"
            yield f"{where}: {name}={value!r} does nothing{runs}; write {meant}={value!r}"
    if pool is None and not route.options.disabled and (given := _own_limits(route)):
        written = ", ".join(f"{PLUGIN}_{name}={value!r}" for name, value in given.items())
        yield (
            f"{where} names no pool, so that {written} does nothing and its handler runs in the "
            f"server; add {PLUGIN}=..."
        )


def _meant(name: str) -> str | None:
    """The option that ``name`` is nearly; ``None`` if it is not nearly one."""
    word, underscore, option = name.partition("_")
    if word == PLUGIN:
        return None  # the plugin looks at these itself
    if not difflib.get_close_matches(word, [PLUGIN], cutoff=0.85):
        return None
    if option and option not in _ROUTE_OPTIONS:
        return None
    return f"{PLUGIN}{underscore}{option}"


def _own_limits(route: Route) -> dict[str, Any]:
    given = route.options.given
    return {name: given[name] for name in ("background", *CALL_OPTIONS) if given.get(name)}


def warn_without_pools(server: HostServer) -> None:
    """Log a warning if routes or the recipe of ``server`` name pools, and it has none."""
    if getattr(server, "executors", None) is not None:
        return
    cure = (
        "Serve with ExecutorServer or `genro-executor serve`, or mount an ExecutorConsole, which "
        "brings pools to any server"
    )
    if routes := list(_routes_with_pools(server)):
        shown = ", ".join(routes[:_SHOWN_ROUTES])
        more = f" and {len(routes) - _SHOWN_ROUTES} more" if len(routes) > _SHOWN_ROUTES else ""
        _logger.warning(
            "this server (%s) has no pools, so that these routes run in the server: %s%s. %s",
            *(type(server).__name__, shown, more, cure),
        )
    if has_section(server, "executors"):
        _logger.warning(
            "the recipe of this server declares pools in its section 'executors', but a %s has "
            "none. %s",
            *(type(server).__name__, cure),
        )


def _routes_with_pools(server: HostServer) -> Iterator[str]:
    for route in routes_of(server):
        options: Mapping[str, Any]
        if route.entry is None:
            options = route.options.given
        elif plugin_of(route.router, PLUGIN) is not None:
            options = route.options.given if route.options.offloaded else {}
        else:
            options = marked_options(route.entry.metadata)
        if pool := options.get("pool"):
            yield f"{route.path} (pool {pool!r})"
