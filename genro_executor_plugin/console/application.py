# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""``ExecutorConsole``, the application at ``/_executors/``: page, metrics, health, changes.

Mounted on an ``ExecutorServer`` it shows that server's pools. Mounted on a stock server, which
is an ``AsgiServer`` that genro-asgi has built without pools, it brings the pools along. It runs
no handler of another application, and no answer contains what a call was given.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING, Any

from genro_routes import route

from ..errors import ExecutorConfigError, ExecutorError
from ..executors.registry import ExecutorRegistry
from ..hosts.names import (
    ApplicationGrammar,
    AttachedApplication,
    HTTPBadRequest,
    HTTPException,
    HTTPNotFound,
    HTTPUnauthorized,
    asker_of,
    router_openapi,
)
from ..serving.grammar import PoolGrammar, mistakes_in, written_pools
from ..serving.mounted import bring_pools
from ..tasks.http.routes import TaskSection
from ..tasks.options import TaskSettings
from .access import (
    RULE,
    Access,
    check_change,
    limited,
)
from .changes import Changes
from .history import History
from .jobs import (
    JOB_CHANGES,
    is_about_jobs,
    narrowed_query,
    shown_jobs,
)
from .snapshot import snapshot_of

if TYPE_CHECKING:
    from ..hosts.names import Message, Receive, Scope, Send

__all__ = ["ExecutorConsole"]

_RESOURCES = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "jobs.js": "text/javascript",
    "plots.js": "text/javascript",
    "view.js": "text/javascript",
}
"""The files of the page and their media types. No other file is ever served."""

_OPEN_ROUTES = ("metrics", "health")

_WITH_A_NAME = ("static", "change")
"""Routes whose path has one more segment. The path of any other route is its name alone."""

_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        b"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)

_KEPT_HEADERS = (b"accept", b"content-type", b"content-length", b"host")
"""The request headers that routes are given. The console needs no others."""


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
    - ``without_authentication``: who is answered by a server that has no authentication:
      ``"loopback"`` (clients on the same machine, the default), ``"metrics"`` (everybody may
      also read metrics and health) or ``"everyone"``.
    """

    code = "_executors"
    mount = "_executors"
    grammar: type = ConsoleGrammar

    def __init__(self, **kwargs: Any) -> None:
        executors = kwargs.pop("executors", None)
        self._task_settings = TaskSettings.declare(kwargs.pop("long_tasks", None) or {})
        names = ("tag", "metrics", "health", "without_authentication")
        self._access = Access(**{name: kwargs.pop(name) for name in names if name in kwargs})
        self._registry = ExecutorRegistry(executors)
        self._given = executors
        super().__init__(**kwargs)
        self._changes = Changes(self)
        self._history = History(self._registry)
        self._exposition: Any = None
        self.route.add_branches({"name": "change", "instance": self._changes})
        self.route.add_branches({"name": "tasks", "instance": TaskSection()})
        for name in _OPEN_ROUTES:
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
        """Begin to take samples of the pools."""
        self._history.start()

    async def on_shutdown(self) -> None:  # type: ignore[override]
        """Stop taking samples, and stop waiting for changes that are still under way."""
        self._history.stop()
        await self._changes.stop()

    # -- what is answered ---------------------------------------------------------------------

    @route(media_type="text/html", auth_rule=RULE)
    async def index(self) -> str:
        """Return the page."""
        return _resource("index.html")

    @route(auth_rule=RULE)
    async def static(self, name: str) -> Any:
        """Return a file of the page."""
        if name not in _RESOURCES:
            raise HTTPNotFound("There is no such file")
        return self.result_wrapper(_resource(name), media_type=_RESOURCES[name])

    @route(auth_rule=RULE)
    async def snapshot(self) -> dict[str, Any]:
        """Return the state of pools, routes and long jobs, the last errors and last changes."""
        return {
            "long_jobs": await shown_jobs(self.server.long_tasks),
            **snapshot_of(self.server, self._history),
            "changes": self._changes.latest_first,
        }

    @route(media_type="text/plain")
    async def metrics(self, _request=None) -> Any:  # type: ignore[no-untyped-def]
        """Return the metrics for Prometheus, as text or as OpenMetrics."""
        if self._exposition is None:
            try:
                from .prometheus import Exposition
            except ImportError as error:
                raise HTTPException(
                    501,
                    'Metrics need prometheus_client: install "genro-executor-plugin[prometheus]"',
                ) from error
            self._exposition = Exposition(self._registry)
        body, content_type = self._exposition.scrape(str(_request.headers.get("accept", "")))
        return self.result_wrapper(body, media_type=content_type)

    @route()
    async def health(self) -> dict[str, Any]:
        """Answer 200 while every pool can serve, and 503 with the reasons otherwise."""
        unhealthy = self._registry.unhealthy
        if unhealthy:
            reasons = "; ".join(f"pool {name}: {why}" for name, why in unhealthy.items())
            raise HTTPException(503, reasons, [(b"retry-after", b"1")])
        return {"healthy": True}

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
        return _resource("panel.js")

    # -- the wire -----------------------------------------------------------------------------

    def auth_filters(self, scope: Scope) -> dict[str, str]:
        """Return the tags that the auth plugin decides by; ``__call__`` has found them."""
        tags: list[str] = scope["genro_executor_tags"]
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
        path = scope["path"].strip("/")
        try:
            first, *more = path.split("/")
            is_task = is_about_jobs([first, *more])
            is_change = first == "change" or (is_task and bool(more) and more[0] in JOB_CHANGES)
            _check_method(scope["method"], is_change)
            # genro-routes takes what is left of a path for arguments, also for injected ones.
            if not is_task and len(more) != (1 if first in _WITH_A_NAME else 0):
                raise HTTPNotFound("There is nothing here")
            if is_task and not self.server.long_tasks.in_use:
                raise HTTPNotFound("There is nothing here")
            # Submitters may see their own jobs without the tag: the section decides by job.
            tags = (
                []
                if is_task
                else self._access.tags_of(scope, self.server, open_route=path in _OPEN_ROUTES)
            )
            if is_change:
                check_change(scope, self.server)
            if not path and not scope.get("raw_path", b"/").endswith(b"/"):
                raise HTTPException(307, "", [(b"location", f"{self.mount}/".encode())])
            narrowed = {
                **scope,
                "genro_executor_tags": tags,
                "query_string": narrowed_query(scope["query_string"]) if is_task else b"",
                "headers": [pair for pair in scope["headers"] if pair[0] in _KEPT_HEADERS],
            }
            await super().__call__(narrowed, limited(scope, receive), _secured(send))
        except ExecutorError:
            raise
        except HTTPException as error:
            raise self._speakable(error, scope) from error

    def _speakable(self, error: HTTPException, scope: Scope) -> HTTPException:
        """Return ``error`` with the console's headers, and with a text that can be sent."""
        detail = (error.detail or str(error)).encode("utf-8", "replace").decode()
        headers = [*error.headers, *_HEADERS]
        if isinstance(error, HTTPUnauthorized) and asker_of(scope).identity is None:
            detail = "The console needs an identity with the right tag"
            # A browser asks for a name and a password, and this page then works with them.
            headers.append((b"www-authenticate", b'Basic realm="executors", charset="UTF-8"'))
        return HTTPException(error.status, detail[:2000], headers)


def _check_method(method: str, is_change: bool) -> None:
    allowed = ("POST",) if is_change else ("GET", "HEAD")
    if method not in allowed:
        allow = ", ".join(allowed)
        raise HTTPException(
            405, f"The method here is {allow}, not {method}", [(b"allow", allow.encode())]
        )


def _secured(send: Send) -> Send:
    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": [*message["headers"], *_HEADERS]}
        await send(message)

    return secured


def _resource(name: str) -> str:
    return files(__package__).joinpath("resources", name).read_text(encoding="utf-8")
