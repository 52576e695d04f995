# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""What the jobs in the stores of ``tests/tasks/stores`` call, return and raise.

These names are on disk: stores that former versions have written name this module, its
functions and its classes. Add to it, and neither rename nor remove anything.
"""

from __future__ import annotations

import array
import enum
import functools
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from genro_routes import RoutingClass, route
from host import HTTPNotFound

from genro_executor_plugin import (
    ExecutorApplication,
    SentFile,
    TaskLimitError,
    TaskState,
    TaskStatus,
    progress,
)

HOLD = "STORED_JOBS_HOLD"
"""While this variable is in the environment, ``hold`` does not return."""


EXECUTORS = {
    "jobs": {"max_workers": 2},
    "line": {"max_workers": 1},
    "threads": {"executor_type": "thread", "max_workers": 1},
}
"""The pools that the jobs name. In ``line`` one job holds the only worker when a store is written,
so that the others stay queued."""


class Color(enum.Enum):
    RED = "red"


@dataclass(frozen=True)
class Order:
    number: int
    price: Decimal
    color: Color = Color.RED


ORDER = Order(7, Decimal("9.50"))


class OrderError(Exception):
    """Takes other arguments than it passes on, as many exceptions do."""

    def __init__(self, order: Order, reason: str) -> None:
        super().__init__(f"order {order.number}: {reason}")
        self.order = order


class StubbornError(Exception):
    """Cannot be pickled."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.lock = threading.Condition()


# -- functions that return ------------------------------------------------------------------------


def add(one: int, other: int = 1) -> int:
    return one + other


async def add_later(one: int, other: int) -> int:
    return one + other


def same(value: Any) -> Any:
    return value


def size(value: Any) -> int:
    return memoryview(value).nbytes


def whole(numbers: Any) -> list[int]:
    return list(numbers)


def with_callback(told: Callable[..., None]) -> str:
    told(1.0, "called back")
    return told.__name__


def name_of(application: Any) -> str:
    return str(application.name)


def hold() -> str:
    progress(0.5, "holding", step=1)
    while HOLD in os.environ:
        time.sleep(0.01)
    return "released"


def doubled(func: Callable[[int], int]) -> Callable[[int], int]:
    @functools.wraps(func)
    def double(number: int) -> int:
        return 2 * func(number)

    return double


@doubled
def plus_one(number: int) -> int:
    return number + 1


def made() -> Callable[[int], int]:
    def inner(number: int) -> int:
        return number * 10

    return inner


tenfold = made()
"""A function whose own name leads nowhere: it is found under this one."""


class Tools:
    @staticmethod
    def half(number: int) -> float:
        return number / 2


def file_to_send() -> SentFile:
    return SentFile("/srv/report.pdf", "application/pdf", "report.pdf", delete=True)


def many_values() -> dict[str, Any]:
    return {
        "order": ORDER,
        "class": Order,
        "function": plus_one,
        "inner": tenfold,
        "state": TaskState.RUNNING,
        "status": TaskStatus("id", TaskState.FAILED, "a title", "a pool"),
        "error": TaskLimitError("too many", task_id="x"),
        "file": file_to_send(),
    }


def local_function() -> Callable[[int], int]:
    """A function that travels by value."""
    return lambda number: number + 41


def view() -> memoryview:
    return memoryview(array.array("i", [1, 2, 3]))


def large() -> bytes:
    return bytes(range(256)) * 300


# -- functions that fail --------------------------------------------------------------------------


def fail(text: str) -> None:
    raise LookupError(text)


def fail_with_cause() -> None:
    try:
        {}["stock"]  # type: ignore[index]
    except KeyError as error:
        failure = OrderError(ORDER, "not in stock")
        failure.add_note("look into the cellar")
        raise failure from error


def fail_stubbornly() -> None:
    raise StubbornError("it stays here")


def fail_with_ours() -> None:
    raise TaskLimitError("the job's own limit", task_id="inner")


def fail_with_http() -> None:
    raise HTTPNotFound("no such order")


def fail_as_a_group() -> None:
    raise ExceptionGroup("two", [ValueError("one"), OrderError(ORDER, "other")])


def fail_locally() -> None:
    class LocalError(Exception):
        pass

    raise LocalError("of a class that travels by value")


def exit_hard() -> None:
    os._exit(7)


def return_nothing_that_travels() -> Any:
    return threading.Condition()


# -- an application -------------------------------------------------------------------------------


class Cellar(RoutingClass):
    name = "cellar"

    @route(executor="line")
    def bottles(self, shelf: int) -> int:
        return shelf * 12


class Archive(ExecutorApplication):
    mount = "archive"

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.name = "archive"
        self.cellar = Cellar()
        self.add_branches({"name": "cellar", "instance": self.cellar})

    @route(executor="line")
    def stamp(self, text: str, times: int = 1) -> str:
        return f"{self.name}: {text * times}"

    @route(executor="line", executor_background=True)
    def scan(self, page: int) -> str:
        return f"page {page}"

    def plain_method(self, number: int) -> str:
        return f"{self.name} {number}"
