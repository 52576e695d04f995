# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The options that only a pool on Ray has, under the names that Ray has for them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from ...errors import ExecutorConfigError
from ...options.checks import check_option
from ...options.kinds import EngineOption

__all__ = ["OWN_OPTIONS", "resources_of"]

_ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+):[0-9]{1,5}", re.ASCII)


def _address(value: Any) -> str | None:
    if value is None or value == "local":
        return None
    if isinstance(value, str) and value.startswith("ray://"):
        raise ValueError(
            "Ray Client (ray://) is not supported; give the address of the cluster itself, such "
            "as 'head:6379', on a machine of the cluster or one that reaches all of its nodes"
        )
    if not isinstance(value, str) or not (value == "auto" or _ADDRESS.fullmatch(value)):
        raise ValueError(
            "give the address of a Ray cluster, such as 'head:6379', or 'auto' for the one that "
            "runs on this machine; without one, Ray is started on this machine for the server"
        )
    return value


def _amount(value: Any) -> float:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise ValueError("give a number of at least 0")
    return float(value) if isinstance(value, float) else int(value)


def _gpus(value: Any) -> float:
    amount = _amount(value)
    if amount > 1 and amount != int(amount):
        raise ValueError("give a share of one GPU, or a whole number of them")
    return amount


def _resources(value: Any) -> dict[str, float] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not all(isinstance(n, str) and n for n in value):
        raise ValueError("give a dict of the names of resources and how much of each")
    for name in ("CPU", "GPU", "memory"):
        if name in value:
            raise ValueError("give CPUs as num_cpus, GPUs as num_gpus, memory as memory")
    return {name: _amount(amount) for name, amount in value.items()}


def _memory(value: Any) -> int | None:
    if isinstance(value, str) and value.strip().endswith("%"):
        raise ValueError("give a number of bytes: nodes have different memories")
    try:
        checked: int | None = check_option("memory", "memory_limit", value)
    except ExecutorConfigError as error:
        raise ValueError("give a number of bytes above 0, or a text such as '2GB'") from error
    return checked


def _environment(value: Any) -> dict[str, Any] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError("give a dict, such as {'env_vars': {'NAME': 'value'}}")
    return dict(value)


def _strategy(value: Any) -> Any:
    if value is None or value in ("DEFAULT", "SPREAD"):
        return value
    if type(value).__module__.partition(".")[0] == "ray":
        return value
    raise ValueError("give 'DEFAULT', 'SPREAD', or a strategy of ray.util.scheduling_strategies")


OWN_OPTIONS: Mapping[str, EngineOption] = {
    "address": EngineOption(_address, default=None),
    "num_cpus": EngineOption(_amount, default=1),
    "num_gpus": EngineOption(_gpus, default=0),
    "resources": EngineOption(_resources, default=None),
    "memory": EngineOption(_memory, default=None),
    "runtime_env": EngineOption(_environment, default=None),
    "scheduling_strategy": EngineOption(_strategy, default=None),
}
"""The options by name. All but ``address`` are of each worker, and are given to Ray as they are."""


def resources_of(own: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker asks of the cluster, as Ray's options of an actor."""
    return {name: own[name] for name in OWN_OPTIONS if name != "address" and own[name] is not None}
