# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Calls of a pool inside a worker run on the spot: they are offloaded already."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator
from typing import Any

from ..engines.base import Engine, Load
from ..engines.call import Call
from ..errors import ExecutorError
from ..portable.main_module import stop_main_import

__all__ = ["Elsewhere", "run_here", "stream_here"]


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


class Elsewhere(Engine):
    """Stands for the engine of a pool that was sent to another process: it runs nothing.

    In a worker nobody asks it, because calls of a pool run on the spot there.
    """

    name = "inline"

    async def run(self, call: Call, packed: Any) -> Any:
        """Refuse: outside of a worker, a pool stays where it was made."""
        pool = self.pool.name
        raise ExecutorError(f"pool {pool!r} was sent here; a pool stays where it was made")

    def load(self) -> Load:
        """Return that there is nothing."""
        return Load(0, 0, 0)

    async def close(self) -> None:
        """End nothing: it has nothing."""
