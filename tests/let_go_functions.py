# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Functions that are given what they must not keep. Workers import this module, which is small."""

from __future__ import annotations

import asyncio
import gc
import os
import time
import weakref
from typing import Any


class Held:
    """What a call is given, and must not be kept."""

    refuses = False

    def __getstate__(self) -> dict[str, Any]:
        if self.refuses:
            raise TypeError("cannot travel")
        return {}


class Refusing:
    """What cannot travel."""

    def __reduce__(self) -> Any:
        raise TypeError("cannot travel")


_seen: list[weakref.ref[Any]] = []


def _see(held: Any) -> None:
    gc.disable()
    _seen.append(weakref.ref(held))


def left_here() -> int:
    return sum(ref() is not None for ref in _seen)


def raises(held: Held) -> None:
    local = [held]
    _see(held)
    raise ValueError(len(local))


async def raises_async(held: Held) -> None:
    local = [held]
    _see(held)
    await asyncio.sleep(0)
    raise ValueError(len(local))


def gives_what_cannot_travel(held: Held) -> Any:
    _see(held)
    return Refusing()


def ends_its_process(held: Held) -> None:
    os._exit(3)


def sleeps(held: Held) -> None:
    time.sleep(0.5)


async def sleeps_async(held: Held) -> None:
    await asyncio.sleep(30)
