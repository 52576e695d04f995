# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Values of every sort, made here and in a worker alike, to see which of them travel."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextvars
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import logging
import operator
import os
import pathlib
import queue
import re
import socket
import sys
import threading
import types
import uuid
import weakref
from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypedDict, TypeVar

import httpx
import numpy
from genro_bag import Bag
from genro_routes import RoutingClass, route
from genro_tytx import to_tytx
from host import AsgiServer, BaseApplication, RoutedApplication
from pydantic import BaseModel

from . import shapes

T = TypeVar("T")


class Color(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Point:
    x: int
    y: int = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: int


class Pair(NamedTuple):
    one: int
    other: str


class Entry(TypedDict):
    name: str


class Item(BaseModel):
    name: str
    price: decimal.Decimal


class Page(BaseModel, Generic[T]):
    items: list[T]


class Plain:
    def __init__(self) -> None:
        self.inside = [1]

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plain) and other.inside == self.inside

    __hash__ = None  # type: ignore[assignment]


class Section(RoutingClass):
    pass


def numbers() -> Iterator[int]:
    yield 1


async def coroutine() -> int:
    return 1


def local_class() -> Any:
    @dataclasses.dataclass
    class Local:
        x: int = 1

    return Local()


def an_error() -> Exception:
    error = ValueError("text", 1)
    error.add_note("a note")
    return error


class OwnLock(asyncio.Lock):
    pass


SENTINEL = object()


def held_lock() -> Any:
    lock = threading.Lock()
    lock.acquire()
    return lock


def a_stream() -> Any:
    loop = asyncio.new_event_loop()
    loop.close()
    return asyncio.StreamReader(loop=loop)


def a_future() -> Any:
    loop = asyncio.new_event_loop()
    loop.close()
    return asyncio.Future(loop=loop)


VARIABLE: contextvars.ContextVar[int] = contextvars.ContextVar("VARIABLE")

SORTS: dict[str, Callable[[], Any]] = {
    "`None`, booleans, numbers, text, bytes": lambda: [None, True, 1, 1.5, 2j, "\u20ac", b"x"],
    "lists, dicts, sets, tuples, nested": lambda: {"a": [1, {2, 3}], ("b",): frozenset({4})},
    "`bytearray`, `array`, `io.BytesIO`": lambda: [bytearray(b"x"), io.BytesIO(b"y").getvalue()],
    "dates, times, time zones": lambda: [
        datetime.datetime(2024, 2, 29, 1, 2, tzinfo=datetime.UTC),
        datetime.date(2024, 1, 1),
        datetime.timedelta(seconds=1.5),
    ],
    "`Decimal`, `Fraction`": lambda: [decimal.Decimal("1.50"), fractions.Fraction(1, 3)],
    "`UUID`, `Path`, compiled patterns": lambda: [
        uuid.UUID(int=1),
        pathlib.Path("a/b"),
        re.compile("a+", re.IGNORECASE),
    ],
    "enums, named tuples, typed dicts": lambda: [Color.RED, Pair(1, "b"), Entry(name="n")],
    "dataclasses, frozen and slotted ones, too": lambda: [Point(1), Frozen(2)],
    "generic pydantic models": lambda: Page[int](items=[1]),
    "pydantic models": lambda: Item(name="tea", price=decimal.Decimal("1.20")),
    "instances of your classes": Plain,
    "deques, counters, ordered and default dicts": lambda: [
        collections.deque([1], 3),
        collections.Counter("aab"),
        collections.defaultdict(list, a=[1]),
    ],
    "numpy arrays": lambda: numpy.arange(6).reshape(2, 3),
    "genro-bag: `Bag`": lambda: Bag({"a": 1, "b": Bag({"c": decimal.Decimal("1.5")})}),
    "genro-tytx: encoded values": lambda: to_tytx({"d": datetime.date(2024, 1, 1)}),
    "`self.result_wrapper(...)`": lambda: Section().result_wrapper([1], media_type="text/html"),
    "exceptions, with their notes": an_error,
    "exception groups": lambda: ExceptionGroup("two", [an_error(), KeyError("k")]),
    "functions and classes of modules": lambda: [numbers, Point, operator.add],
    "bound methods, `functools.partial`": lambda: [
        Plain().__eq__,
        functools.partial(operator.add, 1),
    ],
    "lambdas, local functions": lambda: lambda x: x + 1,
    "instances of local classes": local_class,
    "loggers": lambda: logging.getLogger("a.b"),
    "modules": lambda: operator,
    "applications and sections (their replicas)": Section,
    "applications that are no routers": lambda: BaseApplication(code="other"),
    "servers": AsgiServer,
    "routers": lambda: Section().route,
    "pools (their calls run where they are)": lambda: __import__(
        "genro_executor_plugin"
    ).ThreadExecutor("other"),
    "generators": numbers,
    "coroutines (as a result they are awaited)": coroutine,
    "open files": lambda: open(os.devnull),  # noqa: SIM115 - dropped at once
    "`memoryview`": lambda: memoryview(b"x"),
    "sentinels: an `object()` that a module has": lambda: SENTINEL,
    "`dataclasses.MISSING`, and instances that a module has": lambda: dataclasses.MISSING,
    "an `object()` that no module has": object,
    "`Lock`, `RLock` (a fresh one)": threading.Lock,
    "a `Lock` that is held (of `self`: a fresh one)": held_lock,
    "`threading.local` (a fresh one, empty)": threading.local,
    "`threading`: events, conditions, semaphores, barriers": threading.Event,
    "`queue.Queue`": queue.Queue,
    "futures and executors of `concurrent.futures`": concurrent.futures.Future,
    "threads": lambda: threading.Thread(target=print),
    "sockets": socket.socket,
    "database connections": shapes.connection,
    "`asyncio.Lock`": asyncio.Lock,
    "`asyncio.Event`": asyncio.Event,
    "`asyncio.Condition`": asyncio.Condition,
    "`asyncio.Semaphore`": lambda: asyncio.BoundedSemaphore(2),
    "`asyncio.Barrier`": lambda: asyncio.Barrier(2),
    "`asyncio.Queue`": asyncio.PriorityQueue,
    "`asyncio.TaskGroup`": asyncio.TaskGroup,
    "asyncio futures and tasks": a_future,
    "asyncio transports, streams, protocols": a_stream,
    "event loops": asyncio.new_event_loop,
    "subclasses of these": OwnLock,
    "clients of one event loop (`httpx.AsyncClient`)": httpx.AsyncClient,
    "context variables themselves": lambda: VARIABLE,
    "weak references": lambda: weakref.ref(Plain),
    "frames, tracebacks": lambda: sys._getframe(),
    "read-only mappings": lambda: types.MappingProxyType({"a": 1}),
}
"""What it is called in the documentation, and one of it."""


class Luggage(RoutedApplication):
    mount = "luggage"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.value: Any = None

    @route(executor="p")
    def look(self) -> Any:
        return seen(self.value)


def seen(value: Any) -> Any:
    """Use ``value`` as far as everything can be used, and tell what it is."""
    value.__class__.__name__  # noqa: B018 - a placeholder explains itself here
    getattr(value, "anything_at_all", None)
    return type(value).__name__


def give(sort: str) -> Any:
    return SORTS[sort]()
