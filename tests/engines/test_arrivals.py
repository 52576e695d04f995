# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What a worker sends is handled without holding up the event loop, and in the call's order."""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import enum
import logging
import os
import pickle
import sys
import threading
import time
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest
from waiting import until

from genro_executor_plugin import ExecutorTimeoutError, RemoteError, progress
from genro_executor_plugin.portable.quickness import rebuilt_at_once

logger = logging.getLogger("arrivals")


class Slow(logging.Handler):
    """Takes its time, and knows on which threads it was called."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.texts: list[str] = []
        self.threads: set[int] = set()

    def emit(self, record: logging.LogRecord) -> None:
        self.threads.add(threading.get_ident())
        time.sleep(self.seconds)
        self.texts.append(record.getMessage())


@pytest.fixture
def slow() -> Iterator[Slow]:
    handler = Slow(0.05)
    logger.addHandler(handler)
    logger.propagate = False
    yield handler
    logger.removeHandler(handler)
    logger.propagate = True


def says(count: int) -> int:
    for number in range(count):
        logger.warning("number %d", number)
    return count


def never_stops() -> None:
    while True:
        logger.warning("still here, %s", "x" * 200)


def answer() -> int:
    return 42


class SpeaksSlowlyHere(Exception):  # it is an exception of some application
    """Its text is there at once in the process that raised it, and takes long in any other."""

    said_slowly = 0

    def __init__(self, pid: int) -> None:
        super().__init__(pid)
        self.pid = pid

    def __str__(self) -> str:
        if os.getpid() != self.pid:
            SpeaksSlowlyHere.said_slowly += 1
            time.sleep(1)
        return "said at last"


def raises_slowly() -> None:
    raise SpeaksSlowlyHere(os.getpid())


def raises_at_length(size: int) -> None:
    raise ValueError("x" * size)


def imports_and_returns(folder: str, name: str) -> Any:
    sys.path.insert(0, folder)
    return __import__(name).Thing()


def imports_and_raises(folder: str, name: str) -> None:
    sys.path.insert(0, folder)
    raise __import__(name).ThingError("x")


def imports_and_tells(folder: str, name: str) -> int:
    sys.path.insert(0, folder)
    progress(0.1, "begins")
    return len(str(__import__(name).Thing()))


@pytest.fixture
def slow_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module that only workers have imported, and whose import notes its thread."""
    name = f"slow_to_import_{os.getpid()}"
    lines = ["import threading", "WHERE = threading.get_ident()", "class Thing: pass"]
    lines += ["class ThingError(Exception): pass"]
    (tmp_path / f"{name}.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


async def test_records_are_handled_on_one_thread_and_the_result_waits_for_them(
    make: Any, slow: Slow
) -> None:
    pool = make(max_workers=1)
    assert await pool.submit(says, 5) == 5
    assert slow.texts == [f"number {n}" for n in range(5)]
    assert len(slow.threads) == 1
    assert threading.get_ident() not in slow.threads


def says_much(megabytes: int) -> None:
    logger.warning("%s", "x" * (megabytes * 2**20))


async def test_a_huge_record_is_cut_in_the_worker(make: Any, slow: Slow) -> None:
    pool = make(max_workers=1)
    await pool.submit(says_much, 20)
    (text,) = slow.texts
    assert text.startswith("xxx")
    assert "[...]" in text
    assert len(text) < 100_000


async def test_a_slow_handler_holds_up_no_other_call(make: Any, slow: Slow) -> None:
    slow.seconds = 0.5
    pool = make(max_workers=2)
    await asyncio.gather(pool.submit(answer), pool.submit(answer))
    talking = asyncio.create_task(pool.submit(says, 4))
    await until(lambda: bool(slow.threads))
    assert await pool.submit(answer) == 42
    assert len(slow.texts) < 4
    assert await talking == 4


@pytest.mark.parametrize("way", ["timeout", "cancel"])
async def test_a_call_that_logs_without_pause_can_be_ended(make: Any, slow: Slow, way: str) -> None:
    """The handler is slower than the worker: what is unread by then is more than it can handle."""
    slow.seconds = 0.001
    pool = make(max_workers=1)
    await pool.submit(answer)
    if way == "timeout":
        with pytest.raises(ExecutorTimeoutError):
            await pool.options(timeout=0.5).submit(never_stops)
    else:
        call = asyncio.create_task(pool.submit(never_stops))
        await until(lambda: bool(slow.texts))
        call.cancel()
        await asyncio.wait([call])
    assert threading.get_ident() not in slow.threads
    assert await pool.submit(answer) == 42


async def test_a_flood_of_records_waits_in_the_worker_and_not_in_the_server(
    make: Any, slow: Slow
) -> None:
    """Back-pressure: a worker is not read while a bounded number of its records is unhandled."""
    gate = threading.Event()
    slow.emit = lambda record: (slow.texts.append("one"), gate.wait())[0]  # type: ignore[method-assign]
    pool = make(max_workers=1)
    call = asyncio.create_task(pool.submit(says, 5000))
    await until(lambda: bool(slow.texts))
    records = next(iter(pool._engine._pool._supervisor.workers))._arrivals.records
    last = -1
    while records._unfinished != last:  # the worker has filled its socket
        last = records._unfinished
        await asyncio.sleep(0.3)
    assert not call.done()
    assert 0 < last < 1000
    gate.set()
    assert await call == 5000
    assert len(slow.texts) == 5000


@pytest.mark.parametrize("func", [imports_and_returns, imports_and_raises])
async def test_a_module_that_only_the_worker_has_is_imported_on_a_thread(
    make: Any, slow_module: str, tmp_path: Path, func: Any
) -> None:
    pool = make(max_workers=1)
    outcome = (
        await asyncio.gather(pool.submit(func, str(tmp_path), slow_module), return_exceptions=True)
    )[0]
    assert type(outcome).__module__ == slow_module
    assert threading.get_ident() != sys.modules[slow_module].WHERE


def many(count: int) -> list[str]:
    return [str(number) for number in range(count)]


async def test_many_small_objects_are_rebuilt_while_the_loop_goes_on(make: Any) -> None:
    """No part of the result is large by itself: it comes over the socket, in one pickle."""
    pool = make(max_workers=1)
    assert len(await pool.submit(many, 1_000_000)) == 1_000_000
    assert len(await pool.submit(many, 1_000_000)) == 1_000_000  # now in shared memory


async def test_an_exception_with_a_slow_text_arrives_as_text(make: Any) -> None:
    pool = make(max_workers=1)
    with pytest.raises(RemoteError, match="said at last") as caught:
        await pool.submit(raises_slowly)
    assert caught.value.type_name.endswith("SpeaksSlowlyHere")
    asked = SpeaksSlowlyHere.said_slowly
    assert "said at last" in str(caught.value)
    assert SpeaksSlowlyHere.said_slowly == asked


async def test_a_huge_message_of_an_exception_is_cut_in_the_worker(make: Any) -> None:
    pool = make(max_workers=1)
    with pytest.raises(RemoteError) as caught:
        await pool.submit(raises_at_length, 20 * 2**20)
    assert len(str(caught.value)) < 10_000
    assert len(caught.value.remote_traceback) < 100_000
    with pytest.raises(ValueError, match="xxx"):
        await pool.submit(raises_at_length, 2**20)


class Waiting:
    """Rebuilt in the server when it is told to go on."""

    entered = threading.Event()
    released = threading.Event()

    @classmethod
    def wait(cls) -> None:
        cls.entered.set()
        assert cls.released.wait(40)


class WaitsForState:
    def __init__(self) -> None:
        self.state = 1

    def __setstate__(self, state: Any) -> None:
        Waiting.wait()


def rebuilt_slowly() -> int:
    Waiting.wait()
    return 1


class WaitsToBeMade:
    def __reduce__(self) -> Any:
        return rebuilt_slowly, ()


class WaitsForNew:
    def __new__(cls, *args: Any) -> Any:
        if os.getpid() in SERVERS:
            Waiting.wait()
        return super().__new__(cls)


class WaitsForSlots:
    __slots__ = ("value",)

    def __init__(self) -> None:
        object.__setattr__(self, "value", 1)

    def __setattr__(self, name: str, value: Any) -> None:
        Waiting.wait()


class WaitsForItems(list[int]):
    def append(self, value: int) -> None:
        Waiting.wait()

    def extend(self, values: Any) -> None:
        Waiting.wait()


class WaitsForItsHash:
    def __hash__(self) -> int:
        if os.getpid() in SERVERS:
            Waiting.wait()
        return 1


class WaitsToBeAsked:
    def __init__(self) -> None:
        self.value = 1

    def __getattr__(self, name: str) -> Any:
        if os.getpid() in SERVERS:
            Waiting.wait()
        raise AttributeError(name)


class WaitsForArguments(Exception):
    def __init__(self, *args: Any) -> None:
        if os.getpid() in SERVERS:
            Waiting.wait()
        super().__init__(*args)


class Meta(type):
    def __call__(cls, *args: Any) -> Any:
        if os.getpid() in SERVERS:
            Waiting.wait()
        return super().__call__(*args)


class WaitsInItsMetaclass(metaclass=Meta):
    def __reduce__(self) -> Any:
        return WaitsInItsMetaclass, ()


SERVERS: set[int] = set()
"""The process whose rebuilding waits."""

WAITING: dict[str, Any] = {
    "__setstate__": WaitsForState,
    "__reduce__": WaitsToBeMade,
    "__new__": WaitsForNew,
    "__setattr__": WaitsForSlots,
    "append": lambda: WaitsForItems([1, 2]),
    "__hash__": lambda: {WaitsForItsHash(): 1},
    "__getattr__": WaitsToBeAsked,
    "__init__": lambda: WaitsForArguments("x"),
    "metaclass": WaitsInItsMetaclass,
}


def give_waiting(way: str) -> Any:
    return WAITING[way]()


async def test_users_code_in_the_rebuild_of_a_small_result_holds_up_no_other_call(
    make: Any,
) -> None:
    pool = make(max_workers=1)
    SERVERS.add(os.getpid())
    try:
        for way in WAITING:
            Waiting.entered.clear()
            Waiting.released.clear()
            waiting = asyncio.create_task(pool.submit(give_waiting, way))
            await until(Waiting.entered.is_set)
            assert await pool.submit(os.getppid), way
            Waiting.released.set()
            await waiting
    finally:
        Waiting.released.set()
        SERVERS.clear()


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    value: int


class Model(pydantic.BaseModel):
    value: int


class Pair(typing.NamedTuple):
    value: int


class Shade(enum.Enum):
    DARK = 1


class Plain:
    def __init__(self) -> None:
        self.value = 1


def test_what_is_rebuilt_at_once_is_small_imports_nothing_and_runs_no_code_of_users() -> None:
    quick = (1, "x", [1.5] * 100, {"a": datetime.date(2026, 1, 1)}, b"x" * 200_000, Plain())
    for value in (*quick, Frozen(1), {Frozen(1)}, Model(value=1), Pair(1), Shade.DARK, Path("/")):
        rebuilt = rebuilt_at_once(pickle.dumps(value, 5))
        assert rebuilt is not None, value
        assert type(rebuilt()) is type(value)
    for way in WAITING:
        assert rebuilt_at_once(pickle.dumps(give_waiting(way), 5)) is None, way
    assert rebuilt_at_once(pickle.dumps(list(range(100_000)), 5)) is None
    named = pickle.dumps(datetime.date(2026, 1, 1), 5)
    assert rebuilt_at_once(named.replace(b"datetime", b"datetim_")) is None
    assert rebuilt_at_once(b"\x80\x05\x8c\x08builtins\x8c\x04gone\x93.") is None
    broken = rebuilt_at_once(b"\x80\x05K")
    assert broken is not None
    with pytest.raises(pickle.UnpicklingError):
        broken()
