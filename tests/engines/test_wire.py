# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Frames stay whole, whatever comes in between while one is sent."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from time import monotonic
from typing import Any

import pytest

from genro_executor_plugin import ProcessExecutor, SoftTimeoutError
from genro_executor_plugin.engines.process.wire import (
    FROM_SERVER,
    FrameCutter,
    FrameSocket,
    frame,
)


class Interrupted(socket.socket):
    """A socket with somebody who comes in between when something is sent."""

    between: Callable[[], None] | None = None

    def sendall(self, data: Any, flags: int = 0) -> None:
        half = len(data) // 2
        super().sendall(data[:half], flags)
        between, self.between = self.between, None
        if between is not None:
            between()
        super().sendall(data[half:], flags)


def test_what_a_finalizer_sends_comes_behind_the_frame_that_it_interrupts() -> None:
    here, there = socket.socketpair()
    interrupted = Interrupted(fileno=here.detach())
    with interrupted, there:
        channel = FrameSocket(interrupted)
        interrupted.between = lambda: channel.send(2, payload=b"in between")
        channel.send(1, payload=b"whole")
        channel.send(3)
        cutter, frames = FrameCutter(there, FROM_SERVER), []
        while len(frames) < 3:
            frames += cutter.read()
        assert [(kind, bytes(payload)) for kind, _, _, payload in frames] == [
            (1, b"whole"),
            (2, b"in between"),
            (3, b""),
        ]
        assert not channel.is_in_use_here


def test_nothing_may_interrupt_while_messages_are_taken_off_the_socket() -> None:
    """A soft limit that struck there would take bytes of other frames along."""
    here, there = socket.socketpair()
    with here, there:
        channel = FrameSocket(here)
        for kind in (1, 7, 2, 7):
            there.sendall(frame(kind, payload=b"%d" % kind))
        seen: list[tuple[bytes, bool]] = []
        channel.take(7, 5.0, lambda item: seen.append((bytes(item[3]), channel.is_in_use_here)))
        assert seen == [(b"7", True), (b"7", True)]
        assert not channel.is_in_use_here
        others = channel.frames()
        assert [next(others)[0], next(others)[0]] == [1, 2]


@pytest.fixture
async def pool() -> AsyncIterator[ProcessExecutor]:
    pool = ProcessExecutor("pool", max_workers=1)
    yield pool
    assert pool.metrics["restarts"] == 0
    await pool.shutdown()


def endless_blocks() -> Iterator[bytes]:
    """Sends nearly all the time: that is where its time runs out."""
    block = b"x" * 1_000_000
    while True:
        yield block


async def taken(blocks: Any) -> None:
    async for block in blocks:
        assert len(block) == 1_000_000


async def test_a_soft_limit_that_comes_while_a_chunk_is_sent_takes_no_frame_apart(
    pool: ProcessExecutor,
) -> None:
    for _ in range(5):
        began = monotonic()
        with pytest.raises(SoftTimeoutError):
            await taken(pool.options(soft_timeout=0.1).stream(endless_blocks))
        assert monotonic() - began < 60
    assert await pool.submit(len, "abc") == 3
