# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The tools of a host's MCP applications: routes that are called beside the application's own.

Imported only where the server has such an application.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .surface import JSONRPC_INTERNAL_ERROR, McpEngine, McpError

__all__ = ["guard_tools", "router_of_tools"]


def router_of_tools(application: Any) -> Any:
    """The router whose routes are tools of ``application``; ``None`` if it has none."""
    engine = _engine_of(application)
    return None if engine is None else engine.router


def guard_tools(application: Any, text_for: Callable[[Exception], str | None]) -> None:
    """Have the clients of the tools of ``application`` told ``text_for(error)`` of an error.

    The host tells them the text of whatever is raised. Where ``text_for`` returns ``None``, it
    goes on to do so.
    """
    engine = _engine_of(application)
    if engine is None or isinstance(engine.invoke, _Invoke):
        return
    engine.invoke = _Invoke(engine.invoke, text_for)


def _engine_of(application: Any) -> McpEngine | None:
    engine = getattr(application, "mcp_engine", None)
    return engine if isinstance(engine, McpEngine) else None


class _Invoke:
    """Runs a tool as the host does; some errors have another text."""

    def __init__(
        self,
        invoke: Callable[..., Any],
        text_for: Callable[[Exception], str | None],
    ) -> None:
        self._invoke = invoke
        self._text_for = text_for

    async def __call__(self, *asked: Any) -> Any:
        try:
            result = self._invoke(*asked)
            return await result if inspect.isawaitable(result) else result
        except Exception as error:
            text = self._text_for(error)
            if text is None:
                raise
            raise McpError(JSONRPC_INTERNAL_ERROR, text) from error
