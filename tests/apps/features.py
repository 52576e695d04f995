# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Applications that use what genro-asgi offers, each of its handlers in the pool ``p``.

``options`` configures a server with all of them. ``tests/offload/test_features.py`` asks for each
feature.
"""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from genro_routes import RoutingClass, route
from host import (
    WELL_KNOWN_ROOT,
    AsgiConfigBuilder,
    AsgiServer,
    BaseApplication,
    BaseMiddleware,
    HTTPException,
    HTTPForbidden,
    Redirect,
    Response,
    RoutedApplication,
    ServerApplication,
    SseStream,
    StreamingResponse,
)
from host import McpOpenApiApplication as ToolApplication

PASSWORD = "wonderland"


def shown(values: dict[str, Any]) -> dict[str, list[str]]:
    """Each value with its type: JSON would make a text of both."""
    return {name: [type(value).__name__, str(value)] for name, value in sorted(values.items())}


class Home(RoutedApplication):
    """The application at the root of the site."""

    mount = ""

    @route(executor="p")
    def index(self) -> dict[str, Any]:
        return {"application": self.code}

    @route(executor="p", task="nightly", task_every="1h")
    def nightly(self, a: int = 0, b: int = 0) -> int:
        return a + b


class Discovery(RoutingClass):
    @route(executor="p", name="oauth-protected-resource")
    def oauth_protected_resource(self) -> dict[str, Any]:
        return {"resource": "https://example.test/"}

    @route(executor="p", name="closed", auth_rule="admin")
    def closed(self) -> str:
        return "closed"


class Prices(RoutingClass):
    def __init__(self, factor: int = 2) -> None:
        self.factor = factor

    @route(executor="p")
    def price(self, amount: int = 1) -> int:
        return amount * self.factor

    @route(executor="p")
    async def price_async(self, amount: int = 1) -> int:
        return amount * self.factor


class Shop(RoutedApplication):
    def __init__(self, folder: str = "", **options: Any) -> None:
        super().__init__(**options)
        self.folder = folder
        self.started = ""
        self.prices = Prices(3)
        self.add_branches(
            [
                {"name": "prices", "instance": self.prices},
                {"name": WELL_KNOWN_ROOT, "instance": Discovery()},
            ]
        )

    async def on_startup(self) -> None:
        self.started = "on_startup was here"

    def route_cleanup(self) -> None:
        if self.folder:
            with Path(self.folder, f"cleaned-{self.code}").open("a") as file:
                file.write("x")

    # -- what a request brings --------------------------------------------------------------------

    @route(executor="p")
    def fields(self, **fields) -> dict[str, Any]:  # type: ignore[no-untyped-def] # or they are one
        return shown(fields)

    @route(executor="p")
    async def fields_async(self, **fields) -> dict[str, Any]:  # type: ignore[no-untyped-def] # as above
        return shown(fields)

    @route(executor="p")
    def path(self, *parts) -> list[str]:  # type: ignore[no-untyped-def] # as above
        return list(parts)

    @route(executor="p")
    def document(self, body_data: Any = None) -> list[str]:
        return [type(body_data).__name__, repr(body_data)]

    @route(executor="p")
    def order(self, name: str, price: Decimal = Decimal("1.50"), count: int = 1) -> list[str]:
        return [name, repr(price), repr(count)]

    @route(executor="p")
    def upload(self, title: str, document: Any) -> list[Any]:
        data = len(document.data)
        return [title, document.name, document.filename, document.content_type, data]

    @route(executor="p")
    def uploads(self, files: Any) -> list[Any]:
        return [[file.filename, file.data.decode()] for file in files]

    # -- what it is answered ----------------------------------------------------------------------

    @route(executor="p")
    def gives(self, kind: str) -> Any:
        return {
            "dict": {"a": [1, None]},
            "typed": {"d": datetime.date(2024, 2, 29), "p": Decimal("1.50")},
            "text": "\u20ac",
            "bytes": b"\x00\xff",
            "number": 7,
            "nothing": None,
            "file": Path(__file__).with_name("__init__.py"),
        }[kind]

    @route(executor="p", meta_media_type="text/html")
    def page(self) -> str:
        return "<h1>\u20ac</h1>"

    @route(executor="p")
    def wrapped(self) -> Any:
        return self.result_wrapper("a,b", media_type="text/csv")

    @route(executor="p")
    def streamed(self) -> Any:
        return StreamingResponse(_chunks(), status_code=206, headers={"x-a": "b"})

    @route(executor="p")
    def lines(self) -> Any:
        return StreamingResponse(Lines())

    @route(executor="p")
    async def events(self) -> Any:
        return SseStream(_events(), retry_ms=500).response()

    @route(executor="p")
    def fails(self, kind: str) -> None:
        raise {
            "own": LookupError("a secret text"),
            "value": ValueError("text"),
            "http": HTTPException(418, "teapot", [(b"x-pot", b"tea")]),
            "forbidden": HTTPForbidden("not you"),
            "redirect": Redirect("/elsewhere", 303),
        }[kind]

    # -- what it has of the host ------------------------------------------------------------------

    @route(executor="p")
    def started_as(self) -> list[str]:
        return [self.started, self.code, str(self.mount)]

    @route(executor="p")
    def parameter(self) -> list[Any]:
        return [self.config("parameters.title"), self.config("parameters.none", default="none")]

    @route(executor="p")
    def capable(self) -> list[str]:
        return sorted(self.capabilities)

    @route(executor="p")
    def asks_server(self, what: str) -> str:
        return type(getattr(self.server, what)).__name__

    @route(executor="p", auth_rule="admin")
    def secret(self) -> str:
        return "classified"

    @route(executor="p")
    async def batch(self, a: int = 0, b: int = 0) -> int:
        return a + b

    @route(executor="p")
    def failing_batch(self) -> None:
        raise LookupError("no batch")


class Strict(Shop):
    """Is configured to take raw bodies and to answer as FastAPI does."""

    @route(executor="p")
    def raw(self, body_raw: bytes = b"") -> list[str]:
        return [type(body_raw).__name__, body_raw.decode()]


class Calculator(ToolApplication):
    """Speaks REST, OpenAPI and MCP."""

    openapi_info = {"title": "Calculator", "version": "1"}

    @route(executor="p", openapi_method="post")
    def subtract(self, a: int, b: int = 0) -> dict[str, int]:
        """Subtract one number from another."""
        return {"result": a - b}

    @route(executor="p", channel_channels="mcp")
    def add(self, a: int = 0, b: int = 0) -> dict[str, int]:
        """Add two numbers."""
        return {"result": a + b}

    @route(executor="p", channel_channels="mcp")
    async def divide(self, a: int, b: int) -> float:
        return a / b


class Live(RoutedApplication):
    """Handlers that take the live request, which no process can have."""

    @route(executor="p")
    def request(self, _request, name: str = "") -> dict[str, Any]:  # type: ignore[no-untyped-def] # as genro-asgi asks for it
        avatar = _request.scope.get("auth")
        return {
            "method": _request.method,
            "header": _request.headers.get("x-asked"),
            "cookies": shown(_request.cookies),
            "path": _request.path,
            "who": avatar.identity if avatar else None,
            "name": name,
        }

    @route(executor="p")
    def cookie(self, _request) -> str:  # type: ignore[no-untyped-def] # as above
        _request.response.set_cookie("seen", "a b", max_age=60)
        _request.response.set_header("x-made", "here")
        return "set"

    @route(executor="p")
    def counts(self, _request) -> int:  # type: ignore[no-untyped-def] # as above
        data = _request.session.data
        data["visits"] = (data["visits"] or 0) + 1
        return int(data["visits"])

    @route(executor="p")
    def connects(self, _request) -> str:  # type: ignore[no-untyped-def] # as above
        return str(_request.db.name)


class Foreign(BaseApplication):
    """An ASGI application of another make, with a socket of its own."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await Response(f"foreign {scope['path']}")(scope, receive, send)

    async def serve_websocket(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": f"raw {scope['path']}"})
        await send({"type": "websocket.close", "code": 1000})


class Stamp(BaseMiddleware):
    """Writes a header of its own."""

    middleware_order = 250

    def __init__(self, app: Any, server: Any, text: str = "") -> None:
        super().__init__(app, server)
        self.text = text

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def stamped(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-stamp", self.text.encode())]
            await send(message)

        await self.app(scope, receive, stamped)


class Database:
    """Counts how often it was closed."""

    name = "the database"

    def __init__(self) -> None:
        self.closed = 0

    def closeConnection(self) -> None:
        self.closed += 1


class Lines:
    """A source of chunks that is no generator: nothing of it is left when nobody reads it."""

    def __init__(self) -> None:
        self.left = 2

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return b"line\n"


async def _chunks() -> AsyncIterator[bytes]:
    for part in (b"one ", b"two"):
        yield part


async def _events() -> AsyncIterator[dict[str, Any]]:
    yield {"data": "a", "id": 1}
    yield {"data": {"b": 2}, "event": "more"}


def options(folder: Path, *, live: bool) -> dict[str, Any]:
    """What a server is made with; ``live`` adds the handlers that take the live request."""

    class Site(AsgiConfigBuilder):
        def main(self, root: Any) -> None:
            cfg = root.configuration()
            cfg.server(max_threads=4)
            apps = cfg.applications()
            apps.application(code="home", app_class=Home)
            shop = apps.application(code="shop", app_class=Shop, folder=str(folder))
            shop.parameters(title="corner")
            strict = apps.application(code="strict", mount="raw", app_class=Strict)
            strict.request(body="raw", error_codes="fastapi")
            apps.application(code="calculator", app_class=Calculator)
            apps.application(code="foreign", app_class=Foreign)
            apps.application(code="_server", app_class=ServerApplication)
            if live:
                apps.application(code="live", app_class=Live)

    return {
        "config": Site,
        "auth": {
            "basic": {
                "alice": {"password": PASSWORD, "tags": "admin,SUPERADMIN"},
                "bob": {"password": PASSWORD, "tags": "guest"},
            },
            "bearer": {"service": {"token": "sk_live", "tags": "admin"}},
            "jwt": [{"secret": "a secret of thirty-two bytes or more", "algorithm": "HS256"}],
        },
        "middleware": {
            "cors": {"allow_origins": ["https://shop.test"], "allow_credentials": True},
            "logging": True,
            "stamp": {"text": "stamped"},
        },
        "middleware_registry": {"stamp": Stamp},
        "plugins": {"logging": {}},
        "storage": [{"name": "site", "protocol": "local", "base_path": str(folder)}],
        "tasks": {"tick_seconds": 5.0},
        "websocket": {"origins": ["https://shop.test"]},
    }


def stock(folder: Path) -> AsgiServer:
    """A server of genro-asgi's own, with all of it."""
    return AsgiServer(**options(folder, live=True))
