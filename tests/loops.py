# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The event loop that the tests run on: asyncio's own, or the one ``GENRO_EXECUTOR_LOOP`` names.

``GENRO_EXECUTOR_LOOP=uvloop pytest`` runs every test, and what tests serve in their own process,
on uvloop. Servers that are started as programs run on what uvicorn chooses, which is uvloop
wherever it is installed.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


def _factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    import uvloop

    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


LOOP = os.environ.get("GENRO_EXECUTOR_LOOP", "asyncio")
new_event_loop = asyncio.new_event_loop if LOOP == "asyncio" else _factories()[LOOP]


def run(main: Coroutine[Any, Any, T]) -> T:
    """As ``asyncio.run``, on the event loop of the tests."""
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
