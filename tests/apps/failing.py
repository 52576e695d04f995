# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Functions that fail in every shape."""

from __future__ import annotations

import sqlite3
import threading
from typing import Any

from host import HTTPException
from pydantic import BaseModel


class Model(BaseModel):
    number: int


class LostError(Exception):
    def __init__(self, name: str, *, code: int) -> None:
        super().__init__(f"{name} is lost")
        self.name = name
        self.code = code


class LyingError(Exception):
    """Comes out of its pickle as something else."""

    def __reduce__(self) -> Any:
        return str, ("no error at all",)


class RaisingError(Exception):
    def __reduce__(self) -> Any:
        raise ValueError("not today")


def inner(depth: int) -> None:
    secret = "a local value"
    if depth:
        inner(depth - 1)
    raise LostError("key", code=len(secret) + 4)


def chained() -> None:
    try:
        inner(2)
    except LostError as error:
        error.add_note("looked everywhere")
        raise ValueError("cannot open") from error


def grouped() -> None:
    errors: list[Exception] = []
    for number in range(2):
        try:
            inner(number)
        except LostError as error:
            error.add_note(f"number {number}")
            errors.append(error)
    nested = ExceptionGroup("nested", [KeyError("k")])
    raise ExceptionGroup("two and more", [*errors, nested])


async def grouped_async() -> None:
    import asyncio

    calls = asyncio.to_thread(inner, 0), asyncio.to_thread(chained)
    errors = await asyncio.gather(*calls, return_exceptions=True)
    raise ExceptionGroup("both", [error for error in errors if isinstance(error, Exception)])


def invalid() -> None:
    Model(number="none")  # type: ignore[arg-type]


def circular() -> None:
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    raise one


def holds_a_lock() -> None:
    error = LostError("lock", code=1)
    error.lock = threading.Condition()  # type: ignore[attr-defined]
    raise error


def lies() -> None:
    raise LyingError("the truth")


def raises() -> None:
    raise RaisingError("the truth")


class PaymentError(HTTPException):
    def __init__(self, connection: object) -> None:
        super().__init__(402, "pay first", [(b"x-pay", b"yes")])
        self.connection = connection


_OPENED: list[sqlite3.Connection] = []


def connection() -> sqlite3.Connection:
    """An open one, which stays: Python 3.13 warns of those that are collected."""
    _OPENED.append(sqlite3.connect(":memory:"))
    return _OPENED[-1]


def pays_with_a_connection() -> None:
    raise PaymentError(connection())


def raises_a_type_of_its_own() -> None:
    opened = connection()

    class GoneError(HTTPException):
        held = opened

    raise GoneError(410, "gone", [(b"x-gone", b"1")])
