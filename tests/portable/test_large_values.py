# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Large arguments and results: through shared memory, whole, without holding the event loop."""

from __future__ import annotations

import array
import asyncio
import hashlib
import os
import resource
import time
from typing import Any

import numpy
import psutil
import pytest
import worker_functions as wf
from waiting import until

from genro_executor_plugin import ExecutorTimeoutError, SerializationError
from genro_executor_plugin.portable.shared_memory.reading import read_value
from genro_executor_plugin.portable.shared_memory.segments import LARGE_BYTES, Segments, split

SIZE = 3 * 2**20


def shared_memory() -> int:
    """Bytes in segments that this process holds open or mapped."""
    total = 0
    for fd in os.listdir("/proc/self/fd"):
        path = f"/proc/self/fd/{fd}"
        try:
            if "genro-executor" in os.readlink(path):
                total += os.stat(path).st_size
        except OSError:
            continue
    return total


def there_and_back(value: Any) -> Any:
    segments = Segments()
    segment = segments.hold(split(value, None))
    assert segment is not None
    segment.finish()
    found = read_value(os.dup(segment.fd), segment.layout)
    segments.release(segment)
    segments.close()
    return found


class Named(bytes):
    """Bytes of a class of their own."""


VALUES: dict[str, Any] = {
    "bytes": os.urandom(SIZE),
    "bytearray": bytearray(os.urandom(SIZE)),
    "memoryview": memoryview(os.urandom(SIZE)),
    "memoryview of numbers": memoryview(array.array("d", range(SIZE // 8))),
    "str": "aé" * SIZE,
    "bytes of a class": Named(os.urandom(SIZE)),
    "array": numpy.arange(SIZE, dtype=numpy.int32).reshape(3, -1),
    "array in columns": numpy.asfortranarray(numpy.ones((100, SIZE // 100))),
    "array, every second": numpy.arange(SIZE)[::2],
    "nested": {"rows": [os.urandom(SIZE), numpy.zeros(SIZE)], "more": ({"deep": b"x" * SIZE},)},
    "many small": [os.urandom(1000) for _ in range(1000)],
    "empty among large": [b"", numpy.zeros(0), b"x" * SIZE],
}


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, numpy.ndarray):
        return one.dtype == other.dtype and numpy.array_equal(one, other)
    if isinstance(one, memoryview):
        return one == other and one.format == other.format
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


@pytest.mark.parametrize("name", VALUES)
async def test_what_is_large_arrives_as_what_was_sent(make: Any, name: str) -> None:
    pool = make(max_workers=1)
    for _ in range(3):  # a function is known to be given large values after its first call
        assert same(await pool.submit(wf.echo, VALUES[name]), VALUES[name])
    assert same(there_and_back(VALUES[name]), VALUES[name])


async def test_arrays_can_be_changed_where_they_arrive(make: Any) -> None:
    pool = make(max_workers=1)
    assert await pool.submit(wf.change_in_place, numpy.zeros(SIZE)) == 1.0
    found = await pool.submit(wf.echo, numpy.zeros(SIZE))
    found[0] = 5
    constant = numpy.zeros(SIZE)
    constant.setflags(write=False)
    assert not (await pool.submit(wf.echo, constant)).flags.writeable


async def test_a_result_is_the_callers_own(make: Any) -> None:
    """The memory a result came through is used again; the result is not in it any more."""
    pool = make(max_workers=1)
    first = await pool.submit(wf.echo, numpy.full(SIZE, 1, numpy.uint8))
    second = await pool.submit(wf.echo, numpy.full(SIZE, 2, numpy.uint8))
    assert first[0] == first[-1] == 1
    assert second[0] == second[-1] == 2


async def test_what_a_worker_keeps_of_its_arguments_stays_as_it_was(make: Any) -> None:
    pool = make(max_workers=1)
    await pool.submit(wf.keep, numpy.full(SIZE, 1, numpy.uint8))
    await pool.submit(wf.digest, os.urandom(SIZE))
    kept = await pool.submit(wf.kept)
    assert kept[0] == kept[-1] == 1


@pytest.mark.parametrize("make_value", [bytearray, lambda n: numpy.zeros(n, numpy.uint8)])
async def test_arguments_are_as_they_were_when_the_call_was_made(
    make: Any, gate: Any, make_value: Any
) -> None:
    """What changes them while the call is on its way, or waits, does not change the call."""
    pool = make(max_workers=1)
    held = asyncio.create_task(pool.submit(wf.hold, gate.path))
    await gate.entered()
    value = make_value(SIZE)
    calls = [asyncio.create_task(pool.submit(wf.digest, value)) for _ in range(2)]
    await asyncio.sleep(0)
    value[:] = b"\x01" * SIZE if isinstance(value, bytearray) else 1
    gate.release()
    await held
    assert await asyncio.gather(*calls) == [hashlib.sha256(bytes(SIZE)).hexdigest()] * 2


async def test_memory_is_given_back(make: Any) -> None:
    pool = make(max_workers=2)
    value = os.urandom(SIZE)
    for _ in range(3):
        await asyncio.gather(*(pool.submit(wf.echo, value) for _ in range(8)))
    before = psutil.Process().memory_info().rss, shared_memory()
    for _ in range(20):
        await asyncio.gather(*(pool.submit(wf.echo, value) for _ in range(8)))
    assert psutil.Process().memory_info().rss - before[0] < 10 * SIZE
    assert shared_memory() <= max(before[1], 32 * 2**20)
    await pool.shutdown()
    assert shared_memory() == 0


async def test_the_event_loop_goes_on_while_large_values_are_copied(make: Any) -> None:
    """Bytes are written and read on threads that do not hold the interpreter."""
    pool = make(max_workers=1)
    value = os.urandom(64 * 2**20)
    await pool.submit(wf.echo, value)
    began = time.perf_counter()
    call = asyncio.create_task(pool.submit(wf.echo, value))
    turns = 0
    while not call.done():
        turns += 1
        await asyncio.sleep(0.001)
    assert turns > (time.perf_counter() - began) / 0.1  # it went round all the time


async def test_a_caller_that_leaves_while_its_arguments_are_written(make: Any) -> None:
    pool = make(max_workers=1)
    assert await pool.submit(wf.answer) == 42
    for _ in range(5):
        call = asyncio.create_task(pool.submit(wf.digest, os.urandom(SIZE)))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    value = os.urandom(SIZE)
    assert await pool.submit(wf.digest, value) == hashlib.sha256(value).hexdigest()
    assert pool.metrics["cancelled"] == 5


async def test_large_arguments_survive_a_killed_worker(make: Any) -> None:
    """A call that is repeated, and the one after a call that was killed, have their own values."""
    pool = make(max_workers=1)
    value = os.urandom(SIZE)
    with pytest.raises(ExecutorTimeoutError):
        await pool.options(timeout=0.3).submit(wf.spin_with, value)
    assert await pool.submit(wf.digest, value) == hashlib.sha256(value).hexdigest()


async def test_a_call_that_is_repeated_is_given_its_large_arguments_again(
    make: Any, tmp_path: Any
) -> None:
    pool = make(max_workers=1, retries=1)
    value = os.urandom(SIZE)
    found = await pool.submit(wf.crash_once, str(tmp_path / "crashed"), value)
    assert found == hashlib.sha256(value).hexdigest()


@pytest.mark.parametrize("options", [{"threads_per_worker": 4}, {"start_method": "spawn"}, {}])
@pytest.mark.parametrize("func", [wf.echo, wf.echo_async])
async def test_many_large_values_cross_at_once(make: Any, options: Any, func: Any) -> None:
    pool = make(max_workers=2, **options)
    values = [os.urandom(LARGE_BYTES + n) for n in range(40)]
    assert await asyncio.gather(*(pool.submit(func, value) for value in values)) == values


async def test_without_shared_memory_the_socket_is_used(make: Any) -> None:
    """No descriptor is left for a segment: the values go the ordinary way."""
    pool = make(max_workers=1)
    value = os.urandom(SIZE)
    assert await pool.submit(wf.answer) == 42
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(fd) for fd in os.listdir("/proc/self/fd"))
    fillers = [os.open("/dev/null", os.O_RDONLY) for _ in range(highest)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(fillers) + 1, limits[1]))
    try:
        assert await pool.submit(wf.digest, value) == hashlib.sha256(value).hexdigest()
        with pytest.raises(SerializationError, match="too many files open"):
            await pool.submit(wf.echo, value)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for fd in fillers:
            os.close(fd)
    await until(lambda: pool.metrics["running"] == 0)
    assert await pool.submit(wf.echo, value) == value


async def test_a_large_value_that_does_not_pickle_is_named(make: Any) -> None:
    pool = make(max_workers=1)
    with pytest.raises(SerializationError, match="argument 'value'"):
        await pool.submit(wf.echo, [b"x" * SIZE, (n for n in range(3))])
    with pytest.raises(SerializationError, match=r"result of .*large_and_unpicklable"):
        await pool.submit(wf.large_and_unpicklable, SIZE)
    assert await pool.submit(wf.answer) == 42


def test_a_segment_with_less_in_it_than_was_said() -> None:
    segments = Segments()
    segment = segments.hold(split(b"x" * SIZE, None))
    assert segment is not None
    with pytest.raises(EOFError):  # ``finish`` was not called: nothing is there yet
        read_value(os.dup(segment.fd), segment.layout)
    segment.close()
