# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0
"""Calls of a pool inside a worker run on the spot: they are offloaded already."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator
from typing import Any

from ..engines.call import Call
from ..portable.modules import stop_main_import

__all__ = ["run_here", "stream_here"]


async def run_here(call: Call) -> Any:
    """What ``call`` returns."""
    stop_main_import()
    result = call.func(*call.args, **call.kwargs)
    return await result if inspect.isawaitable(result) else result


async def stream_here(call: Call) -> AsyncGenerator[Any, None]:
    """What the generator that ``call`` makes yields."""
    stop_main_import()
    result = call.func(*call.args, **call.kwargs)
    if inspect.isawaitable(result):
        result = await result
    if hasattr(result, "__aiter__"):
        async for value in result:
            yield value
    else:
        for value in result:
            yield value
