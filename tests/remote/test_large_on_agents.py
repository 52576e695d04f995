# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Large arguments and results of agents: the event loop goes on (the suite watches it), and they
arrive whole."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import worker_functions as wf
from agents import TESTS, NatsServer, agent, nats_server, pool_options, share

from genro_executor_plugin import NatsExecutor, SerializationError
from genro_executor_plugin.remote.envelope import Envelope, Seal
from genro_executor_plugin.remote.messages import Kind, pack
from genro_executor_plugin.remote.post import Post
from genro_executor_plugin.remote.refusals import Refusals

pytestmark = pytest.mark.once


@pytest.fixture(scope="module")
def nats() -> Iterator[NatsServer]:
    path = os.pathsep.join(map(str, (TESTS, TESTS / "executors", Path(__file__).parent)))
    options = "--pool", "max_workers=1"
    with nats_server() as server, agent(server.url, "large", *options, PYTHONPATH=path) as program:
        share(server.pid, program.pid)
        yield server


@pytest.fixture
async def pool(nats: NatsServer) -> AsyncIterator[NatsExecutor]:
    async with NatsExecutor("heavy", **pool_options(nats.url, "large")) as pool:
        yield pool


def count_of(value: Any) -> int:
    return len(value)


PACKED_ON: list[int] = []


class Witness:
    """Notes which thread it is pickled on."""

    def __reduce__(self) -> Any:
        PACKED_ON.append(threading.get_ident())
        return Witness, ()


def doubled(array: Any) -> Any:
    array *= 2  # what its caller can write to can be written to here
    return array


def may_be_written(*values: Any) -> list[bool]:
    return [memoryview(value).readonly for value in values]


@pytest.mark.parametrize(
    "make_value",
    [
        lambda: list(range(3_000_000)),
        lambda: {str(number): [number] for number in range(300_000)},
        lambda: [bytearray(60_000_000)],
        lambda: bytes(60_000_000),
    ],
    ids=["a list", "a dict", "a buffer inside", "bytes"],
)
async def test_the_event_loop_goes_on_while_large_arguments_are_packed_and_sent(
    pool: NatsExecutor, make_value: Any
) -> None:
    value = make_value()
    assert await pool.submit(count_of, value) == len(value)


async def test_large_arguments_are_pickled_on_a_thread(pool: NatsExecutor) -> None:
    assert await pool.submit(count_of, [b"x" * 1_000_000, Witness()]) == 2
    assert PACKED_ON
    assert threading.get_ident() not in PACKED_ON


async def test_buffers_arrive_as_they_were(pool: NatsExecutor) -> None:
    array = np.arange(1_000_000.0)
    back = await pool.submit(doubled, array)
    assert (back == 2 * array).all()
    assert back.flags.writeable
    values = bytes(300_000), bytearray(300_000), np.zeros(100_000)
    assert await pool.submit(may_be_written, *values) == [True, False, False]
    sent = bytearray(b"a" * 1_000_000)
    call = asyncio.create_task(pool.submit(wf.echo, sent))
    await asyncio.sleep(0)
    sent[:] = bytes(len(sent))  # what was called with stays as it was
    assert await call == b"a" * 1_000_000


async def test_what_cannot_travel_is_named_and_a_caller_that_leaves_leaves_nothing(
    pool: NatsExecutor,
) -> None:
    with pytest.raises(SerializationError, match=r"argument 'value' \(value\['lock'\]\)"):
        await pool.submit(count_of, {"data": b"x" * 1_000_000, "lock": sys._getframe()})
    call = asyncio.create_task(pool.submit(count_of, list(range(1_000_000))))
    await asyncio.sleep(0.02)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert pool.metrics["pending"] == 0
    assert await pool.submit(count_of, b"xx") == 2


# -- parts -----------------------------------------------------------------------------------------


class Line:
    """A connection that keeps what is sent, and hands on what a test wants."""

    max_payload = 4096
    connected = True

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.heard: Any = None

    async def listen(self, _subject: str, heard: Any) -> None:
        self.heard = heard

    def send(self, _subject: str, data: bytes, _nobody_to: str = "") -> bool:
        self.sent.append(data)
        return True


async def two_ends() -> tuple[Line, Post, Line, list[Envelope], Refusals]:
    lines, ends, heard = (Line(), Line()), [], []
    for line, name in zip(lines, ("server", "agent"), strict=True):
        seal, refusals = Seal(name, b"a secret of the tests"), Refusals(name)
        ends.append(Post(name, line, seal, refusals, str))  # type: ignore[arg-type] # a Line is enough
        await ends[-1].listen("here", (name,), heard.append)
    return lines[0], ends[0], lines[1], heard, ends[1].refusals


@pytest.mark.parametrize(
    ("of_body", "of_tail"), [(0, 50_000), (50_000, 0), (5_000, 3_072), (3_072, 3_073), (9, 3_070)]
)
async def test_a_message_in_parts_arrives_as_it_was(of_body: int, of_tail: int) -> None:
    near, post, far, heard, refusals = await two_ends()
    body, tail = os.urandom(of_body), os.urandom(of_tail)
    assert post.send("there", "agent", Kind.ANSWER, body, 7, tail=tail)
    while near.sent or far.sent:
        if near.sent:
            far.heard("there", near.sent.pop(0), False)
        if far.sent:
            near.heard("here", far.sent.pop(0), False)
    assert [(it.kind, it.body, it.tail) for it in heard] == [(Kind.ANSWER, body, tail)]
    assert not refusals.counts
    assert not post.is_leaving("agent", 7)


@pytest.mark.parametrize(
    "parts",
    [
        [(7, 0, 2, 20, 4, 4, b"bodytail"), (7, 1, 2, 20, 4, 4, b"")],  # one part of both
        [(7, 0, 2, 20, 4, 4, b"body"), (7, 1, 2, 20, 4, 4, b"a longer tail")],
        [(7, 0, 2, 20, 4, 4, b"body"), (7, 1, 2, 20, 4, 4, b"no")],
        [(7, 0, 2, 20, 4, 4, b"body"), (7, 1, 2, 20, 4, 4, b"")],
        [(7, 0, 3, 20, 4, 4, b"body"), (7, 2, 3, 20, 4, 4, b"tail")],
        [(7, 0, 2, 20, 0, 0, b"")],
        [(7, 0, 2, 20, 2**40, 4, b"body")],
        [(7, 1, 2, 20, 4, 4, b"tail")],
    ],
)
async def test_parts_that_do_not_fit_are_refused(parts: list[Any]) -> None:
    _, _, far, heard, refusals = await two_ends()
    seal = Seal("server", b"a secret of the tests")
    for *head, part in parts:
        far.heard("there", seal.seal(Kind.PART, "agent", pack(tuple(head)), part), False)
    assert not heard
    assert refusals.counts.total() >= 1
