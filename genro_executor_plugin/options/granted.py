# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""How many CPUs and how much memory this process is granted, which may be less than there are.

A container on a machine of 64 CPUs may be given two of them in either of two ways: by affinity,
which says on which ones it runs, and by a *quota* of its control group (cgroup), which says how
much time it gets of all of them. Control groups are nested, and each ancestor's limit holds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import ceil
from pathlib import Path

__all__ = ["cpu_quota", "granted_cpus", "granted_memory", "has_gil", "limit_groups"]

_ROOT = Path("/")

CPU_COUNT_VARIABLE = "PYTHON_CPU_COUNT"
"""Python's own variable, from 3.13 on; it is honoured by every version here."""


def granted_cpus(root: Path = _ROOT) -> int:
    """How many CPUs this process may use, at least 1: what is granted, not what the machine has.

    ``python -X cpu_count=4`` and ``PYTHON_CPU_COUNT=4`` decide alone, as they do in Python 3.13.
    Otherwise it is the smaller of the affinity and of the quota, a part of a CPU counted as one.

    Args:
        root: the folder that has ``proc`` and ``sys`` in it.
    """
    told = _told_cpus()
    if told is not None:
        return told
    if hasattr(os, "sched_getaffinity"):
        cpus = len(os.sched_getaffinity(0)) or 1
    else:
        cpus = os.cpu_count() or 1
    quota = cpu_quota(root)
    return cpus if quota is None else max(1, min(cpus, ceil(quota)))


def _told_cpus() -> int | None:
    """The number that ``-X cpu_count`` or the variable gives, ``None`` for none."""
    told = sys._xoptions.get("cpu_count")
    if told is None and not sys.flags.ignore_environment:
        told = os.environ.get(CPU_COUNT_VARIABLE)
    if isinstance(told, str) and told.strip().isdecimal():
        return int(told) or None
    return None  # "default", or nothing that says a number


def cpu_quota(root: Path = _ROOT) -> float | None:
    """How many CPUs' time the control groups grant, such as 1.5; ``None`` for no limit.

    It is the smallest of the limits of the process's group and of the groups around it.
    """
    limits: list[float] = []
    for version, folder in limit_groups("cpu", root):
        with suppress(OSError, ValueError, ZeroDivisionError):
            if version == 2:
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text().strip()
                period = (folder / "cpu.cfs_period_us").read_text().strip()
            if quota not in ("max", "-1"):
                limits.append(int(quota) / int(period))
    return min(limits, default=None)


def granted_memory(root: Path = _ROOT) -> int | None:
    """How many bytes of memory this process and its children may use together.

    It is the smallest of the machine's memory and of the control groups' limits; ``None`` where
    neither can be read.
    """
    limits: list[int] = []
    with suppress(OSError, ValueError, IndexError):
        for line in (root / "proc" / "meminfo").read_text().splitlines():
            if line.startswith("MemTotal:"):
                limits.append(int(line.split()[1]) * 1024)
    if not limits and root == _ROOT:  # no Linux
        with suppress(OSError, ValueError):
            limits.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for version, folder in limit_groups("memory", root):
        with suppress(OSError, ValueError):
            name = "memory.max" if version == 2 else "memory.limit_in_bytes"
            limits.append(int((folder / name).read_text()))  # "max" is no number, and no limit
    return min(limits, default=None)


def limit_groups(controller: str, root: Path = _ROOT) -> Iterator[tuple[int, Path]]:
    """The folders of this process's control groups for ``controller``, its own first.

    Yields:
        the version of the interface, 1 or 2, and the folder; then those of the groups around it,
        as far as they can be seen from here.
    """
    mounts = list(_mounts(root))
    for line in _lines(root / "proc" / "self" / "cgroup"):
        number, controllers, path = line.split(":", 2)
        version = 2 if number == "0" and not controllers else 1
        if version == 1 and controller not in controllers.split(","):
            continue
        for kind, options, inside, where in mounts:
            right_kind = kind == ("cgroup2" if version == 2 else "cgroup")
            if not right_kind or (version == 1 and controller not in options.split(",")):
                continue
            # A container may see its group's path from outside, and its mount from inside.
            own = _below(path, inside)
            steps = [step for step in own.split("/") if step not in ("", "..")]
            for depth in range(len(steps), -1, -1):
                yield version, root / where.lstrip("/") / "/".join(steps[:depth])
            break


def _below(path: str, inside: str) -> str:
    """``path`` relative to the group ``inside`` whose folder is mounted."""
    if inside == "/":
        return path
    if path == inside or path.startswith(f"{inside}/"):
        return path[len(inside) :]
    return ""


def _mounts(root: Path) -> Iterator[tuple[str, str, str, str]]:
    """The mounted folders of control groups: type, options, group at its root, folder."""
    for line in _lines(root / "proc" / "self" / "mountinfo"):
        fields, _, rest = line.partition(" - ")
        with suppress(IndexError, ValueError):  # a line that is no mount
            kind, _, options = rest.split(" ", 2)
            if kind in ("cgroup", "cgroup2"):
                inside, where = fields.split(" ")[3:5]
                yield kind, options, inside, where.replace("\\040", " ")


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []  # no Linux, or no /proc


def has_gil() -> bool:
    """Whether this interpreter has its global lock; one without it is a build of its own."""
    asked: Callable[[], bool] | None = getattr(sys, "_is_gil_enabled", None)
    return asked is None or asked()
