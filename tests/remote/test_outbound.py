# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Log records and progress of agents are bounded: what is beyond is dropped, counted and told."""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import worker_functions as wf
from agents import agent, nats_server, pool_options
from waiting import until

from genro_executor_plugin import NatsExecutor
from genro_executor_plugin.agent.outbound import Outbound
from genro_executor_plugin.remote.messages import Kind

pytestmark = pytest.mark.once


class Way:
    """The way to a server: what was sent, and whether anything can be."""

    def __init__(self) -> None:
        self.sent: list[tuple[Kind, tuple[int, ...], bytes]] = []
        self.open = True
        self.now = 0.0
        self.outbound = Outbound(self.send, lambda: self.now)

    def send(
        self, server: str, kind: Kind, body: tuple[int, ...], lane: int, tail: bytes, /
    ) -> bool:
        assert (server, lane) == ("s", body[0])
        if self.open:
            self.sent.append((kind, body, tail))
        return self.open

    def take(self) -> list[tuple[Kind, tuple[int, ...], bytes]]:
        sent, self.sent = self.sent, []
        return sent


@pytest.fixture
def way() -> Way:
    return Way()


def test_records_wait_for_their_server_and_are_dropped_beyond_that(way: Way) -> None:
    for number in range(6000):
        way.outbound.record("s", 1, 17, b"%d" % number)
    sent = way.take()
    assert [tail for _, _, tail in sent] == [b"%d" % number for number in range(256)]
    assert way.outbound.dropped == 6000 - 256 - 4096
    way.outbound.handled("s", 200, 256)
    later = way.take()
    assert len(later) == 200
    assert later[0][1] == (1, 17, 257, way.outbound.dropped)  # the next one says so
    assert later[1][1] == (1, 17, 258, 0)
    way.outbound.handled("s", 456, 456)
    assert len(way.take()) == 256


def test_that_records_were_dropped_is_told_also_when_none_follows(way: Way) -> None:
    for _ in range(256):
        way.outbound.record("s", 1, 17, b"x" * 20_000)
    assert len(way.take()) == 53  # of a megabyte
    waiting = 256 - 53 - way.outbound.dropped
    way.outbound.finish("s", 2)
    assert not way.take()
    way.outbound.finish("s", 1)  # an answer comes behind all records of its call
    assert len(way.take()) == waiting
    way.outbound.record("s", 2, 17, b"last")
    dropped = way.outbound.dropped
    way.open = False
    way.outbound.handled("s", 53 + waiting, 53 + waiting)
    assert way.outbound.dropped == dropped + 1  # it could not be sent
    way.open = True
    way.outbound.handled("s", 53 + waiting, 53 + waiting)
    assert way.take() == [(Kind.RECORD, (0, 0, 54 + waiting, 1), b"")]


def test_the_newest_progress_of_each_call_waits(way: Way) -> None:
    for _ in range(256):
        way.outbound.record("s", 1, 17, b"x")
    way.take()
    for number in range(1000):
        for call in (1, 2):
            way.outbound.progress("s", call, 17, b"%d of %d" % (number, call))
    assert not way.take()
    way.outbound.finish("s", 2)
    assert way.take() == [(Kind.MESSAGE, (2, 17, 257), b"999 of 2")]
    way.outbound.handled("s", 257, 257)
    assert way.take() == [(Kind.MESSAGE, (1, 17, 258), b"999 of 1")]
    way.outbound.progress("s", 1, 17, b"done")
    assert way.take() == [(Kind.MESSAGE, (1, 17, 259), b"done")]


def test_what_was_lost_on_its_way_holds_up_nothing(way: Way) -> None:
    for _ in range(300):
        way.outbound.record("s", 1, 17, b"x")
    assert len(way.take()) == 256
    way.now = 2.0
    way.outbound.look()
    assert not way.take()
    way.outbound.handled("s", 10, 20)  # it has something to handle, and is only slow
    assert len(way.take()) == 10
    way.now = 9.0
    way.outbound.look()
    assert not way.take()
    way.outbound.handled("s", 20, 20)  # it has handled all that has come
    assert len(way.take()) == 10
    way.now = 13.0
    way.outbound.look()
    assert len(way.take()) == 24
    way.outbound.forget("s")
    way.outbound.finish("s", 1)
    way.outbound.handled("s", 1, 1)
    assert not way.take()


# -- a living agent and server ---------------------------------------------------------------------


class Held(logging.Handler):
    """Holds up the first record until it is let go, and counts all."""

    def __init__(self) -> None:
        super().__init__()
        self.goes_on = threading.Event()
        self.names: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.goes_on.wait(60)
        self.names.append(record.getMessage())


@pytest.fixture
def held() -> Iterator[Held]:
    logger, handler = logging.getLogger("flood"), Held()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield handler
    finally:
        handler.goes_on.set()
        logger.removeHandler(handler)
        logger.propagate = True
        logger.setLevel(logging.NOTSET)


async def test_a_flood_of_records_fills_nothing_and_what_was_dropped_is_told(
    held: Held, caplog: pytest.LogCaptureFixture
) -> None:
    with nats_server() as server, agent(server.url, "flood", "--pool", "max_workers=2"):
        async with NatsExecutor("heavy", **pool_options(server.url, "flood")) as pool:
            await pool.warm()
            answered = asyncio.create_task(pool.submit(wf.log_many, "flood", 7000))
            agents: Any = pool._engine._dispatcher.agents  # type: ignore[attr-defined]
            await until(lambda: agents.all()[0].heard >= 256)
            assert await pool.submit(wf.answer) == 42  # others go on
            await until(lambda: agents.all()[0].heard > 4000)  # the run is over
            assert not answered.done()  # an answer comes behind the records
            held.goes_on.set()
            assert await answered == 7000
            await until(lambda: len(held.names) + agents.all()[0].dropped == 7000)
            assert agents.all()[0].dropped > 0
            await until(lambda: "has dropped" in caplog.text)
    told = re.search(r"has dropped (\d+) log records of its calls", caplog.text)
    assert told
    assert held.names == sorted(held.names, key=lambda name: int(name.split()[-1]))
