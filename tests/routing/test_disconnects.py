# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A client that goes away takes its offloaded calls along, and nothing else."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from apps.left import Left
from servers import Site, serving
from waiting import is_dead, until

from genro_executor_plugin import ClientDisconnectedError
from genro_executor_plugin.routing.client import (
    WATCH_AFTER_SECONDS,
    Client,
    current_client,
)
from genro_executor_plugin.routing.streaming_response import DisconnectAwareResponse

POOLS: dict[str, Any] = {
    "p": {"max_workers": 2},
    "abandoning": {"max_workers": 1, "on_cancel": "abandon"},
    "threads": {"executor_type": "thread", "max_workers": 1},
}

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    async with serving(Left, executors=POOLS) as site:
        yield site


async def asked(site: Site, path: str, *, head: str = "", body: bytes = b"") -> Stream:
    """A connection of its own on which ``path`` was asked for."""
    url = site.client.base_url
    reader, writer = await asyncio.open_connection(url.host, url.port)
    method = "POST" if head else "GET"
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: t\r\n{head}\r\n".encode() + body)
    await writer.drain()
    return reader, writer


async def answer_of(reader: asyncio.StreamReader) -> str:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    (length,) = [
        int(line.split(b":")[1])
        for line in head.split(b"\r\n")
        if line.lower().startswith(b"content-length")
    ]
    return (await reader.readexactly(length)).decode()


async def leave(stream: Stream) -> None:
    stream[1].close()
    await stream[1].wait_closed()


def metrics(site: Site, pool: str = "p") -> dict[str, Any]:
    found: dict[str, Any] = site.server.get_executor(pool).metrics
    return found


@asynccontextmanager
async def no_complaints(caplog: pytest.LogCaptureFixture) -> AsyncIterator[None]:
    """A client that leaves is nobody's error."""
    caplog.set_level(logging.WARNING)
    yield
    assert not caplog.records, caplog.text


async def test_a_running_coroutine_is_cancelled_and_its_worker_stays(
    site: Site, gate: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with no_complaints(caplog):
        goes = await asked(site, f"/left/held_async?gate={gate.path}")
        pid = await gate.entered()
        await leave(goes)
        await until(lambda: metrics(site)["running"] == 0)
        assert metrics(site)["cancelled"] == 1
        assert await site.json("/left/pid") == pid


@pytest.mark.parametrize("route", ["held", "streamed"])
async def test_a_running_call_is_ended_with_its_worker(
    site: Site, gate: Any, route: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with no_complaints(caplog):
        stays = await asked(site, f"/left/held?gate={gate.path}")
        other = await gate.entered()
        goes = await asked(site, f"/left/{route}?gate={gate.path}")
        pid = await gate.entered()
        assert pid != other
        await leave(goes)
        await until(lambda: is_dead(pid))
        assert metrics(site)["cancelled"] == 1
        assert metrics(site)["running"] == 1
        gate.release()
        assert await answer_of(stays[0]) == "held"
        await leave(stays)
        assert await site.json("/left/pid") != pid
        assert not site.server.requests.in_flight


async def test_a_waiting_call_leaves_the_line_and_never_runs(
    site: Site, gate: Any, tmp_path: Path
) -> None:
    held = [await asked(site, f"/left/held?gate={gate.path}") for _ in range(2)]
    pids = {await gate.entered() for _ in held}
    trace = tmp_path / "trace"
    goes = await asked(site, f"/left/held?gate={gate.path}&trace={trace}")
    await until(lambda: metrics(site)["queued"] == 1)
    await leave(goes)
    await until(lambda: metrics(site)["cancelled"] == 1)
    assert metrics(site)["pending"] == 2
    gate.release()
    assert [await answer_of(stream[0]) for stream in held] == ["held"] * 2
    assert await site.json("/left/pid") in pids  # nobody was killed for it
    assert not trace.exists()
    for stream in held:
        await leave(stream)


async def test_a_pool_may_let_the_run_go_on(site: Site, gate: Any, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    goes = await asked(site, f"/left/abandoned?gate={gate.path}&trace={trace}")
    pid = await gate.entered()
    await leave(goes)
    await until(lambda: metrics(site, "abandoning")["cancelled"] == 1)
    gate.release()
    await until(trace.exists)
    assert not is_dead(pid)


@pytest.mark.parametrize(
    "route", ["file_of_a_worker", "file_of_an_abandoned_run", "file_of_a_thread"]
)
async def test_a_file_that_comes_too_late_is_removed(
    site: Site, gate: Any, tmp_path: Path, route: str
) -> None:
    """As it is when it was sent: nobody else knows of it."""
    file, made = tmp_path / "report", tmp_path / "report.made"
    goes = await asked(site, f"/left/{route}?gate={gate.path}&name={file}")
    await gate.entered()
    await asyncio.sleep(2 * WATCH_AFTER_SECONDS)
    await leave(goes)
    # Nothing tells that the server has noticed; if it has not, the file is removed as one that
    # was sent.
    await asyncio.sleep(6 * WATCH_AFTER_SECONDS)
    gate.release()
    await until(made.exists)
    await until(lambda: not file.exists())


async def test_a_call_in_a_thread_is_given_up(site: Site, gate: Any) -> None:
    """The caller is free at once; the thread is when it is done."""
    goes = await asked(site, f"/left/in_a_thread?gate={gate.path}")
    await gate.entered()
    await leave(goes)
    await until(lambda: metrics(site, "threads")["cancelled"] == 1)
    assert metrics(site, "threads")["pending"] == 0
    assert metrics(site, "threads")["running"] == 1
    gate.release()
    await until(lambda: not metrics(site, "threads")["running"])


async def test_what_runs_in_the_server_is_left_alone(site: Site, gate: Any, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    goes = await asked(site, f"/left/in_the_server?gate={gate.path}&trace={trace}")
    await gate.entered()
    await leave(goes)
    await asyncio.sleep(2 * WATCH_AFTER_SECONDS)  # nothing happens, and nobody says so
    gate.release()
    await until(trace.exists)


async def test_a_plugin_that_looks_at_the_result_sees_the_call_end(gate: Any) -> None:
    """The chain of such a route runs on a thread, which waits for the pool."""

    class Logged(Left):
        def __init__(self, **options: Any) -> None:
            super().__init__(**options)
            self.route.plug("logging")

    async with serving(Logged, executors=POOLS) as site:
        goes = await asked(site, f"/left/held?gate={gate.path}")
        pid = await gate.entered()
        await leave(goes)
        await until(lambda: is_dead(pid))
        await until(lambda: not site.server.requests.in_flight)
        assert metrics(site)["cancelled"] == 1


# -- what must not suffer from being watched ----------------------------------------------------


async def test_a_body_that_comes_slowly_is_the_handlers(site: Site, gate: Any) -> None:
    text = "x" * 300_000
    body = json.dumps({"text": text}).encode()
    head = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    stream = await asked(site, f"/left/upload?gate={gate.path}", head=head, body=body[:1000])
    await asyncio.sleep(2 * WATCH_AFTER_SECONDS)
    stream[1].write(body[1000:])
    await gate.entered()
    await asyncio.sleep(2 * WATCH_AFTER_SECONDS)
    gate.release()
    assert await answer_of(stream[0]) == str(len(text))
    await leave(stream)


async def test_a_connection_serves_on_after_a_call_that_was_watched(site: Site, gate: Any) -> None:
    """Also what its client had asked for meanwhile."""
    stream = await asked(site, f"/left/held?gate={gate.path}")
    await gate.entered()
    stream[1].write(b"GET /left/pid HTTP/1.1\r\nHost: t\r\n\r\n")
    await asyncio.sleep(2 * WATCH_AFTER_SECONDS)
    gate.release()
    assert await answer_of(stream[0]) == "held"
    assert int(await answer_of(stream[0])) in site.server.get_executor("p").pids
    await leave(stream)
    assert metrics(site)["cancelled"] == 0


async def test_a_stream_asks_nobody_who_only_repeats_the_body() -> None:
    """The ``receive`` of a message on a websocket always has the message, and never waits."""

    async def chunks() -> AsyncIterator[bytes]:
        for chunk in (b"one", b"two"):
            await asyncio.sleep(0)
            yield chunk

    async def repeating() -> dict[str, Any]:
        asked.append(1)
        if len(asked) > 1000:
            raise EOFError  # or the test would end as little as the server would
        return EMPTY

    async def send(message: dict[str, Any]) -> None:
        sent.append(message.get("body", b""))

    sent: list[bytes] = []
    asked: list[int] = []
    response = DisconnectAwareResponse(chunks())
    response.at_end = lambda: None
    await response({"type": "http"}, repeating, send)
    assert b"".join(sent) == b"onetwo"
    assert len(asked) == 1


# -- one client -------------------------------------------------------------------------------


class Wire:
    """The server's end of a request: what the application receives, in order."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        for message in messages:
            self.messages.put_nowait(message)
        self.asked = 0

    async def receive(self) -> dict[str, Any]:
        self.asked += 1
        return await self.messages.get()


EMPTY = {"type": "http.request", "body": b"", "more_body": False}
GONE = {"type": "http.disconnect"}


def client_of(application: Any) -> Client:
    client = Client()
    client.application = application
    return client


async def in_request(wire: Wire, application: Callable[[Client], Awaitable[None]]) -> None:
    """Serve a request that arrives on ``wire`` with ``application``, which is given its client."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        client = current_client()
        assert client is not None
        await application(client)

    await client_of(answer)({"type": "http"}, wire.receive, None)  # type: ignore[arg-type]


async def test_the_application_sees_what_the_watch_has_seen() -> None:
    wire = Wire(EMPTY)

    async def application(client: Client) -> None:
        assert await client.receive() == EMPTY
        call = asyncio.create_task(client.call(asyncio.sleep(60)))
        await until(lambda: wire.asked == 2)
        listening = asyncio.create_task(client.receive())
        await asyncio.sleep(0)
        wire.messages.put_nowait(GONE)
        with pytest.raises(ClientDisconnectedError):
            await call
        assert await listening == GONE
        assert client.gone

    await in_request(wire, application)


async def test_what_is_no_disconnect_is_kept_for_the_application() -> None:
    wire = Wire(EMPTY)
    odd = {"type": "http.something"}

    async def application(client: Client) -> None:
        await client.receive()
        call = asyncio.create_task(client.call(asyncio.sleep(60)))
        await until(lambda: wire.asked == 2)
        wire.messages.put_nowait(odd)
        await until(wire.messages.empty)
        assert await client.receive() == odd
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    await in_request(wire, application)


async def test_a_disconnect_at_the_first_look_says_nothing_of_a_replayed_request() -> None:
    """What plays a buffered request again says so as soon as the body was read."""
    messages = [GONE, EMPTY]

    async def receive() -> dict[str, Any]:
        return messages.pop()

    async def answer(scope: Any, _receive: Any, send: Any) -> None:
        client = current_client()
        assert client is not None
        await client.receive()
        for _ in range(2):
            await client.call(asyncio.sleep(2 * WATCH_AFTER_SECONDS))
        assert not client.gone
        assert await client.receive() == GONE, "the application is still told"

    await client_of(answer)({"type": "http"}, receive, None)  # type: ignore[arg-type]


async def test_a_disconnect_at_the_first_look_counts_of_a_connection() -> None:
    wire = Wire(EMPTY, GONE)

    async def application(client: Client) -> None:
        await client.receive()
        with pytest.raises(ClientDisconnectedError):
            await client.call(asyncio.sleep(60))

    await in_request(wire, application)


async def test_an_unread_body_is_not_touched() -> None:
    wire = Wire({"type": "http.request", "body": b"a", "more_body": True})

    async def application(client: Client) -> None:
        await client.receive()
        await client.call(asyncio.sleep(2 * WATCH_AFTER_SECONDS))
        assert wire.asked == 1

    await in_request(wire, application)


async def test_a_short_call_is_not_watched() -> None:
    wire = Wire(EMPTY)

    async def application(client: Client) -> None:
        await client.receive()
        assert await client.call(asyncio.sleep(0, "done")) == "done"
        assert wire.asked == 1

    await in_request(wire, application)


async def test_a_limit_of_the_call_itself_is_not_taken_for_the_clients() -> None:
    async def too_long() -> None:
        raise TimeoutError("its own")

    async def application(client: Client) -> None:
        with pytest.raises(TimeoutError, match="its own"):
            await client.call(too_long())

    await in_request(Wire(EMPTY), application)


async def test_nothing_is_begun_for_a_client_that_has_gone() -> None:
    wire = Wire(EMPTY, GONE)
    begun = []

    async def call() -> None:
        begun.append(1)

    async def application(client: Client) -> None:
        await client.receive()
        with pytest.raises(ClientDisconnectedError):
            await client.call(asyncio.sleep(60))
        with pytest.raises(ClientDisconnectedError):
            await client.call(call())

    await in_request(wire, application)
    assert not begun


async def test_what_outlives_its_request_has_no_client() -> None:
    left: Any = None
    served = asyncio.Event()

    async def application(client: Client) -> None:
        nonlocal left
        assert current_client() is client
        left = asyncio.create_task(seen_after(served))
        await asyncio.sleep(0)

    await in_request(Wire(EMPTY), application)
    assert current_client() is None
    served.set()
    assert await left is None


async def seen_after(event: asyncio.Event) -> Client | None:
    await event.wait()
    return current_client()
