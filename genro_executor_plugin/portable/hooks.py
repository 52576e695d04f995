# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The functions of a pool that run once in each worker: its initializer and its finalizer.

The server packs them when the pool is made, so that what cannot travel is refused then.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ..errors import SerializationError
from ..options.pool import PoolOptions
from .pickling import dumps, why
from .references import describe

__all__ = ["PackedHooks", "pack_hooks", "run_hook"]

PackedHooks = tuple[bytes | None, bytes | None]
"""The initializer and the finalizer, pickled with their arguments; ``None`` where there is none."""


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
        import asyncio  # it costs a worker 5 MB, and most workers never run a coroutine

        asyncio.run(outcome)
