# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What happens to long jobs, told at once to who listens; the store is what remains.

The courier is genro-asgi's own ``EventHub``: the server's, where its tasks are enabled, so that
what listens there (an MCP session's stream, say) hears of long jobs, too. Every job has a
channel of its own name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from ..hosts.names import EventHub
from .status import TaskStatus

__all__ = ["Events"]


class Events:
    """Publishes on the hub of ``server``."""

    def __init__(self, server: Any) -> None:
        self.hub: EventHub = (
            server.tasks.hub if getattr(server, "tasks_enabled", False) else EventHub()
        )

    def publish(self, kind: str, status: TaskStatus, couriers: Iterable[str] = ()) -> None:
        """Tell that ``status`` is news; ``kind`` is ``"state"`` or ``"progress"``."""
        self.hub.publish(status.task_id, {"type": kind, "status": status})
        if couriers:
            event = {"type": kind, "task_id": status.task_id, "data": status.as_dict()}
            for key in couriers:
                self.hub.publish(key, event)

    def subscribe(self, task_id: str) -> asyncio.Queue[Any]:
        """What happens to the job from now on. It must be unsubscribed."""
        return self.hub.subscribe(task_id)

    def unsubscribe(self, task_id: str, queue: asyncio.Queue[Any]) -> None:
        """No more, please."""
        self.hub.unsubscribe(task_id, queue)
