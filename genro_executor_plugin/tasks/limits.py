# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What each submitter may have in the store, counted apart for each of them.

A stranger must not use up what others have: each identity, each session and each client address
of the anonymous has a bucket of its own, and so has the application itself. A session counts
for its address, too: whoever sends no cookie is given a new session by every request.
"""

from __future__ import annotations

import ipaddress
import itertools
import threading
from typing import NamedTuple

from ..errors import TaskLimitError
from .options import TaskSettings
from .status import TaskStatus
from .store.facts import Usage

__all__ = ["Limits", "network_of"]


def network_of(address: str) -> str:
    """What of a client's address is one submitter: for IPv6 the /64, of which each has all."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"  # a Unix socket, or a proxy that names nobody
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((found, 64), strict=False))
    return str(found)


class _Taken(NamedTuple):
    """A job that is counted and not in the store yet."""

    buckets: list[str]
    size: int
    client: str


class Limits:
    """Counts the jobs and bytes in each bucket. Any thread may call it.

    Attributes:
        accepted: how many jobs were within the limits, by pool.
        rejected: how many were not, by pool.
    """

    def __init__(self, settings: TaskSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._used: dict[str, tuple[int, int]] = {}
        self._clients: dict[str, str] = {}
        self._taken: dict[str, list[_Taken]] = {}
        self.accepted: dict[str, int] = {}
        self.rejected: dict[str, int] = {}

    def load(self, usage: Usage) -> None:
        """Count what is in the store now, and what was taken and is on its way there."""
        with self._lock:
            self._used = {}
            self._clients = usage.clients
            for submitter, session, client, jobs, size in usage.jobs:
                for bucket in _buckets(submitter, session, client):
                    self._add(bucket, jobs, size)
            for taken in itertools.chain.from_iterable(self._taken.values()):
                for bucket in taken.buckets:
                    self._add(bucket, 1, taken.size)

    def take(self, status: TaskStatus, client: str = "") -> None:
        """Count a new job, of the anonymous ``client`` if that is not empty.

        ``settle`` has to be called for it when it is in the store, or will not be.

        Raises:
            TaskLimitError: that would be more than the settings allow; nothing was counted.
        """
        try:
            self._take(status, client)
        except TaskLimitError:
            self._count(self.rejected, status.pool)
            raise
        self._count(self.accepted, status.pool)

    def _count(self, counts: dict[str, int], pool: str) -> None:
        with self._lock:
            counts[pool] = counts.get(pool, 0) + 1

    def _take(self, status: TaskStatus, client: str) -> None:
        settings, size = self._settings, status.stored_bytes
        if size > settings.max_call_bytes:
            raise TaskLimitError(
                f"the arguments of {status.title} take {size} bytes, and max_call_bytes is "
                f"{int(settings.max_call_bytes)}. Store the data elsewhere and pass where it is"
            )
        taken = _Taken(_buckets(status.submitter, status.session, client), size, client)
        with self._lock:
            for bucket in taken.buckets:
                self._check(bucket, size, anonymous=bool(client))
            for bucket in taken.buckets:
                self._add(bucket, 1, size)
            self._taken.setdefault(status.task_id, []).append(taken)

    def settle(self, task_id: str, *, stored: bool) -> None:
        """Go on counting a job that was taken, because it is ``stored``; or stop counting it."""
        with self._lock:
            waiting = self._taken[task_id]
            taken = waiting.pop(0)  # with a key, several may have this id
            if not waiting:
                del self._taken[task_id]
            if not stored:
                for bucket in taken.buckets:
                    self._add(bucket, -1, -taken.size)
            elif taken.client:
                self._clients[task_id] = taken.client

    def _check(self, bucket: str, size: int, *, anonymous: bool) -> None:
        whose = "anonymous" if anonymous else "submitter"
        most_jobs = getattr(self._settings, f"max_jobs_per_{whose}")
        most_bytes = getattr(self._settings, f"max_bytes_per_{whose}")
        jobs, used = self._used.get(bucket, (0, 0))
        if jobs + 1 > most_jobs:
            raise TaskLimitError(
                f"{bucket} has {jobs} jobs in the store, and max_jobs_per_{whose} is {most_jobs}. "
                "Forget what is done, or keep results for a shorter time"
            )
        if used + size > most_bytes:
            raise TaskLimitError(
                f"{bucket} has {used} bytes in the store, and {size} more are above "
                f"max_bytes_per_{whose}, {int(most_bytes)}. Forget what is done, or keep results "
                "for a shorter time"
            )

    def give_back(self, status: TaskStatus) -> None:
        """Stop counting a job, which is no longer in the store."""
        with self._lock:
            client = self._clients.pop(status.task_id, "")
            for bucket in _buckets(status.submitter, status.session, client):
                self._add(bucket, -1, -status.stored_bytes)

    def resize(self, status: TaskStatus, before: int) -> None:
        """Count the bytes of a job that took ``before`` bytes until now."""
        with self._lock:
            client = self._clients.get(status.task_id, "")
            for bucket in _buckets(status.submitter, status.session, client):
                self._add(bucket, 0, status.stored_bytes - before)

    def _add(self, bucket: str, jobs: int, size: int) -> None:
        had_jobs, had_size = self._used.get(bucket, (0, 0))
        if had_jobs + jobs > 0:
            self._used[bucket] = had_jobs + jobs, had_size + size
        else:
            self._used.pop(bucket, None)


def _buckets(submitter: str, session: str, client: str) -> list[str]:
    """The buckets in which a job counts, by the names that messages give them."""
    if submitter:
        return [f"submitter {submitter!r}"]
    found = []
    if session:
        found.append(f"session {session[:16]}")
    if client:
        found.append(f"client {client}")
    return found or ["the application itself"]
