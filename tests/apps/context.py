# SPDX-FileCopyrightText: 2026 the genro-executor-plugin authors
# SPDX-License-Identifier: Apache-2.0

"""Functions that look at the context they run in."""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

from opentelemetry import trace

request_id: ContextVar[Any] = ContextVar("request_id")
tenant: ContextVar[str] = ContextVar("tenant_of_this_test", default="nobody")
twin_one: ContextVar[int] = ContextVar("twin")
twin_two: ContextVar[int] = ContextVar("twin")


def seen() -> list[Any]:
    return [request_id.get("unset"), tenant.get()]


async def seen_async() -> list[Any]:
    return [request_id.get("unset"), tenant.get()]


def seen_stream() -> Iterator[Any]:
    yield from seen()


async def seen_stream_async() -> AsyncIterator[Any]:
    for value in seen():
        yield value


def changes() -> None:
    request_id.set("changed")
    tenant.set("changed")


class Locked:
    def __init__(self) -> None:
        self.lock = threading.Condition()


def traced() -> list[Any]:
    context = trace.get_current_span().get_span_context()
    return [f"{context.trace_id:x}", f"{context.span_id:x}", os.getpid()]


async def traced_async() -> list[Any]:
    return traced()


def fails() -> None:
    raise LookupError("not there")
