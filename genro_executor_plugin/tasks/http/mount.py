# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""The URLs below which a server answers for its long jobs.

The sections of long jobs that applications have mounted themselves are guarded here, too: what a
request may say is decided before genro-asgi reads it.

A server that has long jobs (``ExecutorServer``), or is given them (a stock ``AsgiServer`` by the
console), asks ``TaskMount`` first about every request.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ...hosts.contract import HostServer
from ...hosts.names import identify
from ...routing.tree import routes_of
from ..service import LongTasks
from .accepted import MOUNT
from .guard import guarded_section
from .routes import TaskApplication, TaskSection

if TYPE_CHECKING:
    from ...hosts.names import Receive, Scope, Send

__all__ = ["MOUNT", "TaskMount"]


class _Guarded:
    """An application whose section of long jobs, ``steps`` segments below, is asked."""

    __slots__ = ("_application", "_steps")

    def __init__(self, application: Any, steps: int) -> None:
        self._application = application
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._application, name)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await identify(self._application.server, scope)  # not all headers reach the routes
        narrowed, receive = guarded_section(scope, receive, self._steps)
        await self._application(narrowed, receive, send)


class TaskMount:
    """Finds the application that answers below ``/_tasks`` of ``server``, once it has jobs.

    Attributes:
        sections: where applications have sections of long jobs of their own, by their codes.
    """

    def __init__(self, server: HostServer, long_tasks: LongTasks) -> None:
        self._server = server
        self._long_tasks = long_tasks
        self._application: TaskApplication | None = None
        self.sections: dict[str, list[str]] = {}

    def guard_sections(self) -> None:
        """Note where the applications of the server have sections of long jobs."""
        sections: dict[str, set[str]] = {}
        for found in routes_of(self._server):
            if issubclass(found.owner, TaskSection) and not found.owner.guarded:
                code, _, path = found.path.rpartition("/")[0].partition("/")
                sections.setdefault(code, set()).add(path)
        self.sections = {code: sorted(paths) for code, paths in sections.items()}

    def guarded(self, application: Any, scope: Scope) -> tuple[Any, Scope]:
        """Return what answers ``scope``, guarded if it is about the jobs of ``application``."""
        asked = f"{scope['path'].strip('/')}/"
        for path in self.sections.get(getattr(application, "code", ""), ()):
            if asked.startswith(f"{path}/"):
                return _Guarded(application, path.count("/") + 1), scope
        return application, scope

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
