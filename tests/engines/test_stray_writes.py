# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""A worker whose code writes into descriptors that are not its own is killed, and says why."""

from __future__ import annotations

import asyncio
import os
import pickle
import random
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psutil
import pytest
import worker_functions as wf

from genro_executor_plugin import ProcessExecutor, WorkerCrashedError
from genro_executor_plugin.engines.process.claims import Claims, WorkerClaims
from genro_executor_plugin.engines.process.wire import (
    FROM_WORKER,
    HEADER,
    MESSAGE,
    READY,
    RESULT,
    WRONG,
    FrameCutter,
    frame,
)

ECHOES = 40


def _sockets() -> list[int]:
    """The sockets of this worker: the one for frames, and the one for descriptors."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                found.append(int(name))
    return sorted(found)


def write(data: bytes) -> str:
    os.write(_sockets()[0], data)
    return "written"


def write_beside(data: bytes) -> Any:
    os.write(_sockets()[1], data)
    return b"x" * 1_000_000


def write_everywhere(seed: int) -> str:
    chance = random.Random(seed)
    for descriptor in range(3, 64):
        with suppress(OSError):
            os.set_blocking(descriptor, False)
            os.write(descriptor, chance.randbytes(chance.choice((1, 4, 20, 100, 5000))))
    return "written"


def close_everything() -> str:
    os.closerange(3, 128)
    return "closed"


def take_tokens() -> str:
    """Read what can be read from pipes, the tokens of calls sent ahead among it."""
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if stat.S_ISFIFO(os.fstat(int(name)).st_mode) and not os.get_blocking(int(name)):
                os.read(int(name), 4)
    return "taken"


STRAY: dict[str, tuple[Callable[..., Any], Any]] = {
    "a log line": (write, b"hello world, this is a log line"),
    "one byte": (write, b"x"),
    "zeros": (write, bytes(64)),
    "half a header": (write, frame(RESULT, 1)[:9]),
    "a header without the mark": (write, HEADER.pack(4 * 2**30, 1, 0, RESULT)),
    "the largest length": (write, HEADER.pack(2**64 - 1, 1, 0, RESULT)),
    "an answer to a call of nobody": (write, frame(RESULT, 99, pickle.dumps("forged"))),
    "an answer to the call before": (write, frame(RESULT, 1, pickle.dumps("forged"))),
    "a message of a call to come": (write, frame(MESSAGE, 99, pickle.dumps(("a", "b")))),
    "a second start": (write, frame(READY, 1)),
    "a kind that there is not": (write, frame(60, 1)),
    "text where descriptors go": (write_beside, b"hello"),
    "a log line where descriptors go": (write_beside, b"hello world, this is a log line"),
    "random bytes": (write_everywhere, 1),
    "other random bytes": (write_everywhere, 3),
}


@pytest.mark.parametrize("way", STRAY)
async def test_a_stray_write_ends_its_own_call_with_the_reason(make: Any, way: str) -> None:
    pool: ProcessExecutor = make(max_workers=1)
    function, argument = STRAY[way]
    assert await pool.submit(wf.answer) == 42
    with pytest.raises(WorkerCrashedError) as caught:
        await pool.submit(function, argument)
    assert "a descriptor that is not its own" in str(caught.value), caught.value
    assert await pool.submit(wf.answer) == 42
    assert pool.metrics["restarts"] == 1


async def test_a_worker_that_closes_its_descriptors_ends_its_own_call(make: Any) -> None:
    pool = make(max_workers=1)
    with pytest.raises(WorkerCrashedError):
        await pool.submit(close_everything)
    assert await pool.submit(wf.answer) == 42


def cut_off_segments(size: int) -> Any:
    """Return a large array, and shorten every file in memory all the time meanwhile."""
    import threading

    import numpy

    def cut() -> None:
        while True:
            for name in os.listdir("/proc/self/fd"):
                with suppress(OSError):
                    if "memfd:genro-executor " in os.readlink(f"/proc/self/fd/{name}"):
                        os.ftruncate(int(name), 0)

    threading.Thread(target=cut, daemon=True).start()
    return numpy.ones(size, dtype="uint8")


async def test_a_segment_cannot_be_cut_off_under_its_reader(make: Any) -> None:
    pool = make(max_workers=1)
    for size in (1_000_000, 80 * 2**20):  # copied, and mapped
        value = await pool.submit(cut_off_segments, size)
        await asyncio.sleep(0.2)  # the worker's thread has its time to shorten what is read now
        assert int(value[::4096].sum()) == len(value[::4096])


async def test_calls_whose_tokens_are_lost_run_nevertheless(make: Any) -> None:
    pool = make(max_workers=1)
    for n in range(ECHOES):
        await pool.submit(take_tokens if n % 4 == 0 else wf.echo, *((n,) if n % 4 else ()))
    for _ in range(5):
        calls = []
        for n in range(ECHOES):
            calls.append(pool.submit(wf.echo, n))
            if n % 4 == 0:
                calls.append(pool.submit(take_tokens))
        outcomes = await asyncio.gather(*calls)
        assert [o for o in outcomes if o != "taken"] == [*range(ECHOES)]


def test_a_lost_token_does_not_hold_up_the_claims_behind_it() -> None:
    claims = Claims()
    worker = WorkerClaims(claims.worker_fd)
    claims.give([1, 2, 3, 4, 5])
    assert claims.take_back() == 1
    assert not worker.claim(1)
    assert worker.claim(2)
    assert worker.claim(4)  # the frame of call 3 got lost, and not its token
    assert worker.claim(5)
    assert not worker.claim(6)
    claims.close()


def test_frames_before_a_wrong_one_are_read() -> None:
    here, there = socket.socketpair()
    with here, there:
        here.sendall(frame(RESULT, 1, b"one") + frame(RESULT, 2, b"two") + b"hello, hello, hello!")
        read = FrameCutter(there, FROM_WORKER).read()
    assert [item[:2] for item in read] == [(RESULT, 1), (RESULT, 2), (WRONG, 0)]
    assert b"hello" in bytes(read[-1][3])


def test_a_claimed_length_reserves_no_memory() -> None:
    here, there = socket.socketpair()
    with here, there:
        before = psutil.Process().memory_info().vms
        here.sendall(_claiming(4 * 2**30) + bytes(50_000))
        cutter = FrameCutter(there, FROM_WORKER)
        for _ in range(2):
            assert cutter.read() == []
        assert psutil.Process().memory_info().vms - before < 64 * 2**20


def test_a_long_payload_arrives_whole_though_its_buffer_grows() -> None:
    payload = random.Random(5).randbytes(3_000_001)
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        left = memoryview(frame(RESULT, 1, payload) + frame(RESULT, 2))
        cutter, frames = FrameCutter(there, FROM_WORKER), []
        while len(frames) < 2:
            with suppress(BlockingIOError):
                left = left[here.send(left) :]
            frames += cutter.read()
    assert bytes(frames[0][3]) == payload


def _claiming(length: int) -> bytes:
    """The header of a frame that says its payload has ``length`` bytes."""
    _, number, detail, last = HEADER.unpack(frame(RESULT, 1))
    return HEADER.pack(length, number, detail, last)
