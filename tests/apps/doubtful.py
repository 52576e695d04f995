# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Applications in which offloading was probably meant and does not happen."""

from __future__ import annotations

import os
from typing import Any

from genro_routes import RoutingClass, route
from host import McpApplication, McpOpenApiApplication, RoutedApplication

import genro_executor_plugin  # noqa: F401 - it registers the plugin


class Named(RoutedApplication):
    """Names a pool, as it should."""

    mount = "named"

    @route(executor="pdf")
    def invoice(self) -> int:
        return os.getpid()


class Misspelt(RoutedApplication):
    mount = "misspelt"

    @route(executer="pdf")
    def executer(self) -> int:
        return os.getpid()

    @route(pool="pdf")
    def pool(self) -> int:
        return os.getpid()

    @route(executor="pdf", timeout=5)
    def timeout(self) -> int:
        return os.getpid()

    @route(executor_timeout=5)
    def lonely(self) -> int:
        return os.getpid()

    @route(executors_timeout=5)
    def executors(self) -> int:
        return os.getpid()


class Right(RoutedApplication):
    """What only looks doubtful."""

    mount = "right"

    @route(executor="pdf", executor_timeout=5)
    def limited(self) -> int:
        return os.getpid()

    @route(execution_plan="b", meta_timeout=3)
    def other_metadata(self) -> int:
        return os.getpid()

    @route(executor="pdf", executor_disabled=True, executor_timeout=5)
    def disabled(self) -> int:
        return os.getpid()


class Tools(RoutingClass):
    @route(executor="pdf", channel_channels="mcp")
    def where(self) -> dict[str, int]:
        return {"pid": os.getpid()}

    @route(executor="pdf", channel_channels="mcp")
    def dies(self) -> dict[str, int]:
        os._exit(3)

    @route(channel_channels="mcp")
    def refuses(self) -> dict[str, int]:
        raise ValueError("an error of the tool itself")


class ToolsOfNoPool(RoutingClass):
    @route(executor="nowhere", channel_channels="mcp")
    def where(self) -> dict[str, int]:
        return {"pid": os.getpid()}


class Mcp(McpApplication):
    mount = "mcp"

    def __init__(self, **options: Any) -> None:
        super().__init__(routing_class=Tools(), **options)


class McpOfNoPool(McpApplication):
    mount = "mcp"

    def __init__(self, **options: Any) -> None:
        super().__init__(routing_class=ToolsOfNoPool(), **options)


class Both(McpOpenApiApplication):
    mount = "both"

    def __init__(self, **options: Any) -> None:
        super().__init__(routing_class=Tools(), **options)
