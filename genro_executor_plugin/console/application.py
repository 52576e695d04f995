# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``ExecutorConsole``, the application at ``/_executors/``: page, metrics, health, changes.

Mounted on an ``ExecutorServer`` it shows that server's pools. Mounted on a stock server, which
is an ``AsgiServer`` that genro-asgi has built without pools, it brings the pools along. It runs
no handler of another application, and no answer contains what a call was given.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from genro_routes import route

from ..errors import ExecutorConfigError
from ..executors.registry import ExecutorRegistry
from ..hosts.names import (
    ApplicationGrammar,
    AttachedApplication,
    HTTPBadRequest,
    HTTPException,
    HTTPNotFound,
    has_authentication,
    hide_origin,
    router_openapi,
)
from ..options.keywords import PoolDeclarations
from ..serving.grammar import PoolGrammar, mistakes_in, written_pools
from ..serving.mounted import bring_pools
from ..tasks.keywords import TaskSettingsKeywords
from ..tasks.options import TaskSettings
from .access import RULE, Access
from .changes import Changes
from .front import TAGS, Front
from .health import Health
from .history import History
from .job_pages import QUERY, JobPages
from .job_totals import KeptTotals
from .jobs import JobSection, shown_jobs
from .page_files import PARTS, page_file
from .past.kept import KeptHistory
from .processes import Processes
from .route_rows import RouteRows
from .snapshot import installed_version, snapshot_of
from .stacks import stacks_in
from .start import announce, say_that_it_is_open
from .token import ConsoleToken, declared_token
from .token_files import TokenFile, publish
from .updates import Updates

if TYPE_CHECKING:
    from ..hosts.names import Receive, Scope, Send

__all__ = ["ExecutorConsole"]

_CLOSEABLE = ("metrics", "health")


class ConsoleGrammar(PoolGrammar, ApplicationGrammar):
    """What a recipe may write below the console: ``pool(code=..., ...)``."""


class ExecutorConsole(AttachedApplication):
    """The console of a server's pools.

    It takes these constructor keywords, which are attributes of ``application(...)`` in a recipe:

    - ``executors``: pools, as for ``ExecutorServer``; a recipe writes ``pool(...)`` below.
    - ``long_tasks``: settings of long jobs, as for ``ExecutorServer``; used on a stock server.
    - ``tag``: the authorization tag that every route but an open one needs; by default
      ``"SERVER_ADMIN"``.
    - ``metrics``, ``health``: ``"open"`` (the default), or ``"closed"``: they need the tag, too.
    - ``token``: what a server without authentication asks for in the place of the tag; by
      default a random one. The server's log has the link that contains it.
    - ``open``: ``True``: everything is for everybody, without a token and authentication.
    - ``history``: the file of the history of 72 hours, or ``"off"``; by default one beside the
      long jobs.
    """

    code = "_executors"
    mount: str = "_executors"
    grammar: type = ConsoleGrammar

    def __init__(
        self,
        *,
        executors: PoolDeclarations | None = None,
        long_tasks: TaskSettingsKeywords | None = None,
        **kwargs: Any,
    ) -> None:
        self._task_settings = TaskSettings.declare(long_tasks or {})
        token = declared_token(kwargs.pop("token", None))
        self._token = ConsoleToken(token) if token is not None else None
        self._token_file: TokenFile | None = None
        self._announcing: asyncio.Task[None] | None = None
        self._kept = KeptHistory(kwargs.pop("history", None))
        names = ("tag", "metrics", "health", "open")
        self._access = Access(**{name: kwargs.pop(name) for name in names if name in kwargs})
        self._registry = ExecutorRegistry(executors)
        self._given = executors
        super().__init__(**kwargs)
        self._changes = Changes(self)
        self._history = History(self._registry)
        self._route_rows = RouteRows()
        self._updates = Updates(self)
        self._exposition: Any = None
        self._job_totals: Any = None
        self._processes: Processes | None = None
        self._health = Health(self)
        self._front = Front(self, self._access)
        self.route.add_branches({"name": "change", "instance": self._changes})
        self.route.add_branches({"name": "tasks", "instance": JobSection()})
        self.route.add_branches({"name": "jobs", "instance": JobPages(self)})
        for name in _CLOSEABLE:
            if getattr(self._access, name) == "closed":
                self.routing.configure(f"auth/{name}", rule=RULE)

    def attached(self, server: Any) -> None:
        """Take over the pools of ``server``, or give it those of this console.

        Raises:
            ExecutorConfigError: the recipe's pools have mistakes; the message has all of them.
        """
        existing = getattr(server, "executors", None)
        if isinstance(existing, ExecutorRegistry):
            existing.declare_all(self._given)
            self._registry = existing
            self._history = History(existing)
        else:
            bring_pools(server, self._registry, self._task_settings)
        self._declare_written_pools()

    def _declare_written_pools(self) -> None:
        handler = getattr(self.server, "config", None)
        node = handler.node(f"applications.{self.code}") if handler is not None else None
        pools = written_pools(node.value or ()) if node is not None else []
        mistakes = mistakes_in(pools, self._registry.kinds)
        if mistakes:
            raise ExecutorConfigError.of(mistakes)
        for pool in pools:
            self._registry.declare(pool.code, executor_type=pool.executor_type, **pool.options)

    # -- life ---------------------------------------------------------------------------------

    async def on_startup(self) -> None:  # type: ignore[override]
        """Begin to take samples of the pools, and say in the log who may use the console."""
        self._history.start()
        self._kept.start(self.server, self._registry, self._history, installed_version())
        hide_origin(self.server, self.mount)
        await self.processes.start()
        if self._access.open:
            say_that_it_is_open(self.mount)
        elif not has_authentication(self.server):
            declared = self._token.value if self._token is not None else None
            self._token_file = await asyncio.to_thread(publish, declared, self.processes.group)
            self._token = ConsoleToken(self._token_file.token)
            self._announcing = asyncio.create_task(announce(self.server, self.mount, self._token))

    async def on_shutdown(self) -> None:  # type: ignore[override]
        """Stop taking samples, and stop waiting for changes that are still under way."""
        self._history.stop()
        if self._announcing is not None:
            self._announcing.cancel()
            await asyncio.gather(self._announcing, return_exceptions=True)
        if self._token_file is not None:
            self._token_file.remove()
        await self.processes.stop()
        await self._changes.stop()
        await self._kept.stop()

    def note_change(self, what: str, who: str) -> None:
        """Remember in the history that somebody has changed something."""
        self._kept.note_change(what, who)

    @property
    def samples(self) -> History:
        """The samples of the pools of the last minutes."""
        return self._history

    @property
    def changes(self) -> Changes:
        """What was changed, and the section that changes it."""
        return self._changes

    @property
    def processes(self) -> Processes:
        """The processes that serve the same applications, this one among them."""
        if self._processes is None:
            self._processes = Processes(self.server)
        return self._processes

    @property
    def token(self) -> ConsoleToken:
        """What this console asks for where its server has no authentication."""
        if self._token is None:
            self._token = ConsoleToken()
        return self._token

    # -- what is answered ---------------------------------------------------------------------

    @route(media_type="text/html", auth_rule=RULE)
    async def index(self) -> str:
        """Return the page."""
        return page_file("index.html")

    @route(media_type="text/html", auth_rule=RULE)
    async def profile(self) -> str:
        """Return the page that makes profiles of routes."""
        return page_file("profile.html")

    @route(auth_rule=RULE)
    async def static(self, name: str) -> Any:
        """Return a file of the page."""
        if name not in PARTS:
            raise HTTPNotFound("There is no such file")
        return self.result_wrapper(page_file(name), media_type=PARTS[name])

    @route(auth_rule=RULE)
    async def snapshot(self) -> dict[str, Any]:
        """Return the state of pools, routes and long jobs, the last errors and last changes."""
        return {
            "long_jobs": await shown_jobs(self.server.long_tasks),
            **snapshot_of(self.server, self._history, self._route_rows),
            "changes": self._changes.latest_first,
            "processes": self.processes.shown(),
            "together": self.processes.together(),
            "history": self._kept.state,
        }

    @route(auth_rule=RULE)
    async def updates(self, _request=None) -> Any:  # type: ignore[no-untyped-def]
        """Return what the page shows, or what of that has changed ``since`` it last asked.

        ``open`` names a pool whose workers, options and history are wanted, ``new`` one of which
        everything is wanted; ``error`` an error whose traceback is.
        """
        body = await self._updates.asked(_request.scope[QUERY])
        return self.result_wrapper(body, media_type="application/json")

    @route(auth_rule=RULE)
    async def history(self, _request=None) -> dict[str, Any]:  # type: ignore[no-untyped-def]
        """Return what the pools, or one route, did in a range of time, and markers of events.

        The query names ``range`` (``15m``, ``1h``, ``6h``, ``24h``, ``72h``) or ``since`` and
        ``until``, and may name ``pool``, ``route`` and ``together``.
        """
        return await self._kept.answer(_request.scope[QUERY])

    @route(auth_rule=RULE)
    async def stacks(self, pid: str = "") -> dict[str, Any]:
        """Return where every running call is, or those that run in process ``pid``."""
        if pid and not (pid.isascii() and pid.isdecimal() and len(pid) < 10):
            raise HTTPNotFound("Ask for stacks, or for stacks/ and the number of a process")
        return await stacks_in(self._registry.used, int(pid) if pid else None)

    @route(media_type="text/plain")
    async def metrics(self, _request=None) -> Any:  # type: ignore[no-untyped-def]
        """Return the metrics for Prometheus, as text or as OpenMetrics."""
        if self._exposition is None or self._job_totals is None:
            try:
                from .prometheus import Exposition
            except ImportError as error:
                raise HTTPException(
                    501,
                    'Metrics need prometheus_client: install "genro-executor-plugin[prometheus]"',
                ) from error
            self._exposition = Exposition(self.processes.by_process)
            self._job_totals = KeptTotals(self.server.long_tasks)
        await self._job_totals.refresh()
        self._exposition.job_totals = self._job_totals.found
        body, content_type = self._exposition.scrape(str(_request.headers.get("accept", "")))
        return self.result_wrapper(body, media_type=content_type)

    @route()
    async def health(self, question: str = "ready", _request=None) -> Any:  # type: ignore[no-untyped-def]
        """Answer 200 while calls can be served, and 503 with what is not ready otherwise.

        ``health/live`` asks whether the server answers at all; ``health/ready`` is ``health``.
        """
        if question == "live":
            return self._health.live()
        if question != "ready":
            raise HTTPNotFound("Ask for health, health/live or health/ready")
        return await self._health.ready(reasons=RULE in _request.scope[TAGS])

    @route(auth_rule=RULE)
    async def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI 3.1 document of this application."""
        return {
            "openapi": "3.1.0",
            "info": {"title": "genro-executor-plugin console", "version": "1"},
            "servers": [{"url": f"/{self.mount}"}],
            **router_openapi(self.route, forbidden=True),
        }

    # -- genro-asgi's monitor -----------------------------------------------------------------

    @property
    def app_snapshot(self) -> dict[str, Any]:
        """What genro-asgi's monitor shows of this console: the metrics of every pool."""
        pools = {
            name: {**executor.metrics, "unhealthy": executor.unhealthy}
            for name, executor in sorted(self._registry.used.items())
        }
        return {**super().app_snapshot, "pools": pools}

    @property
    def app_panel(self) -> dict[str, Any]:
        """The panel of genro-asgi's monitor that shows ``app_snapshot``."""
        return {"panel": "executors"}

    @property
    def panel_source(self) -> str:
        """The source of the panel, an ES module."""
        return page_file("panel.js")

    # -- the wire -----------------------------------------------------------------------------

    def auth_filters(self, scope: Scope) -> dict[str, str]:
        """Return the tags that the auth plugin decides by; ``__call__`` has found them."""
        tags: list[str] = scope[TAGS]
        return {"auth_tags": ",".join(tags)} if tags else {}

    def spread_over_params(self, node: Any, data: dict[str, Any]) -> dict[str, Any]:
        """Return the fields of a JSON document as arguments, and refuse unknown ones.

        genro-asgi would drop them, and a misspelt option would silently change nothing.
        """
        known = {field["name"] for field in node.params.get("fields") or ()}
        for name in data:
            if name not in known or name.startswith("_"):
                raise HTTPBadRequest(f"There is no field {name!r} here")
        return data

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that is small, well-formed and allowed; refuse others with a reason."""
        await self._front.answer(super().__call__, scope, receive, send)
