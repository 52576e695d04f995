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
"""Calls of a pool inside a worker run on the spot: they are offloaded already."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator
from typing import Any

from ..modules import stop_main_import
from .call import Call

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
