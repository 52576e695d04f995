# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Where a handler runs cannot be told from its answer: byte for byte, good requests and bad."""

from __future__ import annotations

import os
import random
import re
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from agents import shared_options
from apps.equal import Equal
from rays import IS_INSTALLED
from servers import Site, serving

WAYS: dict[str, dict[str, Any]] = {
    "processes": {"max_workers": 1},
    "threads": {"executor_type": "thread", "max_workers": 1},
    "inline": {"executor_type": "inline", "max_workers": 1},
    "disabled": {"max_workers": 1},
    "nats": {"executor_type": "nats", "max_workers": 1},
}
FAR = ["far_agent"]
if IS_INSTALLED:
    WAYS["ray"] = {"executor_type": "ray", "max_workers": 1}
    FAR.append("ray_here")

pytestmark = [pytest.mark.ray] if IS_INSTALLED else []

REQUESTS = int(os.environ.get("GENRO_EXECUTOR_EQUAL", "150"))
"""How many requests are made in each way; ``tox run -e equal`` makes 3,000."""

SEED = 20240229

ROUTES = {
    "add": ("item", "quantity"),
    "list": (),
    "report": ("title", "products"),
    "nothing_for": ("call",),
    "choose": ("disabled", "on_overload"),
    "echo": ("value",),
    "echo_async": ("value",),
    "total": (),
    "item": ("name", "price"),
    "typed": ("days",),
    "bag": ("size",),
    "wrapped": ("kind",),
    "path": (),
    "obj": ("x", "y"),
    "everything": ("a", "b"),
    "fails": ("kind", "status"),
    "fails_async": ("kind",),
    "chunks": ("count",),
    "response": ("status",),
    "events": ("count",),
    "section/inner": ("times",),
    "section/none": (),
    "missing": (),
}
"""Every handler of ``Equal`` with its parameters, and two paths that lead nowhere."""

VALUES = (
    *("1", "2", "0", "-1", "7", "201", "1.5", "true", "false", "maybe", "", " ", "abc", "ABC"),
    *("own", "http", "missing", "redirect", "type", "validation", "item", "wait", "fail"),
    *("\u20ac", "a" * 500, "null", "[1, 2]", '{"a": 1}', "418", "503", "html", "%00", "1::N"),
)


def options_of(way: str) -> dict[str, Any]:
    """The options of the pool, with where its agent is if it has one."""
    options = WAYS[way]
    return shared_options(**options) if options.get("executor_type") == "nats" else options


def requests() -> list[dict[str, Any]]:
    """The same ones every time: each handler without arguments, then whatever comes."""
    chosen = random.Random(SEED)
    made: list[dict[str, Any]] = [{"method": "GET", "url": f"/equal/{path}"} for path in ROUTES]
    for kind in ("own", "http", "missing", "redirect", "type", "validation", "item"):
        made.append({"method": "GET", "url": "/equal/fails", "params": {"kind": kind}})
    while len(made) < REQUESTS:
        path, parameters = chosen.choice(list(ROUTES.items()))
        names = [name for name in parameters if chosen.random() < 0.85]
        if chosen.random() < 0.1:
            names.append("stranger")
        arguments = {name: chosen.choice(VALUES) for name in names}
        made.append({"method": "GET", "url": f"/equal/{path}"})
        if chosen.random() < 0.3:
            made[-1] |= {"method": "POST", "json": chosen.choice((arguments, [1], "text", None))}
        else:
            made[-1]["params"] = arguments
        if chosen.random() < 0.15:
            made[-1]["headers"] = {"x-tytx-request": "1", "x-tytx-transport": "json"}
    return made


_SESSION = re.compile("session_id=[^;]+")
"""A session's number is drawn by the server; nothing of it comes from the handler."""


async def answer(site: Site, request: dict[str, Any]) -> tuple[Any, ...]:
    """What can be seen of the answer: status, headers but for the date, body; or how it broke."""
    try:
        got = await site.client.request(**request)
    except httpx.RemoteProtocolError as broken:
        return (type(broken).__name__,)
    seen = ((n, _SESSION.sub("session_id=", v)) for n, v in got.headers.multi_items())
    headers = sorted((name, value) for name, value in seen if name != "date")
    return got.status_code, headers, got.content


@pytest.mark.usefixtures(*FAR)
@pytest.mark.timeout(240 + REQUESTS / 5)
async def test_the_answers_are_the_same_everywhere(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        sites: dict[str, Site] = {}
        for way in WAYS:
            folder = tmp_path / way
            folder.mkdir()
            options = options_of(way)
            sites[way] = await stack.enter_async_context(
                serving((Equal, {"folder": str(folder)}), executors={"p": options})
            )
        sites["disabled"].app("equal").routing.configure("executor/_all_", disabled=True)
        statuses = []
        for request in requests():
            answers = {way: await answer(site, request) for way, site in sites.items()}
            assert len(set(map(repr, answers.values()))) == 1, (request, answers)
            statuses.append(answers["inline"][0])
        assert sites.pop("disabled").server.get_executor("p").metrics["submitted"] < REQUESTS / 10
        for way, site in sites.items():
            pool = site.server.get_executor("p")
            assert pool.mode == {"processes": "process", "threads": "thread"}.get(way, way)
            assert pool.metrics["pending"] == 0
            assert pool.metrics["restarts"] == 0
            assert pool.metrics["submitted"] > REQUESTS / 3
    assert {200, 400, 404, 418, 500} <= set(statuses)
    called = {request["url"].removeprefix("/equal/") for request in requests()}
    assert called == set(ROUTES)


def test_every_handler_is_asked() -> None:
    """A handler that is added to the application is added to the requests."""
    handlers = {
        marker.get("name") or marker.get("entry_name") or name
        for name, value in vars(Equal).items()
        for marker in getattr(value, "_route_decorator_kw", ())
    }
    assert handlers <= set(ROUTES)


@pytest.mark.usefixtures(*FAR)
async def test_an_error_in_the_body_is_no_mistake_of_the_request(tmp_path: Path) -> None:
    """A handler's own ``ValidationError`` or ``TypeError`` is a 500, however it runs."""
    for way in WAYS:
        folder = tmp_path / way
        folder.mkdir()
        options = options_of(way)
        app = (Equal, {"folder": str(folder)})
        async with serving(app, executors={"p": options}) as site:
            for name in ("fails", "fails_async"):
                for kind in ("validation", "type"):
                    got = await site.get(f"/equal/{name}", kind=kind)
                    assert got.status_code == 500, (way, name, kind)
            assert (await site.get("/equal/obj", x="text")).status_code == 400
