# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a handler has started ends with its worker: programs, daemons, and all that they started.

Every worker has a process group of its own. On Linux it is a *subreaper*, too, and so is the
template: a process whose parent ends goes to the nearest subreaper above it, also one that has
made itself a daemon. Whatever a worker leaves behind when it ends, however it ends, is therefore
a child of the template, where ``Leftovers`` finds it, asks it to end, and kills it after a grace.

This runs in the template, which imports little.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterable
from time import monotonic

__all__ = ["GRACE_SECONDS", "Leftovers", "allow_subreapers", "lead_a_group", "signal_all", "tree"]

GRACE_SECONDS = 2.0
"""How long a process that was asked to end with SIGTERM may take before it is killed."""

_LOOK_AGAIN_SECONDS = 0.25
"""How soon the kernel's list of children is read again; it may miss one while others end."""

_PR_SET_CHILD_SUBREAPER = 36


def allow_subreapers() -> Callable[[], bool]:
    """What makes the process that calls it a subreaper, and says whether it did.

    Made once, in the template, before it forks: ctypes costs 2 MB, which workers then share.
    """
    if sys.platform != "linux":
        return lambda: False
    try:
        import ctypes

        prctl = ctypes.CDLL(None).prctl
    except (ImportError, OSError, AttributeError):
        return lambda: False
    return lambda: prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0


def lead_a_group() -> None:
    """Put this process, a worker, into a process group of its own.

    Not a session of its own: the leader of one that opens a terminal gets that terminal's Ctrl-C.
    """
    os.setpgid(0, 0)


def children(pid: int) -> list[int]:
    """The pids of the children of ``pid``, zombies among them; none where there is no /proc."""
    if not os.path.exists(f"/proc/self/task/{os.getpid()}/children"):
        return _children_by_search(pid)  # not every kernel keeps that list
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with (
                contextlib.suppress(OSError),
                open(f"/proc/{pid}/task/{thread}/children") as file,
            ):
                found += map(int, file.read().split())
    return found


def _children_by_search(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [
            int(name) for name in os.listdir("/proc") if name.isdigit() and _parent(name) == pid
        ]
    return []


def _parent(pid: str) -> int:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, IndexError):
        return 0


def tree(pid: int) -> list[int]:
    """``pid`` and all that is below it."""
    found = [pid]
    for known in found:  # it grows meanwhile
        found += [child for child in children(known) if child not in found]
    return found


def signal_all(pids: Iterable[int], number: int) -> None:
    """Send signal ``number`` to each of ``pids`` that is still there."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


class Leftovers:
    """What the workers of one template have left behind, and when it is killed.

    Where processes cannot be subreapers, these are the process groups of workers instead.
    """

    def __init__(self, workers: Collection[int], is_subreaper: bool) -> None:
        """Look after what ``workers``, the pids of those that run now, will leave behind.

        What has been started in the template by then stays: a module that was imported there
        has started it, and every worker may use it.
        """
        self._workers = workers
        self._is_subreaper = is_subreaper
        self._kept = frozenset(children(os.getpid()))
        self._deadlines: dict[int, float] = {}
        self._groups: dict[int, float] = {}
        self._look_at = 0.0

    def worker_ended(self, pid: int) -> None:
        """Have ``look`` find what worker ``pid``, which was just reaped, has left behind."""
        if self._is_subreaper:
            self._look_at = monotonic() + _LOOK_AGAIN_SECONDS
        elif self._signal_group(pid, signal.SIGTERM):
            self._groups[pid] = monotonic() + GRACE_SECONDS

    def reaped(self, pid: int) -> None:
        """Forget ``pid``, which has ended."""
        self._deadlines.pop(pid, None)

    def look(self) -> None:
        """Ask what was not asked yet to end, and kill what has had its grace."""
        if not (self._look_at or self._deadlines or self._groups):
            return
        now = monotonic()
        if now >= self._look_at:
            self._look_at = 0.0
        left = self._left()
        if not left:
            self._deadlines.clear()
        for pid in left:
            deadline = self._deadlines.get(pid)
            if deadline is None:
                found = tree(pid)
                new = [known for known in found if known not in self._deadlines]
                self._deadlines.update(dict.fromkeys(new, now + GRACE_SECONDS))
                signal_all(new, signal.SIGTERM)
                signal_all(new, signal.SIGCONT)  # one that is stopped would not hear the other
            elif now >= deadline:
                found = tree(pid)
                self._deadlines.update(dict.fromkeys(found, deadline))
                signal_all(found, signal.SIGKILL)
        for pid, deadline in list(self._groups.items()):
            if now >= deadline:
                self._signal_group(pid, signal.SIGKILL)
                del self._groups[pid]

    def _left(self) -> list[int]:
        if not self._is_subreaper:
            return []
        kept, workers = self._kept, self._workers
        return [pid for pid in children(os.getpid()) if pid not in kept and pid not in workers]

    @property
    def any(self) -> bool:
        """Whether something is left that has not ended, as far as is known."""
        return bool(self._groups or self._left())

    def milliseconds(self) -> int | None:
        """How long to wait before the next ``look``; ``None`` until a worker ends."""
        moments = [*self._deadlines.values(), *self._groups.values()]
        if self._look_at:
            moments.append(self._look_at)
        if not moments:
            return None
        # One that does not die at once is looked at again, and not without a pause.
        return max(10, int((min(moments) - monotonic()) * 1000) + 1)

    @staticmethod
    def _signal_group(pid: int, number: int) -> bool:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)
            return True
        return False
