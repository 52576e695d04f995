# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Changes of long jobs, published at once to those who listen. Only the store keeps them.

The courier is genro-asgi's own ``EventHub``: the server's, where its tasks are enabled, so that
its other listeners (an MCP session's stream, for example) are told of long jobs, too. Every job
has a channel that is named after its id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from ..hosts.contract import HostServer
from ..hosts.names import event_hub_of
from .status import TaskStatus

__all__ = ["GONE", "Events"]

GONE = "gone"
"""The kind of event that says that another process has removed the job."""


class Events:
    """Publishes events of jobs on the hub of ``server``, and subscribes to them."""

    def __init__(self, server: HostServer) -> None:
        self.hub: Any = event_hub_of(server)

    def publish(self, kind: str, status: TaskStatus, couriers: Iterable[str] = ()) -> None:
        """Publish the new ``status`` of a job; ``kind`` is ``"state"``, ``"progress"`` or ``GONE``.

        ``couriers`` are further channels that are told of it, in the form of the host's own tasks.
        """
        self.hub.publish(status.task_id, {"type": kind, "status": status})
        if couriers:
            event = {"type": kind, "task_id": status.task_id, "data": status.as_dict()}
            for key in couriers:
                self.hub.publish(key, event)

    def subscribe(self, task_id: str) -> asyncio.Queue[Any]:
        """A queue of the job's events from now on, until ``unsubscribe`` is called with it."""
        queue: asyncio.Queue[Any] = self.hub.subscribe(task_id)
        return queue

    def unsubscribe(self, task_id: str, queue: asyncio.Queue[Any]) -> None:
        """Stop sending the job's events to ``queue``."""
        self.hub.unsubscribe(task_id, queue)
