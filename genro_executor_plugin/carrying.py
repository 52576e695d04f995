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

"""What goes along with a call beside its arguments: context variables, a trace, how it answers.

``pack_carried`` makes bytes of it in the server, ``equipped`` is the function in the worker that
has it while it runs. Nothing of it stays behind in the worker, and nothing comes back.
"""

from __future__ import annotations

import inspect
import pickle
from collections.abc import Callable, Mapping
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any

from .contexts import ContextReference
from .errors import SerializationError
from .obstacles import obstacle
from .pickling import dumps, why
from .streaming import streamed
from .tracing import attached

__all__ = ["CARRIED", "equipped", "pack_carried"]

CARRIED = "genro-executor.carried"
"""The keyword argument of a packed call that holds it; no Python name can be the same."""


@dataclass(frozen=True, slots=True)
class _Carried:
    variables: tuple[tuple[ContextReference, Any], ...]
    trace: Mapping[str, str]
    streams: bool


def pack_carried(
    pool: str, variables: tuple[ContextReference, ...], trace: Mapping[str, str], streams: bool
) -> bytes | None:
    """What goes along with a call that is made now, ``None`` for nothing.

    Raises:
        SerializationError: the value of a context variable cannot travel.
    """
    values = []
    for reference in variables:
        variable = reference.resolve()
        try:
            values.append((reference, variable.get()))
        except LookupError:
            continue  # it is not set here, and will not be set there
    if not values and not trace and not streams:
        return None
    try:
        return dumps(_Carried(tuple(values), dict(trace), streams))
    except BaseException as error:
        for reference, value in values:
            trouble = obstacle(value, dumps)
            if trouble is not None:
                path, reason = trouble
                raise SerializationError(
                    f"the context variable {reference} of pool {pool!r} holds a value that cannot "
                    f"travel to a worker: value{path}: {why(reason)}. Take it out of context=, or "
                    "put plain data into it",
                    pool=pool,
                ) from error
        raise


def equipped(func: Callable[..., Any], packed: bytes) -> Callable[..., Any]:
    """``func`` as it runs with what was packed.

    Raises:
        SerializationError: a context variable, or its value, cannot be had in this worker.
    """
    try:
        carried: _Carried = pickle.loads(packed)
        variables = [(reference.resolve(), value) for reference, value in carried.variables]
    except BaseException as error:
        raise SerializationError(
            f"the context of the call cannot be rebuilt in the worker: {why(error)}. The modules "
            "of its variables and of their values must import there"
        ) from error
    run = streamed(func) if carried.streams else func

    def with_context(*args: Any, **kwargs: Any) -> Any:
        for variable, value in variables:
            variable.set(value)
        with attached(carried.trace):
            return run(*args, **kwargs)

    async def awaited(coroutine: Any) -> Any:
        for variable, value in variables:
            variable.set(value)
        with attached(carried.trace):
            return await coroutine

    if inspect.iscoroutinefunction(run):

        async def as_coroutine(*args: Any, **kwargs: Any) -> Any:
            return await awaited(run(*args, **kwargs))

        return as_coroutine

    def in_own_context(*args: Any, **kwargs: Any) -> Any:
        result = copy_context().run(with_context, *args, **kwargs)
        # It runs elsewhere, in a context that knows nothing of this one.
        return awaited(result) if inspect.iscoroutine(result) else result

    return in_own_context
