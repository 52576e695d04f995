# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Whether a person is looking at this process with a debugger now."""

from __future__ import annotations

import asyncio
import sys
from types import FrameType
from typing import Any

__all__ = ["debugger_is_attached", "ends_within"]

_DEBUGGED_SECONDS = 1.0
"""How often it is looked whether the debugger is still there."""

_DEBUGGERS = ("bdb", "pdb", "pydevd", "debugpy", "_pydevd_bundle")
"""The modules of debuggers, or what their names begin with."""


async def ends_within(future: asyncio.Future[Any], seconds: float, minds_debuggers: bool) -> bool:
    """Whether ``future`` is done after ``seconds``, and after the time that a debugger holds it."""
    done, _ = await asyncio.wait([future], timeout=seconds)
    while not done and minds_debuggers and debugger_is_attached():
        done, _ = await asyncio.wait([future], timeout=_DEBUGGED_SECONDS)
    return bool(done)


def debugger_is_attached() -> bool:
    """Whether a thread is in a debugger or traced by one. A coverage tool is none."""
    trace: Any = sys.gettrace()
    if trace is not None and _is_debugger(getattr(trace, "__module__", None)):
        return True
    monitoring: Any = getattr(sys, "monitoring", None)
    if monitoring is not None and monitoring.get_tool(monitoring.DEBUGGER_ID) is not None:
        return True
    frame: FrameType | None
    for frame in sys._current_frames().values():
        while frame is not None:
            if _is_debugger(frame.f_globals.get("__name__")):
                return True
            frame = frame.f_back
    return False


def _is_debugger(module: object) -> bool:
    return isinstance(module, str) and module.partition(".")[0].startswith(_DEBUGGERS)
