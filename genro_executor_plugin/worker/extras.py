# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Extras in a worker: context variables, a trace and streaming, put around a call's function.

The counterpart of ``portable/extras.py``, which packs them in the server.
"""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable
from contextvars import copy_context
from typing import Any

from ..errors import SerializationError
from ..metrics.tracing import attached
from ..portable.extras import Extras
from ..portable.pickling import why
from .streaming import streamed

__all__ = ["with_extras"]


def with_extras(func: Callable[..., Any], packed: bytes) -> Callable[..., Any]:
    """Return ``func`` with the extras around it that ``pack_extras`` packed.

    Raises:
        SerializationError: a context variable, or its value, cannot be rebuilt in this worker.
    """
    try:
        extras: Extras = pickle.loads(packed)
        variables = [(reference.resolve(), value) for reference, value in extras.variables]
    except BaseException as error:
        raise SerializationError(
            f"the context of the call cannot be rebuilt in the worker: {why(error)}. The modules "
            "of its variables and of their values must import there"
        ) from error
    run = streamed(func) if extras.streams else func

    def with_context(*args: Any, **kwargs: Any) -> Any:
        for variable, value in variables:
            variable.set(value)
        with attached(extras.trace):
            return run(*args, **kwargs)

    async def awaited(coroutine: Any) -> Any:
        for variable, value in variables:
            variable.set(value)
        with attached(extras.trace):
            return await coroutine

    if inspect.iscoroutinefunction(run):

        async def as_coroutine(*args: Any, **kwargs: Any) -> Any:
            return await awaited(run(*args, **kwargs))

        return as_coroutine

    def in_own_context(*args: Any, **kwargs: Any) -> Any:
        result = copy_context().run(with_context, *args, **kwargs)
        # The coroutine runs later, in another context: the variables are set there again.
        return awaited(result) if inspect.iscoroutine(result) else result

    return in_own_context
