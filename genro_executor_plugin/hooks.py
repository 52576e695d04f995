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
"""The functions of a pool that run once in each worker: its initializer and its finalizer."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .errors import SerializationError
from .options import PoolOptions
from .pickling import dumps, why
from .references import describe

__all__ = ["PackedHooks", "pack_hooks", "run_hook"]

PackedHooks = tuple[bytes | None, bytes | None]
"""The initializer with its arguments and the finalizer with none, ``None`` for what is not."""


def pack_hooks(pool: str, options: PoolOptions) -> PackedHooks:
    """The initializer and the finalizer of a pool as bytes.

    Raises:
        SerializationError: naming the pool, the reason and the cure.
    """
    return (
        _packed(pool, "initializer", options.initializer, options.initargs),
        _packed(pool, "finalizer", options.finalizer, ()),
    )


def _packed(
    pool: str, what: str, hook: Callable[..., Any] | None, arguments: tuple[Any, ...]
) -> bytes | None:
    if hook is None:
        return None
    try:
        return dumps((hook, arguments))
    except Exception as error:
        with_arguments = " with its initargs" if arguments else ""
        raise SerializationError(
            f"pool {pool!r}: {what} {describe(hook)}{with_arguments} cannot travel to a worker: "
            f"{why(error)}. Use a function of a module, and plain arguments",
            pool=pool,
        ) from error


def run_hook(hook: Callable[..., Any], arguments: tuple[Any, ...] = ()) -> None:
    """Call a hook; a coroutine function runs on an event loop of its own."""
    outcome = hook(*arguments)
    if inspect.iscoroutine(outcome):
        import asyncio  # costs a worker 5 MB; most never run a coroutine

        asyncio.run(outcome)
