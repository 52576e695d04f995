# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The other processes of the same server: what each says of its pools, added up here.

A request reaches any of them (``uvicorn --workers 2``, two servers behind nginx). Each writes its
figures beside its file in the folder of long jobs, every two seconds and only while there are
others, and reads theirs. No request waits for that.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import ExecutorError
from ..executors.registry import ExecutorRegistry
from ..tasks.store.folder import open_file
from ..tasks.store.members import Membership
from .figures import figures_of, summed
from .history import SAMPLE_SECONDS

__all__ = ["Processes"]

_logger = logging.getLogger("genro_executor_plugin")

_LARGEST_BYTES = 4_000_000

SILENT_SECONDS = 10.0
"""How old figures are of a process that was stopped, or whose event loop does not turn."""

_FORMAT = 2
"""Of the figures. While a server is updated, another process may have another version."""


class Processes:
    """The processes that serve the applications of ``server``, this one among them.

    Attributes:
        others: the last figures of each other process, in the order of their start.
    """

    def __init__(self, server: Any) -> None:
        self._server = server
        self._running: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._said = ""
        self.others: list[dict[str, Any]] = []

    @property
    def _registry(self) -> ExecutorRegistry:
        registry: ExecutorRegistry = self._server.executors
        return registry

    @property
    def group(self) -> str:
        """What these processes have in common, empty where there is no place for a store."""
        membership: Membership | None = self._server.long_tasks.membership
        return "" if membership is None else f"{membership.path.parent}:{membership.serves}"

    async def start(self) -> None:
        """Become one of them, and go on to publish and to read."""
        membership: Membership | None = self._server.long_tasks.membership
        if membership is None:
            return
        try:
            await asyncio.to_thread(membership.join)
        except (ExecutorError, OSError) as error:
            _logger.info("other processes of this server are not seen: %s", error)
            return
        self._go_on(membership)

    async def stop(self) -> None:
        """Publish no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self._running is not None:
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    def _go_on(self, membership: Membership) -> None:
        self._running = asyncio.create_task(self._once(membership))

    async def _once(self, membership: Membership) -> None:
        try:
            await self.exchange(membership)
            self._said = ""
        except (ExecutorError, OSError) as error:
            if str(error) != self._said:
                self._said = str(error)
                _logger.warning("figures of other processes are not exchanged: %s", error)
        # A timer, and no task that waits: after a start that fails nobody stops this.
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(SAMPLE_SECONDS, self._go_on, membership)

    async def exchange(self, membership: Membership) -> None:
        """Publish the figures of this process, and read those of the others."""
        found = await asyncio.to_thread(membership.others)
        files = [
            membership.path.with_name(f"{member.name}.json")
            for member in found
            if member.serves == membership.serves
        ]
        if not files:
            self.others = []
            return
        text = json.dumps(self.own()).encode()
        await asyncio.to_thread(_write, Path(f"{membership.path}.json"), text)
        self.others = await asyncio.to_thread(_read_all, files)

    def own(self) -> dict[str, Any]:
        """The figures of this process as they are now."""
        unhealthy = self._registry.unhealthy
        membership: Membership | None = self._server.long_tasks.membership
        return {
            "format": _FORMAT,
            "name": (membership.name if membership is not None else "") or str(os.getpid()),
            "pid": os.getpid(),
            "at": round(time.time(), 3),
            "healthy": not unhealthy,
            "unhealthy": unhealthy,
            "pools": figures_of(self._registry.used),
            "jobs": {
                "accepted": dict(self._server.long_tasks.limits.accepted),
                "rejected": dict(self._server.long_tasks.limits.rejected),
            },
        }

    def shown(self) -> list[dict[str, Any]]:
        """Every process, this one first, with its health and the sums of its pools."""
        found = [self.own(), *self.others]
        return [
            {
                **{name: process[name] for name in ("name", "pid", "at", "healthy", "unhealthy")},
                "this": number == 0,
                "pools": summed([process]),
            }
            for number, process in enumerate(found)
        ]

    def together(self) -> list[dict[str, Any]]:
        """The pools of all processes added up."""
        return summed([self.own(), *self.others])

    def by_process(self) -> list[tuple[str | None, dict[str, Any]]]:
        """The figures of every process, each with its pid if there are several.

        Containers that share a folder may have the same pids: these have longer names.
        """
        found = [self.own(), *self.others]
        if len(found) == 1:
            return [(None, found[0])]
        pids = Counter(process["pid"] for process in found)
        return [(str(one["pid"]) if pids[one["pid"]] == 1 else one["name"], one) for one in found]


def _write(path: Path, text: bytes) -> None:
    draft = path.with_name(f".{path.name}")
    descriptor = open_file(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with open(descriptor, "wb") as file:
        file.write(text)
    draft.rename(path)  # nobody reads half of it


def _read_all(files: Iterable[Path]) -> list[dict[str, Any]]:
    found = []
    for path in files:
        # It may have just started, or be about to end.
        with (
            suppress(FileNotFoundError, ValueError),
            open(open_file(path, os.O_RDONLY), "rb") as file,
        ):
            figures = json.loads(file.read(_LARGEST_BYTES))
            if isinstance(figures, dict) and figures.get("format") == _FORMAT:
                found.append(_aged(figures))
    return found


def _aged(figures: dict[str, Any]) -> dict[str, Any]:
    """``figures`` as they are, or as those of a process that says nothing any more."""
    age = time.time() - figures["at"]
    if age <= SILENT_SECONDS:
        return figures
    why = {"the process": f"nothing was heard of it for {age:.0f} s"}
    return {**figures, "healthy": False, "unhealthy": why}
