# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Handlers of every shape over HTTP in five ways: the answer is the same, or it is a refusal.

No difference is silent: what a worker cannot have is a 500, and the log names path and cure.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest
from apps.shapes import BODIES, REFUSED, STREAMED, Shapes, paths
from host import AsgiServer
from servers import Site, serving

WAYS: dict[str, dict[str, Any]] = {
    "disabled": {"max_workers": 1},
    "bypass": {"max_workers": 1, "bypass": True},
    "thread": {"executor_type": "thread", "max_workers": 1},
    "process": {"max_workers": 1},
}

REQUESTS = [
    *({"method": "GET", "url": f"/shapes/{path}"} for path in paths()),
    *({"method": "POST", "url": f"/shapes/{path}", "json": body} for path, body in BODIES.items()),
]


async def answer(site: Site, request: dict[str, Any]) -> tuple[Any, ...]:
    """What can be seen of the answer, but for the date and how it is cut into pieces."""
    try:
        got = await site.client.request(**request)
    except httpx.RemoteProtocolError as broken:
        return (type(broken).__name__,)
    headers = sorted(
        (n, v) for n, v in got.headers.multi_items() if n not in ("date", "set-cookie")
    )
    return got.status_code, headers, got.content


def shown(seen: tuple[Any, ...]) -> str:
    return repr(seen)[:300]


@pytest.mark.timeout(300)  # some 140 requests in five ways
async def test_a_handler_is_the_same_everywhere_or_says_what_it_lacks(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.ERROR, "genro_executor_plugin")
    async with AsyncExitStack() as stack:
        plain = AsgiServer(applications=[Shapes], tasks=False)
        stock = await stack.enter_async_context(serving(server=plain))
        sites = {
            way: await stack.enter_async_context(serving(Shapes, executors={"p": options}))
            for way, options in WAYS.items()
        }
        sites["disabled"].app("shapes").routing.configure("executor/_all_", disabled=True)
        different: list[str] = []
        for request in REQUESTS:
            name = request["url"].removeprefix("/shapes/").partition("?")[0]
            reference = sites["disabled"] if name in STREAMED else stock
            expected = await answer(reference, request)
            if name in REFUSED:  # one by one: the log tells which way has refused
                answers = []
            else:
                answers = await asyncio.gather(*(answer(s, request) for s in sites.values()))
            for index, (way, site) in enumerate(sites.items()):
                caplog.clear()
                found = answers[index] if answers else await answer(site, request)
                if name in REFUSED and way in ("bypass", "process"):
                    said = " ".join(record.getMessage() for record in caplog.records)
                    if found[0] != 500 or REFUSED[name] not in said:
                        different.append(f"{way} {name}: no refusal: {shown(found)} {said[:300]}")
                elif found != expected:
                    different.append(f"{way} {name}: {shown(found)}, stock {shown(expected)}")
        assert not different, "\n".join(different)
        process = sites["process"].server.get_executor("p")
        assert process.mode == "process"
        assert process.metrics["restarts"] == 0
        assert process.metrics["submitted"] > 100
