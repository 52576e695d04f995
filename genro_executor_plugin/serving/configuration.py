# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Pools in a server's configuration: the section ``executors`` of a recipe.

A ``config.py`` recipe derives from ``ExecutorConfigBuilder`` and writes its pools::

    class ServerConfiguration(ExecutorConfigBuilder):
        def main(self, root):
            cfg = root.configuration()
            pools = cfg.executors()
            pools.pool(code="pdf", max_workers=2, timeout=30.0)

``ExecutorServer(config=...)`` reads it. The layers are genro-asgi's: the package's defaults, the
machine's defaults (``default_config``), the site's recipe. A pool that several layers write is put
together option by option.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import ExecutorConfigError
from ..hosts.builders import BagResolver, BuilderBase, element, sub_tags
from ..hosts.names import (
    AsgiConfigBuilder,
    AsgiServerGrammar,
    ConfigurationHandler,
)
from .agents import AgentGrammar
from .grammar import (
    WrittenPool,
    mistakes_in,
    written_pools,
)

__all__ = [
    "ConfigSource",
    "ExecutorConfigBuilder",
    "ExecutorServerGrammar",
    "configured_cpus",
    "configured_pools",
    "declarations",
]

ConfigSource = str | Path | type | BuilderBase | ConfigurationHandler
"""What a server can be configured from: a template's name, a file, a recipe or a handler."""

# Taken from the host, whatever version is there: a copy would lack its next section.
_STOCK_SECTIONS = sub_tags(AsgiServerGrammar.configuration)


class ExecutorServerGrammar(AgentGrammar, AsgiServerGrammar):
    """The grammar of ``ExecutorServer``: genro-asgi's, and ``executors`` and ``agents``."""

    @element(sub_tags=f"{_STOCK_SECTIONS},executors[0:1],agents[0:1]", node_label="configuration")
    def configuration(self) -> None:
        """Root element of the configuration document (one per recipe)."""

    @element(parent_tags="configuration", sub_tags="pool")
    def executors(self, cpus: int | str | BagResolver | None = None) -> None:
        """The pools of the server, one ``pool`` child each; ``cpus`` is its ``executor_cpus``."""

    @element(parent_tags="configuration", sub_tags="agent")
    def agents(self) -> None:
        """Agents for pools of other servers, one ``agent`` child each; the server ignores them."""


class ExecutorConfigBuilder(ExecutorServerGrammar, AsgiConfigBuilder):
    """The configuration dialect of ``ExecutorServer``, which recipes derive from.

    A recipe that wants the hooks of one of genro-asgi's own recipes has that as a second base:
    ``class ServerConfiguration(ExecutorConfigBuilder, BaseConfiguration)``.
    """


def configured_pools(handler: ConfigurationHandler) -> list[WrittenPool]:
    """Return the pools in the section ``executors``, also wrong ones; none without the section."""
    section = handler.node("executors")
    return written_pools(section.value or ()) if section is not None else []


def configured_cpus(handler: ConfigurationHandler) -> Any:
    """Return ``cpus`` of the section ``executors``; ``None`` without it."""
    section = handler.node("executors")
    value = None if section is None else section.attr.get("cpus")
    return value() if isinstance(value, BagResolver) else value


def declarations(handler: ConfigurationHandler) -> dict[str, Any]:
    """Return the pools of the section ``executors`` as the server's ``executors=`` takes them.

    Raises:
        ExecutorConfigError: a pool is wrong. The message lists every mistake in every pool, each
            with its file and line, the pool, the option and what is allowed.
    """
    pools = configured_pools(handler)
    if mistakes := mistakes_in(pools):
        raise ExecutorConfigError.of(mistakes)
    return {pool.code: {"executor_type": pool.executor_type, **pool.options} for pool in pools}
