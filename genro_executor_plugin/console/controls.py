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

"""A pool as the console sees and steers it, whatever its kind can do.

A kind that was registered from outside may not have every control; then the control is refused
with a reason, and the state it cannot tell is left out.
"""

from __future__ import annotations

from typing import Any

from ..errors import ExecutorConfigError

__all__ = ["is_draining", "is_paused", "steer", "unhealthy_reason", "worker_states"]


def worker_states(executor: Any) -> list[Any]:
    """The workers of a pool, none for a kind that cannot tell."""
    states = getattr(executor, "worker_states", None)
    return list(states()) if states is not None else []


def unhealthy_reason(executor: Any) -> str | None:
    """Why a pool cannot serve, ``None`` when it can."""
    reason: str | None = getattr(executor, "unhealthy", None)
    return reason


def is_paused(executor: Any) -> bool:
    """Whether admitted calls of a pool wait until it is resumed."""
    return bool(getattr(executor, "paused", False))


def is_draining(executor: Any) -> bool:
    """Whether a pool refuses new calls until it is resumed."""
    return bool(getattr(executor, "draining", False))


def steer(executor: Any, control: str, *arguments: Any) -> Any:
    """Use a control of a pool.

    Raises:
        ExecutorConfigError: this kind of pool does not have it.
    """
    method = getattr(executor, control, None)
    if method is None:
        raise ExecutorConfigError(
            f"pool {executor.name!r} is a {executor.kind} pool, which has no {control}",
            pool=executor.name,
        )
    return method(*arguments)
