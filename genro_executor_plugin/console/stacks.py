# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where the running calls of a server are, as plain values for JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from ..executors import BaseExecutor

__all__ = ["stacks_in"]

MOST_CALLS = 200
"""How many calls are told of at most, those that have run longest."""


async def stacks_in(pools: Mapping[str, BaseExecutor], pid: int | None) -> dict[str, Any]:
    """Where each call is that runs in ``pools``: those in process ``pid``, or all."""
    names = sorted(pools)
    found = await asyncio.gather(*(pools[name].stacks(pid) for name in names))
    calls = [
        {"pool": name, **asdict(one)}
        for name, stacks in zip(names, found, strict=True)
        for one in stacks
    ]
    calls.sort(key=lambda call: -call["running_seconds"])
    return {"calls": calls[:MOST_CALLS], "more": max(0, len(calls) - MOST_CALLS)}
