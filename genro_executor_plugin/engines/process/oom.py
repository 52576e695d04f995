# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Did the kernel end a worker because memory ran out? What can be read that points at it.

The kernel counts the processes that it has ended for lack of memory, for each control group and
for the machine. Nothing here says that it was one certain process: only that the counter went up
while it lived, or that it held a large part of the memory that there is.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from pathlib import Path

from ...options.granted import granted_memory, limit_groups

__all__ = ["oom_kills", "why_sigkill"]

_LARGE_SHARE = 0.5
"""A worker that held more than this share of the memory that is granted is a likely cause."""

_ROOT = Path("/")


def oom_kills(root: Path = _ROOT) -> int | None:
    """How many processes the kernel has ended for lack of memory; ``None`` if it does not say.

    They are those of this process's control group, or else of the whole machine.

    Args:
        root: the folder that has ``proc`` and ``sys`` in it.
    """
    for file in _counters(root):
        with suppress(OSError, ValueError, IndexError):
            for line in file.read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return None


@cache
def _counters(root: Path) -> tuple[Path, ...]:
    """The files with the counter: of the own control group, then of the machine."""
    own = [
        folder / ("memory.events" if version == 2 else "memory.oom_control")
        for version, folder in limit_groups("memory", root)
        if folder.is_dir()
    ]
    return (*own[:1], root / "proc" / "vmstat")


def why_sigkill(before: int | None, peak: int, root: Path = _ROOT) -> str:
    """Why a process that nobody here has killed may have been ended by SIGKILL, in words.

    Args:
        before: ``oom_kills()`` when the process was started.
        peak: the most memory that it ever held, in bytes; 0 when it is not known.
        root: as for ``oom_kills``.
    """
    after = oom_kills(root)
    if before is not None and after is not None and after > before:
        times = "a process" if after == before + 1 else f"{after - before} processes"
        return (
            f"memory ran out: the kernel has ended {times} for it since this one was started. Use "
            "fewer workers, or give the pool a memory_limit"
        )
    granted = granted_memory(root)
    if granted is not None and peak > granted * _LARGE_SHARE:
        return (
            f"perhaps memory ran out: it held {peak / 2**20:.0f} MB of the "
            f"{granted / 2**20:.0f} MB that there are. Use fewer workers, or a memory_limit"
        )
    if after is None:
        return "something outside of this pool ended it, or the system because memory ran out"
    return "something outside of this pool ended it, such as kill -9; memory did not run out"
