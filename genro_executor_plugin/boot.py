# Copyright 2026 the genro-executor-plugin authors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     https://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""What is checked before a server takes its first request: every mistake at once."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Container, Iterator
from typing import Any

from .errors import ExecutorConfigError, UnknownExecutorError
from .executors import BaseExecutor
from .offload import OffloadedEntry
from .options import CALL_OPTIONS
from .registry import ExecutorRegistry
from .routes import RouteLeaf, leaves, unbuilt_leaves

__all__ = ["check_routes", "mistakes_of", "modules_of"]


def check_routes(server: Any) -> None:
    """Check every route of ``server`` that names a pool.

    Raises:
        UnknownExecutorError: a route names a pool that nobody declared.
        ExecutorConfigError: a route asks for what its pool cannot keep, takes ``_request``, or
            was bound before the plugin was there. The message lists every mistake.
    """
    registry: ExecutorRegistry = server.executors
    unknown: list[str] = []
    wrong: list[str] = []
    for application in server.applications.values():
        router = getattr(application, "route", None)
        if router is None:
            continue
        for leaf in leaves(router):
            name = f"{application.code}/{leaf.path}"
            for pool, mistake in mistakes_of(registry, name, leaf):
                (unknown if pool else wrong).append(mistake)
        for path, func, marker in unbuilt_leaves(router):
            name = f"{application.code}/{path}"
            configuration = {
                key.removeprefix("executor_"): value
                for key, value in marker.items()
                if key.startswith("executor_")
            }
            configuration.setdefault("pool", marker.get("executor"))
            takes = inspect.signature(func).parameters
            for pool, mistake in _mistakes(registry, name, configuration, takes):
                (unknown if pool else wrong).append(mistake)
    if unknown:
        known = ", ".join(map(repr, registry.names))
        text = "; ".join(unknown + wrong)
        raise UnknownExecutorError(
            f"{text}. The declared pools are {known}: declare it in executors=, or correct the name"
        )
    if wrong:
        raise ExecutorConfigError("; ".join(wrong))


def mistakes_of(
    registry: ExecutorRegistry, name: str, leaf: RouteLeaf
) -> Iterator[tuple[str | None, str]]:
    """The mistakes of one route: the unknown pool, if that is the mistake, and the text."""
    entry = leaf.entry
    stray = [key for key in entry.metadata if key.split("_")[0] == "executor"]
    if stray:
        yield (
            None,
            (
                f"route {name} was bound before genro_executor_plugin was imported, so that "
                f"{stray[0]}={entry.metadata[stray[0]]!r} means nothing; import it first"
            ),
        )
    if isinstance(entry, OffloadedEntry):
        configuration = entry.plugin.configuration(entry.name)
        yield from _mistakes(registry, name, configuration, entry.signature.parameters)


def _mistakes(
    registry: ExecutorRegistry, name: str, configuration: dict[str, Any], takes: Container[str]
) -> Iterator[tuple[str | None, str]]:
    pool = configuration.get("pool")
    if not pool:
        return
    if pool not in registry:
        yield pool, f"route {name} names the pool {pool!r}"
        return
    if "_request" in takes and not configuration.get("disabled"):
        yield (
            None,
            (
                f"route {name} takes the live _request, which cannot travel to pool {pool!r}; pass "
                "what it needs of the request as arguments, or do not offload it"
            ),
        )
    executor: BaseExecutor = registry.get(pool)
    try:
        asked = {option: configuration.get(option) for option in CALL_OPTIONS}
        executor.check_call(f"route {name}", {o: v for o, v in asked.items() if v is not None})
    except ExecutorConfigError as error:
        yield None, str(error)


def modules_of(server: Any) -> list[str]:
    """The modules that a worker needs for the routes of ``server``, to be imported once."""
    modules = dict.fromkeys(("genro_routes", "genro_asgi"))
    for application in server.applications.values():
        router = getattr(application, "route", None)
        if router is None:
            continue
        for leaf in leaves(router):
            if isinstance(leaf.entry, OffloadedEntry):
                modules[type(leaf.router.instance).__module__] = None
    return [name for name in modules if name in sys.modules]
