# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Shapes of handlers, made from tables: what they return, take, raise, stream and have of self.

``Shapes`` has a route for each. ``REFUSED`` are those that no worker can have; for all others
the answer says nothing of where they ran.
"""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import os
import pathlib
import queue
import random
import sqlite3
import threading
import types
import uuid
from collections.abc import Callable, Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from genro_bag import Bag
from genro_routes import RoutingClass, route
from host import HTTPException, HTTPNotFound, RoutedApplication, StreamingResponse
from pydantic import BaseModel

T = TypeVar("T")
SENTINEL = object()


class Color(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Pair(NamedTuple):
    one: int
    two: str


@dataclasses.dataclass
class Point:
    x: int
    y: int = 2


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: int


class Named:
    def __init__(self, name: str) -> None:
        self.name = name


UNSET = Named("UNSET")


class Page(BaseModel, Generic[T]):
    items: list[T]


class Item(BaseModel):
    name: str
    price: decimal.Decimal = decimal.Decimal("1.5")


class CatchAll:
    """Answers to every name, as proxies do."""

    def __init__(self) -> None:
        self.known = {"a": 1}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return f"no {name}"


class OwnStream(StreamingResponse):
    """A streaming response of the application's own."""


class AppError(Exception):
    pass


class CodedError(HTTPException):
    def __init__(self, code: int, *, held: Any = None) -> None:
        super().__init__(code, f"code {code}", [(b"x-code", b"1")])
        self.held = held


class Section(RoutingClass):
    def __init__(self) -> None:
        self.size = 3

    @route(executor="p")
    def inner(self, times: int = 1) -> int:
        return self.size * times

    @route(executor="p")
    def context(self) -> str:
        return repr(self.ctx)


_OPENED: list[sqlite3.Connection] = []


def connection() -> sqlite3.Connection:
    """An open one, which stays: Python 3.13 warns of those that are collected."""
    _OPENED.append(sqlite3.connect(":memory:", check_same_thread=False))
    return _OPENED[-1]


RESULTS: dict[str, Callable[[], Any]] = {
    "none": lambda: None,
    "true": lambda: True,
    "integer": lambda: 7,
    "float": lambda: 0.1,
    "text": lambda: "\u20ac",
    "empty_text": lambda: "",
    "bytes": lambda: b"\x00\xff",
    "bytearray": lambda: bytearray(b"abc"),
    "list": lambda: [1, "two", None],
    "tuple": lambda: (1, 2),
    "nested": lambda: {"a": [{"b": (1, 2)}]},
    "dict_of_numbers": lambda: {1: "one"},
    "date": lambda: {"d": datetime.date(2024, 2, 29)},
    "datetime": lambda: {"d": datetime.datetime(2024, 2, 29, 1, tzinfo=datetime.UTC)},
    "decimal": lambda: {"p": decimal.Decimal("1.50")},
    "fraction": lambda: str(fractions.Fraction(1, 3)),
    "uuid": lambda: str(uuid.UUID(int=1)),
    "path": lambda: str(pathlib.Path("a/b")),
    "enum": lambda: Color.RED.value,
    "int_enum": lambda: Number.ONE,
    "named_tuple": lambda: Pair(1, "two"),
    "dataclass": lambda: Point(1),
    "frozen_dataclass": lambda: Frozen(1),
    "model": lambda: Item(name="tea"),
    "generic_model": lambda: Page[int](items=[1]),
    "counter": lambda: dict(collections.Counter("aab")),
    "deque": lambda: list(collections.deque([1, 2])),
    "mapping_proxy": lambda: dict(types.MappingProxyType({"a": 1})),
    "bag": lambda: Bag({"a": 1}).to_xml(),
    "range": lambda: list(range(3)),
    "large": lambda: "x" * 400_000,
    "large_bytes": lambda: b"y" * 400_000,
    "sentinel": lambda: SENTINEL is globals()["SENTINEL"],
    "memory_file": lambda: io.BytesIO(b"text").getvalue(),
    "exception_as_text": lambda: repr(AppError("a")),
}

RAISED: dict[str, Callable[[], BaseException]] = {
    "app_error": lambda: AppError("text", 1),
    "value_error": lambda: ValueError("bad"),
    "key_error": lambda: KeyError("k"),
    "type_error": lambda: TypeError("bad type"),
    "http_410": lambda: HTTPException(410, "gone", [(b"x-a", b"b")]),
    "http_404": lambda: HTTPNotFound("nothing"),
    "coded": lambda: CodedError(402),
    "coded_with_connection": lambda: CodedError(402, held=connection()),
    "coded_with_lambda": lambda: CodedError(409, held=lambda: 1),
    "group": lambda: ExceptionGroup("two", [ValueError("a"), KeyError("b")]),
    "with_cause": lambda: _caused(),
}

STREAMS: dict[str, Callable[[], Any]] = {
    "generator": lambda: (part for part in ("a", "b")),
    "bytes_generator": lambda: (part for part in (b"a", b"b")),
    "memoryviews": lambda: (memoryview(part) for part in (b"ab", b"cd")),
    "bytearrays": lambda: (bytearray(part) for part in (b"ab", b"cd")),
    "empty": lambda: (part for part in ()),
    "response": lambda: StreamingResponse(_chunks(), status_code=201),
    "own_response": lambda: OwnStream(_chunks(), status_code=202),
    "many": lambda: (str(number) for number in range(200)),
    "of_views": lambda: StreamingResponse(_views()),
}

STATE: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "number": (lambda: 3, lambda value: value),
    "list": (lambda: [1, 2], lambda value: value),
    "dict_in_dict": (lambda: {"a": {"b": 1}}, lambda value: value["a"]),
    "point": (lambda: Point(1), lambda value: value.x),
    "named": (lambda: Named("n"), lambda value: value.name),
    "sentinel": (lambda: SENTINEL, lambda value: value is SENTINEL),
    "unset": (lambda: UNSET, lambda value: value is UNSET),
    "missing": (lambda: dataclasses.MISSING, lambda value: value is dataclasses.MISSING),
    "not_implemented": (lambda: NotImplemented, lambda value: value is NotImplemented),
    "lock": (threading.Lock, lambda value: value.acquire(blocking=False) and not value.release()),
    "rlock": (threading.RLock, lambda value: value.acquire() and not value.release()),
    "local": (threading.local, lambda value: getattr(value, "x", "none")),
    "catch_all": (CatchAll, lambda value: [value.known, value.other]),
    "partial": (lambda: functools.partial(int, base=2), lambda value: value("11")),
    "method": (lambda: Named("m").__init__, lambda value: value.__name__),
    "model": (lambda: Page[int](items=[1, 2]), lambda value: len(value.items)),
    "lambda": (lambda: lambda: 5, lambda value: value()),
    "color": (lambda: Color.RED, lambda value: value is Color.RED),
    "generator_of_numbers": (lambda: random.Random(1), lambda value: value.randrange(10**9)),
    "event": (threading.Event, lambda value: value.is_set()),
    "queue": (queue.Queue, lambda value: value.qsize()),
    "async_lock": (asyncio.Lock, lambda value: value.locked()),
    "async_queue": (asyncio.Queue, lambda value: value.qsize()),
    "async_event": (asyncio.Event, lambda value: value.is_set()),
    "connection": (lambda: connection(), lambda value: value.total_changes),
    "bare_object": (object, lambda value: value == 1),
    "weak": (lambda: Weak(), lambda value: value.here()),
}


class Weak:
    """Has what cannot be pickled."""

    def __init__(self) -> None:
        self.iterator = iter(io.StringIO("a"))
        self.generator = (number for number in (1,))

    def here(self) -> bool:
        return next(self.generator) == 1 or True


STREAMED = {f"streams_{name}" for name in STREAMS if "response" not in name and name != "of_views"}
"""Bare generators: the plugin streams them wherever they run; without it there is their repr."""

REFUSED = {
    "looks_event": "Shapes.state_event",
    "looks_queue": "Shapes.state_queue",
    "looks_async_lock": "asyncio.locks.Lock",
    "looks_async_queue": "asyncio.queues.Queue",
    "looks_async_event": "asyncio.locks.Event",
    "looks_connection": "sqlite3.Connection",
    "looks_bare_object": "its identity",
    "looks_weak": "generator",
    "reads_server": "the server is not in the worker",
}
"""What cannot be had of ``self`` in a worker, and a word of what the error says."""


def _caused() -> Exception:
    error = AppError("outer")
    error.__cause__ = ValueError("inner")
    return error


async def _chunks() -> Any:
    for part in (b"one ", b"two"):
        yield part


async def _views() -> Any:
    for part in (b"one ", b"two"):
        yield memoryview(part)


def through(func: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as applications have them."""

    @functools.wraps(func)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapped


class Shapes(RoutedApplication):
    mount = "shapes"

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.route.plug("pydantic")
        self.section = Section()
        self.add_branches({"name": "section", "instance": self.section})
        self.add_branches({"name": "lazily", "cls": Section, "params": {}, "lazy": True})
        self.add_branches({"name": "again", "alias": "section"})
        self.route.add_entry(lambda self, x="1": {"x": x}, name="added", executor_pool="p")
        for name, (make, _) in STATE.items():
            setattr(self, f"state_{name}", make())

    @route(executor="p")
    def takes(self, a: int, b: str = "b", c: float | None = None) -> list[Any]:
        return [a, b, c]

    @route(executor="p")
    async def takes_async(self, a: int, b: str = "b") -> list[Any]:
        return [a, b]

    @route(executor="p")
    def takes_many(self, *names: str, **others: Any) -> list[Any]:
        return [names, sorted(others.items())]

    @route(executor="p")
    def takes_sentinel(self, currency=SENTINEL) -> bool:  # type: ignore[no-untyped-def] # as many have it
        return currency is SENTINEL

    @route(executor="p")
    def takes_page(self, page: Page[int]) -> int:
        return sum(page.items)

    @route(executor="p")
    def takes_item(self, item: Item) -> str:
        return str(item.price)

    @route(executor="p")
    def takes_body(self, body_data: Any = None) -> str:
        return repr(body_data)

    @route(executor="p")
    @through
    def decorated(self, a: int = 1) -> int:
        return a

    @route(executor="p")
    def wrapped(self) -> Any:
        return self.result_wrapper("<p>", media_type="text/html")

    @route(executor="p")
    def config_default(self) -> Any:
        return self.config("parameters.title", default="none")

    @route(executor="p")
    def reads_context(self) -> str:
        return repr(self.ctx)

    @route(executor="p")
    def reads_capabilities(self) -> list[Any]:
        return list(self.capabilities)

    @route(executor="p")
    def reads_server(self) -> int:
        return len(self.server.applications)

    @route(executor="p")
    def reads_environment(self) -> str:
        return os.environ.get("SHAPES", "none")

    @route(executor="p")
    def reads_directory(self) -> str:
        return os.getcwd()

    @route(executor="p")
    def reads_umask(self) -> str:
        umask = os.umask(0o22)
        os.umask(umask)
        return oct(umask)


def _add(name: str, handler: Any) -> None:
    handler.__name__, handler.__qualname__ = name, f"Shapes.{name}"
    handler.__module__ = __name__
    handler.__annotations__.pop("self", None)  # the pydantic plugin looks for it in the signature
    setattr(Shapes, name, route(executor="p")(handler))


def _returning(make: Callable[[], Any], asynchronous: bool) -> Any:
    def here(self: Any) -> Any:
        return make()

    async def on_the_loop(self: Any) -> Any:
        return make()

    return on_the_loop if asynchronous else here


def _raising(make: Callable[[], BaseException]) -> Any:
    def here(self: Any) -> Any:
        raise make()

    return here


def _looking(name: str, look: Callable[[Any], Any]) -> Any:
    def here(self: Any) -> Any:
        return look(getattr(self, name))

    return here


def paths() -> Iterator[str]:
    """The path of every shape, with its query."""
    yield from ("takes?a=1", "takes?a=x", "takes", "takes?a=1&c=1.5", "takes_async?a=2&b=x")
    yield from (
        "takes_many/x/y?z=1",
        "takes_sentinel",
        "decorated?a=3",
        "wrapped",
        "config_default",
    )
    yield from ("reads_context", "reads_capabilities", "reads_server", "section/inner?times=2")
    yield from ("reads_environment", "reads_directory", "reads_umask", "section/context", "absent")
    yield from ("lazily/inner?times=3", "again/inner?times=4", "lazily/context")
    yield from ("added?x=2", "added")
    yield from (f"{kind}{name}" for kind in ("gives_", "awaits_") for name in RESULTS)
    yield from (f"raises_{name}" for name in RAISED)
    yield from (f"streams_{name}" for name in STREAMS)
    yield from (f"looks_{name}" for name in STATE)


for _name, _make in RESULTS.items():
    _add(f"gives_{_name}", _returning(_make, asynchronous=False))
    _add(f"awaits_{_name}", _returning(_make, asynchronous=True))
for _name, _raise in RAISED.items():
    _add(f"raises_{_name}", _raising(_raise))
for _name, _make in STREAMS.items():
    _add(f"streams_{_name}", _returning(_make, asynchronous=False))
for _name, (_, _look) in STATE.items():
    _add(f"looks_{_name}", _looking(f"state_{_name}", _look))

BODIES = {
    "takes_page": {"page": {"items": [1, 2]}},
    "takes_item": {"item": {"name": "tea"}},
    "takes_body": {"a": 1},
}
"""Those that are asked with a body."""
