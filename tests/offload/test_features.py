# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What genro-asgi offers is the same with the plugin, wherever handlers run, or it is refused.

Each feature is asked of a stock server and of one server for each way. No difference is silent: a
refusal names what is refused, at the start or in the log.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import re
import uuid
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from apps.features import PASSWORD, Database, options
from genro_tytx import to_tytx
from host import AsgiServer, Avatar, WsxEnvelope, new_descriptor
from servers import Site, boot_message, serving, until_answered
from websockets.asyncio.client import connect

from genro_executor_plugin import ExecutorServer

WAYS: dict[str, dict[str, Any]] = {
    "disabled": {"max_workers": 1},
    "bypass": {"max_workers": 1, "bypass": True},
    "thread": {"executor_type": "thread", "max_workers": 2},
    "process": {"max_workers": 1},
}

LIVE = ("thread", "stock")
"""Where handlers may take the live request."""

Ask = Callable[[Site], Awaitable[Any]]


# -- how a feature is asked for -------------------------------------------------------------------


def http(method: str, url: str, **request: Any) -> Ask:
    """What can be seen of the answer to one request."""

    async def ask(site: Site) -> Any:
        return seen(await site.client.request(method, url, **request))

    return ask


_SESSION = re.compile("session_id=[^;]+")
_MOMENT = re.compile(rb'"\w+_(ts|at)":[^,}]+')


def seen(answer: httpx.Response) -> Any:
    """What can be seen of an answer, but for what the server draws and when that was."""
    headers = ((n, _SESSION.sub("session_id=", v)) for n, v in answer.headers.multi_items())
    shown = sorted(h for h in headers if h[0] not in ("date", "content-length"))
    return (answer.status_code, shown, _MOMENT.sub(b"", answer.content))


def get(url: str, **request: Any) -> Ask:
    return http("GET", url, **request)


def post(url: str, **request: Any) -> Ask:
    return http("POST", url, **request)


def basic(user: str, password: str = PASSWORD) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


def of_type(media_type: str) -> dict[str, str]:
    return {"content-type": media_type}


def tool(method: str, **params: Any) -> Ask:
    """One message of MCP."""
    message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return post("/calculator/mcp", json=message)


def message(path: str, data: Any = None) -> Ask:
    """One message over a WebSocket."""

    async def ask(site: Site) -> Any:
        url = str(site.client.base_url).replace("http", "ws")
        async with connect(url, proxy=None) as socket:
            await socket.send(WsxEnvelope(id="1", path=path, data=data).encode())
            reply = WsxEnvelope(str(await socket.recv()))
            return reply.id, reply.status, reply.data

    return ask


async def raw_socket(site: Site) -> Any:
    url = str(site.client.base_url).replace("http", "ws")
    async with connect(f"{url}/foreign/x", proxy=None) as socket:
        return await socket.recv()


async def foreign_origin(site: Site) -> Any:
    url = str(site.client.base_url).replace("http", "ws")
    try:
        async with connect(url, origin="https://evil.test", proxy=None):  # type: ignore[arg-type]
            return "connected"
    except Exception as error:
        return str(error)


async def batch_tasks(site: Site) -> Any:
    """How batch tasks end that were submitted at the same time."""
    spool = site.server.tasks.spool
    submitted = []
    for mount, path, params in BATCH_TASKS:
        submitted.append(uuid.uuid4().hex)
        spool.create(new_descriptor(submitted[-1], "ann", mount, path), params)

    async def ended() -> Any:
        found = [spool.get(task_id) for task_id in submitted]
        over = ("terminated", "aborted")
        # There is none while the host moves its folder.
        return found if all(one is not None and one["status"] in over for one in found) else None

    return [
        (found["status"], found.get("error"), spool.read_result(found["task_id"]))
        for found in await until_answered(ended, 0.02)
    ]


BATCH_TASKS: tuple[tuple[str, str, dict[str, int]], ...] = (
    ("", "nightly", {"a": 1, "b": 2}),
    ("shop", "batch", {"a": 1, "b": 2}),
    ("shop", "failing_batch", {}),
    ("shop", "unknown", {}),
)
"""A function, a coroutine, one that fails, and one that there is not."""


async def scheduled(site: Site) -> Any:
    scheduler = site.server.tasks.scheduler
    found = scheduler.scan()["nightly"]
    result = found["callable"](a=1)
    return found["metadata"]["task_every"], await result if asyncio.iscoroutine(result) else result


async def session(site: Site) -> Any:
    """The cookie comes once, and the identity of a login goes with it."""
    first = await site.get("/shop/page")
    kept = site.server.session_store.get(site.client.cookies["session_id"])
    kept.attach_avatar(Avatar("ann", tags=["admin"]))
    return seen(first), seen(await site.get("/shop/secret"))


async def visits(site: Site) -> Any:
    return [seen(await site.get("/live/counts"))[2] for _ in range(3)]


async def database(site: Site) -> Any:
    answer = await site.get("/live/connects")
    return answer.text, site.server.databases["default"].closed


FEATURES: dict[str, Ask] = {
    # -- applications
    "the application at the root": get("/index"),
    "a mount": get("/shop/started_as"),
    "a class that is mounted twice": get("/raw/started_as"),
    "an application of another make": get("/foreign/a/b"),
    "an unknown path": get("/shop/unknown"),
    "a hidden path": get("/.env"),
    "a well-known document": get("/.well-known/oauth-protected-resource"),
    "a well-known document with a rule": get("/.well-known/closed"),
    "a section": get("/shop/prices/price?amount=2"),
    "a coroutine of a section": get("/shop/prices/price_async?amount=2"),
    "parts of a path": get("/shop/path/a/b%20c/1"),
    "options of the application": get("/shop/parameter"),
    "capabilities": get("/shop/capable"),
    # -- requests
    "a query with types": get("/shop/fields?n=2::L&d=2024-02-29::D&p=1.50::N&t=1"),
    "a query that repeats a name": get("/shop/fields_async?a=1&a=2&b="),
    "a missing argument": get("/shop/order"),
    "a wrong value": get("/shop/order?name=tea&count=many"),
    "a wrong value, as FastAPI answers": get("/raw/order?name=tea&count=many"),
    "an unknown argument": get("/shop/order?name=tea&stranger=1"),
    "JSON, spread over parameters": post("/shop/order", json={"name": "t", "price": "2.5::N"}),
    "JSON, whole": post("/shop/document", json={"a": [1, {"b": None}]}),
    "JSON that is broken": post(
        "/shop/document", content=b"{", headers=of_type("application/json")
    ),
    "XML": post(
        "/shop/document",
        content=str(to_tytx({"a": 1}, "xml")).encode(),
        headers=of_type("application/xml"),
    ),
    "msgpack": post(
        "/shop/document",
        content=to_tytx({"a": 1}, "msgpack"),
        headers=of_type("application/msgpack"),
    ),
    "TYTX, there and back": get("/shop/gives?kind=typed", headers={"x-tytx-transport": "json"}),
    "TYTX, as XML": get("/shop/gives?kind=typed", headers={"x-tytx-transport": "xml"}),
    "a form": post("/shop/order", data={"name": "tea", "count": "3"}),
    "a form with a file": post(
        "/shop/upload", data={"title": "T"}, files={"document": ("a.txt", b"text", "text/plain")}
    ),
    "a form with several files": post(
        "/shop/uploads", files=[("files", ("a", b"1")), ("files", ("b", b"2"))]
    ),
    "a form that is broken": post(
        "/shop/upload", content=b"x", headers=of_type("multipart/form-data; boundary=b")
    ),
    "a body of an unknown type": post(
        "/shop/document", content=b"x", headers=of_type("application/x-none")
    ),
    "a raw body": post("/raw/raw", content=b"abc", headers=of_type("application/x-none")),
    "an empty body": post("/shop/document"),
    "other methods": http("DELETE", "/shop/started_as"),
    "HEAD": http("HEAD", "/shop/started_as"),
    # -- answers
    **{
        f"an answer: {kind}": get(f"/shop/gives?kind={kind}")
        for kind in ("dict", "typed", "text", "bytes", "number", "nothing", "file")
    },
    "a page": get("/shop/page"),
    "a result with a type of its own": get("/shop/wrapped"),
    "a streaming response": get("/shop/streamed"),
    "server-sent events": get("/shop/events"),
    **{
        f"an error: {kind}, as {accept}": get(
            f"/shop/fails?kind={kind}", headers={"accept": accept}
        )
        for kind in ("own", "value", "http", "forbidden", "redirect")
        for accept in ("text/html", "application/json")
    },
    # -- who asks
    "a route with a rule": get("/shop/secret"),
    "a user with the tag": get("/shop/secret", headers=basic("alice")),
    "a user without the tag": get("/shop/secret", headers=basic("bob")),
    "a wrong password": get("/shop/secret", headers=basic("alice", "wrong")),
    "a token": get("/shop/secret", headers=bearer("sk_live")),
    "a JWT": get(
        "/shop/secret",
        headers=bearer(
            jwt.encode(
                {"sub": "eve", "tags": ["admin"]}, "a secret of thirty-two bytes or more", "HS256"
            )
        ),
    ),
    "a session": session,
    "the login page's methods": get("/_server/login_methods"),
    "a login that fails": post("/_server/login", json={"identity": "a", "password": "b"}),
    # -- middleware and plugins
    "CORS, asked before": http(
        "OPTIONS",
        "/shop/page",
        headers={"origin": "https://shop.test", "access-control-request-method": "GET"},
    ),
    "CORS": get("/shop/page", headers={"origin": "https://shop.test"}),
    "CORS, a foreign site": get("/shop/page", headers={"origin": "https://evil.test"}),
    # -- descriptions
    "a schema": get("/calculator/_meta/schema_json"),
    "documentation": get("/calculator/_meta/docs"),
    "a route that a schema describes": post("/calculator/subtract", json={"a": 1, "b": 2}),
    # -- MCP
    "MCP: begin": tool("initialize", protocolVersion="2025-11-25", capabilities={}),
    "MCP: tools": tool("tools/list"),
    "MCP: a call": tool("tools/call", name="add", arguments={"a": 1, "b": 2}),
    "MCP: a call of a coroutine": tool("tools/call", name="divide", arguments={"a": 1, "b": 2}),
    "MCP: wrong arguments": tool("tools/call", name="divide", arguments={"a": "x"}),
    "MCP: a call that fails": tool("tools/call", name="divide", arguments={"a": 1, "b": 0}),
    # -- WebSockets
    "a WebSocket: a call": message("/shop/order", {"name": "tea", "count": 2}),
    "a WebSocket: a coroutine": message("/shop/prices/price_async", {"amount": 2}),
    "a WebSocket: wrong arguments": message("/shop/order", {}),
    "a WebSocket: an error": message("/shop/fails", {"kind": "http"}),
    "a WebSocket: an unknown path": message("/shop/unknown"),
    "a WebSocket: a stream is refused": message("/shop/lines"),
    "a WebSocket: ping": message("/_wsx/ping"),
    "a WebSocket: a foreign site": foreign_origin,
    "a WebSocket of the application's own": raw_socket,
    # -- batch tasks
    "batch tasks": batch_tasks,
    "a schedule": scheduled,
    "the administration of tasks": get("/_server/tasks/list", headers=basic("alice")),
}

LIVE_FEATURES: dict[str, Ask] = {
    "the live request": get(
        "/live/request?name=x", headers={"x-asked": "1", "cookie": "a=1", **basic("bob")}
    ),
    "a cookie": get("/live/cookie"),
    "the session's data": visits,
    "a database of the request": database,
}

REFUSED = {f"the server's {what}": what for what in ("storage", "tasks", "session_store", "pool")}
"""What handlers have of their server, and a worker cannot have."""


# -- the tests ------------------------------------------------------------------------------------


def made(way: str, folder: Path) -> Any:
    own = folder / way
    own.mkdir()
    given = options(own, live=way in LIVE)
    if way == "stock":
        server: Any = AsgiServer(**given)
    else:
        server = ExecutorServer(executors={"p": WAYS[way]}, **given)
    server.add_database("default", Database())
    return server


@pytest.mark.timeout(300)  # some 90 features of five servers
async def test_features_of_the_host_are_the_same_everywhere(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    different: list[str] = []
    async with AsyncExitStack() as stack:
        sites = {
            way: await stack.enter_async_context(
                serving(server=made(way, tmp_path), ws="websockets-sansio")
            )
            for way in ("stock", *WAYS)
        }
        for code in ("home", "shop", "strict", "calculator"):
            sites["disabled"].app(code).routing.configure("executor/_all_", disabled=True)
        for name, ask in {**FEATURES, **LIVE_FEATURES}.items():
            asked = {w: s for w, s in sites.items() if name in FEATURES or w in LIVE}
            for site in asked.values():
                site.client.cookies.clear()
            answers = dict(zip(asked, await asyncio.gather(*map(ask, asked.values())), strict=True))
            expected = repr(answers.pop("stock"))
            different += [
                f"{name}, {way}:\n  {found!r}\n  stock {expected}"
                for way, found in answers.items()
                if repr(found) != expected
            ]
        for name, what in REFUSED.items():
            expected = (await sites["stock"].get(f"/shop/asks_server?what={what}")).text
            for way in WAYS:
                caplog.clear()
                found = await sites[way].get(f"/shop/asks_server?what={what}")
                said = " ".join(
                    r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR
                )
                if way in ("disabled", "thread"):
                    ok = found.text == expected
                else:
                    ok = found.status_code == 500 and "the server is not in the worker" in said
                if not ok:
                    different.append(f"{name}, {way}: {found.text[:200]} {said[:300]}")
        cleaned = {way: (tmp_path / way / "cleaned-shop").stat().st_size for way in sites}
        assert sites["process"].server.get_executor("p").metrics["submitted"] > 50
        assert sites["process"].server.get_executor("p").metrics["restarts"] == 0
    assert not different, "\n".join(different)
    # Only a stock server cleans up behind calls whose arguments did not fit, which never ran.
    assert cleaned.pop("stock") >= max(cleaned.values())
    assert len(set(cleaned.values())) == 1, cleaned


async def test_a_handler_that_takes_the_live_request_is_refused_where_it_cannot_have_it(
    tmp_path: Path,
) -> None:
    for way in ("process", "bypass"):
        folder = tmp_path / way
        folder.mkdir()
        server = ExecutorServer(
            executors={"p": WAYS[way]}, **options(folder, live=True) | {"tasks": False}
        )
        said = await boot_message(server)
        assert said["type"] == "lifespan.startup.failed"
        assert "live/request" in said["message"]
        assert "takes the live _request" in said["message"]
