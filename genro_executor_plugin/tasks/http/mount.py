# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The URLs below which a server answers for its long jobs.

A server that has long jobs (``ExecutorServer``), or is given them (a stock ``AsgiServer`` by the
console), asks ``TaskMount`` first about every request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...hosts.contract import HostServer
from ..service import LongTasks
from .accepted import MOUNT
from .routes import TaskApplication

if TYPE_CHECKING:
    from ...hosts.names import Scope

__all__ = ["MOUNT", "TaskMount"]


class TaskMount:
    """Finds the application that answers below ``/_tasks`` of ``server``, once it has jobs."""

    def __init__(self, server: HostServer, long_tasks: LongTasks) -> None:
        self._server = server
        self._long_tasks = long_tasks
        self._application: TaskApplication | None = None

    def find(self, scope: Scope) -> tuple[TaskApplication, Scope] | None:
        """Return what answers the HTTP ``scope``, and the scope for it; ``None`` for others.

        An application of the server that is mounted there takes precedence.
        """
        segment, _, rest = scope["path"].lstrip("/").partition("/")
        if segment != MOUNT or self._server.application_at(MOUNT) is not None:
            return None
        if not self._long_tasks.in_use:
            return None
        if self._application is None:
            application: Any = TaskApplication(code=MOUNT, mount=MOUNT)
            application.server = self._server
            self._application = application
        return self._application, {**scope, "path": f"/{rest}"}
