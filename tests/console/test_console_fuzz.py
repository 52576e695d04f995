# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Ten thousand requests that nobody should send: no 500, and nothing changed.

They are made from the console's own OpenAPI document: every path, with a body that is wrong in
one place or in all of them, with headers that lie, too large, or with no right to ask.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import random
from collections import Counter
from typing import Any

import pytest
from apps.works import Works
from servers import built, serving

from genro_executor_plugin import ExecutorConsole
from genro_executor_plugin.console.access import BODY_LIMIT_BYTES

pytestmark = pytest.mark.once

AUTH = {
    "basic": {
        "ada": {"password": "pw", "tags": "SERVER_ADMIN"},
        "bob": {"password": "pw", "tags": "STAFF"},
    }
}
POOLS: dict[str, Any] = {"pdf": {"max_workers": 1}, "db": {"executor_type": "thread"}}

REQUESTS = 10_000
SEED = 20260

ADMIN = b"Basic " + base64.b64encode(b"ada:pw")
WORDS: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, 10**40, -(10**40), 1e308, "", "pdf", "nope", "works/report",
    "\x00", "\ud800", "\u202e", "a" * 5000, "../../etc/passwd", "<script>", "5::L", "x::N", "::",
    "%00", [], [[]], {}, {"": {}}, ["pdf"], {"pool": "pdf"}, "unchanged",
)  # fmt: skip
BODIES: tuple[bytes, ...] = (
    b"", b"{", b"[]", b"null", b"0", b'"text"', b"\xff\xfe", b"\x00" * 100, b"{}" * 50,
    b"[" * 50_000, b'{"pool":' * 5_000, b'{"pool": NaN}', b'{"a":1,"a":2}', b"pool=pdf",
    b"<xml/>", b"1::L", b'{"pool": "\\ud800"}', b"\xef\xbb\xbf{}",
)  # fmt: skip
MEDIA: tuple[bytes, ...] = (
    b"application/json", b"application/json; charset=x", b"", b"text/plain", b"application/xml",
    b"application/msgpack", b"multipart/form-data; boundary=x", b"json", b"\xff", b"a" * 3000,
    b"application/x-www-form-urlencoded", b"application/vnd.tytx+json",
)  # fmt: skip
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"authorization", b""), (b"authorization", b"Basic"), (b"authorization", b"Basic !!!"),
    (b"authorization", b"Bearer gak_x"), (b"authorization", b"default x"),
    (b"authorization", b"\xff \xff"), (b"authorization", b"Basic " + base64.b64encode(b"bob:pw")),
    (b"cookie", b"a=\xff; =; ;;"), (b"accept", b"\xff"), (b"accept", b"*/*;q=x, text/html"),
    (b"accept", b"application/openmetrics-text; version=x"), (b"content-length", b"-1"),
    (b"content-length", b"9" * 500), (b"content-length", b"x"), (b"host", b"["),
    (b"host", b"\xff:"), (b"origin", b"http://["), (b"origin", b"null"),
    (b"sec-fetch-site", b"cross-site"), (b"x-tytx-transport", b"msgpack"),
    (b"x-request-id", b"1::L"), (b"x-forwarded-for", b"127.0.0.1"), (b"", b""),
    (b"accept", b"9" * 5000), (b"accept", b"[" * 20_000), (b"host", b"9" * 5000),
    (b"content-type", b'{"a":' * 3000), (b"content-type", b"9" * 5000),
)  # fmt: skip
METHODS = ("GET", "POST", "POST", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "", "\u00e9")


class Sender:
    """Makes requests by chance, the same ones at every run."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.chance = random.Random(SEED)
        self.operations = [
            (path, operation.get("requestBody"))
            for path, methods in document["paths"].items()
            for operation in methods.values()
        ]

    def request(self) -> tuple[dict[str, Any], list[bytes]]:
        """A scope and the chunks of its body."""
        pick = self.chance.choice
        path, described = pick(self.operations)
        authorized = self.chance.random() < 0.5
        headers = [(b"host", b"localhost"), (b"content-type", pick(MEDIA))]
        if authorized:
            headers.append((b"authorization", ADMIN))
            method, body = pick(METHODS), self.wrong_body(described)
        else:
            method, body = pick(METHODS), self.right_body(described)
            headers = [(b"host", b"localhost"), (b"content-type", b"application/json")]
        headers += [pick(HEADERS) for _ in range(self.chance.randrange(3))]
        if self.chance.random() < 0.03:
            body += b" " * (BODY_LIMIT_BYTES + 1)
        if self.chance.random() < 0.2:
            path += pick(("/", "/x", "//", "/\x00", "/../..", "/pdf", "/" + "a/" * 500, "/\ud7ff"))
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method,
            "scheme": "http", "path": f"/_executors{path}", "root_path": "",
            "raw_path": f"/_executors{path}".encode("utf-8", "replace"),
            "query_string": pick((b"", b"a=1::L", b"x::N=::&&=", b"\xff", b"_request=1", b"%")),
            "headers": headers, "client": ("127.0.0.1", 5), "server": ("localhost", 80),
        }  # fmt: skip
        return scope, [body[i : i + 30_000] for i in range(0, len(body), 30_000)] or [b""]

    def right_body(self, described: Any) -> bytes:
        return json.dumps(self.fields(described)).encode()

    def wrong_body(self, described: Any) -> bytes:
        if self.chance.random() < 0.3:
            return self.chance.choice(BODIES)
        fields = self.fields(described)
        for name in list(fields) or ["pool"]:
            if self.chance.random() < 0.5:
                fields[name] = self.chance.choice(WORDS)
            elif self.chance.random() < 0.3:
                fields.pop(name, None)
        # Whatever chance has made of the others: this field is wrong in every change.
        fields[self.chance.choice(("nothing", "_request", "self", "", "_coerce"))] = 1
        return json.dumps(fields).encode()

    def fields(self, described: Any) -> dict[str, Any]:
        right = {"pool": "pdf", "max_workers": 3, "route": "works/report", "disabled": True,
                 "pid": 1, "confirm": True, "timeout": 3.0}  # fmt: skip
        if not described:
            return {}
        names = described["content"]["application/json"]["schema"]["properties"]
        return {name: right[name] for name in names if name in right}


async def ask(server: Any, scope: dict[str, Any], chunks: list[bytes]) -> int:
    """The status that ``server`` answers."""
    said: list[Any] = []
    body = list(chunks)

    async def receive() -> dict[str, Any]:
        chunk = body.pop(0) if body else b""
        return {"type": "http.request", "body": chunk, "more_body": bool(body)}

    async def send(message: Any) -> None:
        said.append(message)

    await server(scope, receive, send)
    status: int = said[0]["status"]
    return status


@pytest.mark.timeout(REQUESTS * 0.05)  # a few seconds; a starved machine has taken a minute
async def test_no_request_makes_a_500_or_a_change(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("genro_executor_plugin").setLevel(logging.CRITICAL)
    async with built(ExecutorConsole, Works, executors=POOLS, auth=AUTH) as server:
        console = server.applications["_executors"]
        for name in POOLS:
            server.get_executor(name)
        sender = Sender(await console.openapi())
        assert len(sender.operations) >= 13
        before = await settings(console)
        statuses: Counter[int] = Counter()
        for number in range(REQUESTS):
            scope, chunks = sender.request()
            status = await ask(server, scope, chunks)
            assert status < 500, (number, status, scope, chunks)
            statuses[status] += 1
            if number % 100 == 0:
                await asyncio.sleep(0)
        assert await settings(console) == before
        # It was not all refused at the same door.
        assert {200, 400, 401, 403, 404, 405, 413, 415} <= set(statuses), statuses
    logging.getLogger("genro_executor_plugin").setLevel(logging.NOTSET)


async def settings(console: Any) -> Any:
    shown = await console.snapshot()
    pools = [(pool["name"], pool["options"], pool["paused"]) for pool in shown["pools"]]
    routes = [(route["path"], route["pool"], route["options"]) for route in shown["routes"]]
    return pools, routes, shown["changes"], shown["unused_pools"]


RAW = (
    b"GET /_executors/snapshot HTTP/9.9\r\n\r\n",
    b"POST /_executors/change/pause HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{",
    b"POST /_executors/change/pause HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz",
    b"GET /_executors/\xff%ff%00 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"\x16\x03\x01\x02\x00",
    b"GET /_executors/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /_executors/snapshot HTTP/1.1\r\n" + b"X: y\r\n" * 20_000 + b"\r\n",
)


async def test_what_is_no_http_at_all_hurts_nobody() -> None:
    async with serving(ExecutorConsole, Works, executors=POOLS) as site:
        url = site.client.base_url
        for raw in RAW * 3:
            reader, writer = await asyncio.open_connection(url.host, url.port)
            writer.write(raw)
            if raw.endswith(b"{"):  # the client is gone in the middle of its body
                writer.close()
                continue
            writer.write_eof()
            answer = await asyncio.wait_for(reader.read(200), 60)
            assert not answer.startswith(b"HTTP/1.1 500"), raw[:80]
            writer.close()
        assert (await site.json("/_executors/snapshot"))["changes"] == []
