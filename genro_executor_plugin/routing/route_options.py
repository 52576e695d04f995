# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The options in force of a route: which pool, and what its calls ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..executors import BaseExecutor
from ..options.call import CALL_OPTIONS
from ..options.keys import KeyName

__all__ = ["PLUGIN", "RouteOptions", "marked_options", "stray_markers"]

PLUGIN = "executor"
"""The code of the plugin, and so the first word of its options in ``@route``."""

_DEFAULT_OPTION = "pool"
"""What ``@route(executor=...)`` means."""


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """What is in force for one route.

    Attributes:
        given: the plugin's options: of the routers above, of its router, its own.
        switched_on: whether the plugin is enabled for it.
        left_alone: whether a pool that is named for a whole router is not meant for it.
    """

    given: Mapping[str, Any] = field(default_factory=dict)
    switched_on: bool = True
    left_alone: bool = False

    @classmethod
    def of_marker(cls, marker: Mapping[str, Any]) -> RouteOptions:
        """The options in what ``@route`` was given, for a route that is not bound yet."""
        prefix = f"{PLUGIN}_"
        given = {
            name.removeprefix(prefix): value
            for name, value in marker.items()
            if name.startswith(prefix)
        }
        given.setdefault(_DEFAULT_OPTION, marker.get(PLUGIN))
        return cls(given)

    @property
    def pool(self) -> str | None:
        """The pool that it names, though it may be disabled; ``None`` for none."""
        return self.given.get("pool") or None

    @property
    def disabled(self) -> bool:
        """Whether its calls run in the server although it names a pool."""
        return bool(self.given.get("disabled")) or not self.switched_on

    @property
    def offloaded(self) -> bool:
        """Whether its calls run in its pool."""
        return self.pool is not None and not self.disabled and not self.left_alone

    @property
    def background(self) -> bool:
        """Whether a request is answered at once and the call runs as a long job."""
        return bool(self.given.get("background"))

    @property
    def key(self) -> str | None:
        """Where the key of its calls is found, ``None`` for none."""
        return self.given.get("key") or None

    @property
    def of_calls(self) -> dict[str, Any]:
        """The options of its calls that are given for it; the pool's hold for the others."""
        given = {name: self.given.get(name) for name in CALL_OPTIONS}
        if given["key"] is not None:
            given["key"] = KeyName(given["key"])
        return {name: value for name, value in given.items() if value is not None}

    def effective(self, executor: BaseExecutor | None) -> dict[str, Any]:
        """Every option of its calls in ``executor``: its own, or the pool's."""
        pool = None if executor is None else executor.pool_options
        return {name: getattr(pool, name, None) for name in CALL_OPTIONS} | self.of_calls


def marked_options(metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """What ``@route`` was given for the plugin, of an entry whose router does not have it."""
    config: Mapping[str, Any] = metadata.get("plugin_config", {}).get(PLUGIN, {})
    return config or RouteOptions.of_marker(metadata).given


def stray_markers(metadata: Mapping[str, Any]) -> list[str]:
    """The plugin's options that became plain metadata: the entry was bound before the plugin."""
    return [name for name in metadata if name.partition("_")[0] == PLUGIN]
